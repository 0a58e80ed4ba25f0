//! Changes of webhooks: made, changed, removed. Memory and store say the same afterwards, or nothing changed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use url::Url;
use uuid::Uuid;

use super::{Desk, Fields, Format, Progress, Secret, Target, Webhook, WebhookError, Webhooks, told, webhook};
use crate::{
    audit::Action,
    credentials::KeyError,
    identity::{Author, Scope},
    registration::{Detail, Invalid},
    store::WebhookCursor,
};

impl Webhooks {
    /// Makes a webhook that is told what happens from now on. With it comes the secret, where it was made here.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn create(&self, fields: Fields, by: &Author) -> Result<(Arc<Desk>, Option<Secret>), WebhookError> {
        let (name, url) = required(&fields)?;
        self.judge(&url).await?;
        let _turn = self.turn.lock().await;
        self.has_room()?;
        self.check_name(&name, None)?;
        let format = fields.format.unwrap_or(Format::CloudEvents);
        let (secret, made) = secret(fields.secret.clone(), format)?;
        let (now, target) = (self.now(), Target { url, secret });
        let webhook = changed(blank(name, format, by, now), fields, target.clone(), now);
        let row = webhook.to_store(&target, &self.shared.sealer)?;
        let position = *self.shared.outbox.head().borrow();
        let told = told(&by.origin, Action::WebhookCreate, &webhook, now);
        self.shared.store.insert_webhook(&row, position, &[told]).await?;
        let cursor = WebhookCursor::beginning(position, now);
        Ok((self.put(webhook, Arc::new(Mutex::new(Progress::stored(cursor, 0)))), made))
    }

    /// Changes the fields that are given. One that was paused is told what happens from now on.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn update(&self, id: Uuid, fields: Fields, by: &Author) -> Result<Arc<Desk>, WebhookError> {
        self.get(id, by.scope())?;
        if let Some(url) = &fields.url {
            self.judge(url).await?;
        }
        let _turn = self.turn.lock().await;
        let before = self.get(id, by.scope())?;
        if let Some(name) = &fields.name {
            self.check_name(name, Some(id))?;
        }
        let old = before.webhook.target.clone();
        let url = fields.url.clone().or_else(|| old.as_ref().map(|target| target.url.clone()));
        let secret = fields.secret.clone().unwrap_or_else(|| old.and_then(|target| target.secret));
        let target = Target { url: url.ok_or(WebhookError::Unreadable)?, secret };
        let moved = fields.url.is_some();
        let webhook = changed(before.webhook.clone(), fields, target.clone(), self.now());
        let row = webhook.to_store(&target, &self.shared.sealer)?;
        let begins = webhook.enabled && !before.webhook.enabled;
        let position = begins.then(|| *self.shared.outbox.head().borrow());
        let told = told(&by.origin, Action::WebhookUpdate, &webhook, webhook.updated_at);
        if !self.shared.store.update_webhook(&row, position, &[told]).await? {
            return Err(WebhookError::NotFound);
        }
        {
            let mut progress = before.progress.lock();
            if let Some(position) = position {
                progress.cursor = WebhookCursor::beginning(position, webhook.updated_at);
            }
            if moved || begins {
                progress.begin_anew();
            }
        }
        Ok(self.put(webhook, Arc::clone(&before.progress)))
    }

    /// Removes a webhook with its dead letters.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn delete(&self, id: Uuid, by: &Author) -> Result<(), WebhookError> {
        let _turn = self.turn.lock().await;
        let desk = self.get(id, by.scope())?;
        let told = told(&by.origin, Action::WebhookDelete, &desk.webhook, self.now());
        let found = self.shared.store.delete_webhook(id, &[told]).await?;
        self.desks.write().remove(&id);
        self.changes.send_modify(|revision| *revision += 1);
        if found { Ok(()) } else { Err(WebhookError::NotFound) }
    }

    fn has_room(&self) -> Result<(), Invalid> {
        let most = self.shared.rules.max_webhooks;
        if self.desks.read().len() < most {
            return Ok(());
        }
        Err(Invalid::one("name", format!("there are {most} webhooks already (webhooks.max_webhooks)")))
    }

    async fn judge(&self, url: &url::Url) -> Result<(), WebhookError> {
        match self.shared.courier.admits(url).await {
            true => Ok(()),
            false => {
                Err(Invalid::one("url", "leads to an address that is not allowed (see probes.allow_cidrs)").into())
            }
        }
    }

    fn check_name(&self, name: &str, own: Option<Uuid>) -> Result<(), WebhookError> {
        let desks = self.desks.read();
        let taken = desks.values().any(|desk| desk.webhook.name == *name && Some(desk.webhook.id) != own);
        if taken { Err(Invalid::one("name", "is in use by another webhook").into()) } else { Ok(()) }
    }

    fn put(&self, webhook: Webhook, progress: Arc<Mutex<Progress>>) -> Arc<Desk> {
        let id = webhook.id;
        self.changes.send_modify(|revision| *revision += 1);
        let desk = Arc::new(Desk { webhook, progress, revision: *self.changes.borrow() });
        self.desks.write().insert(id, Arc::clone(&desk));
        self.changes.send_modify(|_| {});
        desk
    }
}

/// What nobody can do without.
fn required(fields: &Fields) -> Result<(String, Url), Invalid> {
    if let (Some(name), Some(url)) = (&fields.name, &fields.url) {
        return Ok((name.clone(), url.clone()));
    }
    let missing = [("name", fields.name.is_none()), ("url", fields.url.is_none())];
    let missing = missing.into_iter().filter(|(_, missing)| *missing);
    let details = missing.map(|(field, _)| Detail::new(field, "is required")).collect();
    Err(Invalid { details, bad_name: false })
}

/// The secret of a new webhook, and the same if it was made here.
fn secret(given: Option<Option<Secret>>, format: Format) -> Result<(Option<Secret>, Option<Secret>), KeyError> {
    match (given, format) {
        (Some(secret), _) => Ok((secret, None)),
        (None, Format::Slack) => Ok((None, None)),
        (None, Format::CloudEvents) => {
            let made = Secret::generate().ok_or(KeyError::NoRandomness)?;
            Ok((Some(made.clone()), Some(made)))
        }
    }
}

/// A webhook of which nothing is set but what it always has.
fn blank(name: String, format: Format, by: &Author, now: DateTime<Utc>) -> Webhook {
    Webhook {
        id: Uuid::now_v7(),
        name,
        format,
        event_types: Vec::new(),
        label_selector: String::new(),
        wanted: Scope::Everything,
        scope: by.scope().clone(),
        enabled: true,
        shown_url: String::new(),
        signed: false,
        target: None,
        created_by: by.who.clone(),
        created_at: now,
        updated_at: now,
    }
}

fn changed(before: Webhook, fields: Fields, target: Target, now: DateTime<Utc>) -> Webhook {
    let format = fields.format.unwrap_or(before.format);
    let (label_selector, wanted) = fields.label_selector.unwrap_or((before.label_selector, before.wanted));
    Webhook {
        name: fields.name.unwrap_or(before.name),
        format,
        event_types: fields.event_types.unwrap_or(before.event_types),
        label_selector,
        wanted,
        enabled: fields.enabled.unwrap_or(before.enabled),
        shown_url: webhook::shown(&target.url, format),
        signed: target.secret.is_some(),
        target: Some(target),
        updated_at: now,
        ..before
    }
}
