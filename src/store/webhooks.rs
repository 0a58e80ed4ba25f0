//! Webhooks as the store keeps them: rows, cursors, dead letters. What their words mean is for `webhooks` to say.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{event::Event, ports::StoreError};
use uuid::Uuid;

use super::audit::AuditEntry;

/// A webhook. Nothing in it is secret without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWebhook {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// `cloudevents` or `slack`.
    pub format: String,
    /// Where to, as far as everybody may know it.
    pub shown_url: String,
    /// Words of event types, as a JSON list; none for all.
    pub event_types: String,
    /// Which clusters' events; empty for all.
    pub label_selector: String,
    /// What whoever made it may see, as JSON.
    pub scope: String,
    /// Is it told anything?
    pub enabled: bool,
    /// Is there a secret that signs?
    pub signed: bool,
    /// Who made it.
    pub created_by: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Address and secret.
    pub seal: WebhookSeal,
}

/// The sealed part of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSeal {
    /// Which key opens it.
    pub key_id: String,
    /// The nonce of the seal.
    pub nonce: Vec<u8>,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// How far a webhook has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookCursor {
    /// Everything up to this position of the log is done with.
    pub position: i64,
    /// How often the next event was tried.
    pub attempts: u32,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// What silences that ended up to then had held back is done with, too.
    pub heard_to: DateTime<Utc>,
}

impl WebhookCursor {
    /// At the beginning: told what comes after a position, and after silences that end after a time.
    pub fn beginning(position: i64, heard_to: DateTime<Utc>) -> Self {
        Self { position, attempts: 0, retry_at: None, heard_to }
    }
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// By which webhook.
    pub webhook_id: Uuid,
    /// The event.
    pub event: Arc<Event>,
    /// When it was given up.
    pub buried_at: DateTime<Utc>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why, in one word: `exhausted`, `expired`.
    pub reason: String,
    /// How the last try ended, in at most 64 bytes.
    pub last_error: Option<String>,
}

/// Where webhooks are kept.
#[async_trait]
pub trait WebhookRows: Send + Sync + 'static {
    /// All of them with their cursors, the oldest first.
    async fn webhooks(&self) -> Result<Vec<(StoredWebhook, WebhookCursor)>, StoreError>;

    /// Keeps a new one that is told what comes after `position`, and after silences that end after it was made.
    async fn insert_webhook(
        &self,
        webhook: &StoredWebhook,
        position: i64,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError>;

    /// Replaces one; with `position`, it is told what comes after that, and after silences that end after the change. False, and nothing told, when there is none.
    async fn update_webhook(
        &self,
        webhook: &StoredWebhook,
        position: Option<i64>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError>;

    /// Removes one with its dead letters. False, and nothing told, when there is none.
    async fn delete_webhook(&self, id: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// Replaces the seal of those that still have the nonce given with each; how many those were.
    async fn reseal_webhooks(
        &self,
        seals: &[(Uuid, Vec<u8>, WebhookSeal)],
        audit: &[AuditEntry],
    ) -> Result<u64, StoreError>;

    /// Sets cursors. Those of webhooks that are gone are skipped.
    async fn mark_webhooks(&self, cursors: &[(Uuid, WebhookCursor)]) -> Result<(), StoreError>;

    /// Keeps a dead letter and moves its webhook's cursor, in one transaction; beyond `most` letters of the webhook the
    /// oldest go. Returns how many went. Nothing happens when the webhook is gone.
    async fn bury_letter(&self, letter: &DeadLetter, cursor: &WebhookCursor, most: u32) -> Result<u64, StoreError>;

    /// Up to `limit` dead letters of a webhook after a position, in the order of their events.
    async fn dead_letters(&self, webhook: Uuid, after: i64, limit: u32) -> Result<Vec<DeadLetter>, StoreError>;

    /// One dead letter.
    async fn dead_letter(&self, webhook: Uuid, event: Uuid) -> Result<Option<DeadLetter>, StoreError>;

    /// A dead letter was tried once more, and failed so.
    async fn retried_letter(
        &self,
        webhook: Uuid,
        event: Uuid,
        last_error: &str,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError>;

    /// Removes a dead letter. False, and nothing told, when there is none.
    async fn remove_letter(&self, webhook: Uuid, event: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// How many dead letters each webhook has; those without any are left out.
    async fn count_letters(&self) -> Result<Vec<(Uuid, u64)>, StoreError>;
}
