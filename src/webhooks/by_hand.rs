//! What people have done at once: a test, a dead letter tried again or given up.

use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use super::{Attempt, Delivery, Desk, News, WebhookError, Webhooks, told};
use crate::{
    audit::Action,
    identity::Author,
    store::{AuditEntry, AuditOutcome},
    traces,
};
use fleetbeat_actors::ports::StoreError;

impl Webhooks {
    /// Sends one message that says it is a test, at once and once.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn test(&self, id: Uuid, by: &Author) -> Result<Attempt, WebhookError> {
        let desk = self.get(id, by.scope())?;
        let news = News::test(&desk.webhook.name, self.shared.clock.wall());
        let attempt = self.try_once(&desk, &news).await?;
        let told = ended(told(&by.origin, Action::WebhookTest, &desk.webhook, self.now()), attempt.delivery);
        self.shared.store.append_audit(&[told]).await?;
        Ok(attempt)
    }

    /// Tries a dead letter once more, at once. Taken, it is one no more.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn retry(&self, (id, event): (Uuid, Uuid), by: &Author) -> Result<Attempt, WebhookError> {
        let desk = self.get(id, by.scope())?;
        let letter = self.shared.store.dead_letter(id, event).await?.ok_or(WebhookError::NoLetter)?;
        let attempt = self.try_once(&desk, &News::of(&letter.event)).await?;
        let told = told(&by.origin, Action::WebhookRetry, &desk.webhook, self.now()).with("event_id", json!(event));
        let told = [ended(told, attempt.delivery)];
        match attempt.delivery.error() {
            Some(error) => drop(self.shared.store.retried_letter(id, event, error, &told).await?),
            None => self.unbury(&desk, event, &told).await.map(drop)?,
        }
        Ok(attempt)
    }

    /// Removes a dead letter: it will not be told.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn discard(&self, (id, event): (Uuid, Uuid), by: &Author) -> Result<(), WebhookError> {
        let desk = self.get(id, by.scope())?;
        let told = told(&by.origin, Action::WebhookDiscard, &desk.webhook, self.now()).with("event_id", json!(event));
        if self.unbury(&desk, event, &[told]).await? { Ok(()) } else { Err(WebhookError::NoLetter) }
    }

    async fn unbury(&self, desk: &Desk, event: Uuid, told: &[AuditEntry]) -> Result<bool, StoreError> {
        let found = self.shared.store.remove_letter(desk.webhook.id, event, told).await?;
        let mut progress = desk.progress.lock();
        progress.dead_letters = progress.dead_letters.saturating_sub(u64::from(found));
        Ok(found)
    }

    async fn try_once(&self, desk: &Desk, news: &News) -> Result<Attempt, WebhookError> {
        if desk.webhook.target.is_none() {
            return Err(WebhookError::Unreadable);
        }
        let _permit = self.by_hand.acquire().await;
        Ok(self.shared.deliver(desk, news, 1, None).instrument(traces::outside("webhook", "POST")).await)
    }
}

fn ended(entry: AuditEntry, delivery: Delivery) -> AuditEntry {
    match delivery.error() {
        None => entry,
        Some(error) => entry.ended(AuditOutcome::Failed, error),
    }
}
