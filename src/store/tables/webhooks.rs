//! Calls about webhooks and their dead letters.

use async_trait::async_trait;
use fleetbeat_actors::ports::StoreError;
use uuid::Uuid;

use super::{Change, Tables, call, told};
use crate::store::{
    audit::AuditEntry,
    backend::{Access, Backend},
    failure::Commit,
    rows::{audit, webhooks},
    webhooks::{DeadLetter, StoredWebhook, WebhookCursor, WebhookRows, WebhookSeal},
};

#[async_trait]
impl<B: Backend> WebhookRows for Tables<B> {
    async fn webhooks(&self) -> Result<Vec<(StoredWebhook, WebhookCursor)>, StoreError> {
        call!(self, Read, |connection| webhooks::all(connection))
    }

    async fn insert_webhook(
        &self,
        webhook: &StoredWebhook,
        position: i64,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        told!(self, audit, |connection| webhooks::insert(connection, webhook, position))
    }

    async fn update_webhook(
        &self,
        webhook: &StoredWebhook,
        position: Option<i64>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        told!(self, audit, |connection| webhooks::update(connection, webhook, position))
    }

    async fn delete_webhook(&self, id: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        told!(self, audit, |connection| webhooks::delete(connection, id))
    }

    async fn reseal_webhooks(
        &self,
        seals: &[(Uuid, Vec<u8>, WebhookSeal)],
        audit: &[AuditEntry],
    ) -> Result<u64, StoreError> {
        told!(self, audit, |connection| webhooks::reseal(connection, seals))
    }

    async fn mark_webhooks(&self, cursors: &[(Uuid, WebhookCursor)]) -> Result<(), StoreError> {
        call!(self, Write, |connection| webhooks::mark(connection, cursors))
    }

    async fn bury_letter(&self, letter: &DeadLetter, cursor: &WebhookCursor, most: u32) -> Result<u64, StoreError> {
        call!(self, Write, |connection| webhooks::bury(connection, letter, cursor, most))
    }

    async fn dead_letters(&self, webhook: Uuid, after: i64, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        call!(self, Read, |connection| webhooks::letters(connection, webhook, after, limit))
    }

    async fn dead_letter(&self, webhook: Uuid, event: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        call!(self, Read, |connection| webhooks::one_letter(connection, webhook, event))
    }

    async fn retried_letter(
        &self,
        webhook: Uuid,
        event: Uuid,
        last_error: &str,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        told!(self, audit, |connection| webhooks::retried(connection, webhook, event, last_error))
    }

    async fn remove_letter(&self, webhook: Uuid, event: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        told!(self, audit, |connection| webhooks::remove(connection, webhook, event))
    }

    async fn count_letters(&self) -> Result<Vec<(Uuid, u64)>, StoreError> {
        call!(self, Read, |connection| webhooks::count(connection))
    }
}
