//! Silences as the store keeps them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::ports::StoreError;
use uuid::Uuid;

use super::audit::AuditEntry;

/// A silence as the store keeps it. What its words mean is for `silences` to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSilence {
    /// Its id.
    pub id: Uuid,
    /// Why.
    pub comment: String,
    /// Clusters whose labels match.
    pub label_selector: Option<String>,
    /// These clusters, as a JSON array.
    pub cluster_ids: String,
    /// Which clusters its maker could see, as JSON: it reaches no further.
    pub scope: String,
    /// Begin of the first window.
    pub starts_at: DateTime<Utc>,
    /// End of the first window.
    pub ends_at: DateTime<Utc>,
    /// How it repeats.
    pub rrule: Option<String>,
    /// By whose clocks it repeats.
    pub time_zone: String,
    /// Who made it.
    pub created_by: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
    /// When.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Where silences are kept.
#[async_trait]
pub trait SilenceRows: Send + Sync + 'static {
    /// All of them, over or not, the oldest first.
    async fn silences(&self) -> Result<Vec<StoredSilence>, StoreError>;

    /// Keeps a new one, and tells of it in the audit log.
    async fn insert_silence(&self, silence: &StoredSilence, audit: &[AuditEntry]) -> Result<(), StoreError>;

    /// Ends one, and tells of it in the audit log. False, and nothing told, when there is none that was not ended already.
    async fn end_silence(
        &self,
        id: Uuid,
        at: DateTime<Utc>,
        by: Option<&str>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError>;

    /// Removes these; how many there were.
    async fn forget_silences(&self, ids: &[Uuid]) -> Result<u64, StoreError>;
}
