//! What the store keeps of callers: tokens of the API and sessions of browsers.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::ports::StoreError;
use uuid::Uuid;

use super::audit::AuditEntry;

/// A token of the API as the store keeps it. What its words mean is for `identity` to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// Its public id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its secret part.
    pub hash: [u8; 32],
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// Which clusters it may see, as JSON.
    pub scope: String,
    /// Who made it.
    pub created_by: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it stops being valid.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Where tokens of the API are kept.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// All of them, revoked and expired ones too, the oldest first.
    async fn tokens(&self) -> Result<Vec<StoredToken>, StoreError>;

    /// Keeps a new one, and tells of it in the audit log.
    async fn insert_token(&self, token: &StoredToken, audit: &[AuditEntry]) -> Result<(), StoreError>;

    /// Revokes one, and tells of it in the audit log. False, and nothing told, when there is none that was not revoked
    /// already.
    async fn revoke_token(&self, id: Uuid, at: DateTime<Utc>, audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// Removes those that ended or were revoked before `before`; how many there were.
    async fn forget_tokens(&self, before: DateTime<Utc>) -> Result<u64, StoreError>;
}

/// A session of a browser as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// SHA-256 of its id.
    pub hash: [u8; 32],
    /// Whose, as the issuer says.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// Their groups, as JSON.
    pub groups: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Where sessions of browsers are kept.
#[async_trait]
pub trait SessionRows: Send + Sync + 'static {
    /// All of them, the oldest first.
    async fn sessions(&self) -> Result<Vec<StoredSession>, StoreError>;

    /// Keeps a new one, and tells the audit log.
    async fn insert_session(&self, session: &StoredSession, audit: &[AuditEntry]) -> Result<(), StoreError>;

    /// Removes one, and tells the audit log. False when there is none; then nothing is told.
    async fn delete_session(&self, hash: &[u8; 32], audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// Removes those that are over; how many those were.
    async fn delete_sessions_over(&self, now: DateTime<Utc>) -> Result<u64, StoreError>;
}
