//! Webhooks: who wants to be told of which events, and telling them: in order, at least once, and nobody at the cost of
//! another. Each has a cursor into the event log, which the store keeps; what cannot be told becomes a dead letter. Opens no
//! connection itself: messages leave through the port [`Courier`].

mod courier;
mod fields;
mod format;
mod keeper;
mod late;
mod meters;
mod pace;
mod progress;
mod sign;
mod webhook;
mod worker;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use chrono::{DateTime, SubsecRound, Utc};
use fleetbeat_actors::{
    board::Board,
    event::{Event, EventType},
    outbox::Outbox,
    ports::{Clock, StoreError},
};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;
use uuid::Uuid;

pub use courier::{Courier, Delivery, Later, Letter};
pub use fields::{Fields, MAX_URL};
pub use format::{Format, News, TEST};
pub use pace::{Next, Patience};
pub use progress::{Attempt, Progress};
pub use sign::Secret;
pub use webhook::{Target, Webhook};

use crate::{
    audit::{Action, Origin},
    credentials::{KeyError, Sealer},
    identity::{Author, Scope},
    registration::{Detail, Invalid},
    silences::Calendar,
    store::{AuditEntry, AuditOutcome, DeadLetter, Store, WebhookCursor},
    traces,
};
use meters::Meters;

/// Tests and dead letters that are tried by hand at the same time.
pub const BY_HAND: usize = 16;

/// Limits and habits.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Most webhooks.
    pub max_webhooks: usize,
    /// May plain http leave this machine?
    pub allow_http: bool,
    /// How long one event is tried.
    pub patience: Patience,
    /// Dead letters of one webhook; beyond them the oldest go.
    pub max_dead_letters: u32,
}

/// What webhooks work with.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The recent end of the log.
    pub outbox: Arc<Outbox>,
    /// What is known of clusters now.
    pub board: Arc<Board>,
    /// Who is silenced when.
    pub calendar: Arc<Calendar>,
    /// Who takes messages to their destinations.
    pub courier: Arc<dyn Courier>,
    /// Keeps addresses and secrets sealed.
    pub sealer: Sealer,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Limits and habits.
    pub rules: Rules,
}

/// What all workers share.
struct Shared {
    parts: Parts,
    meters: Meters,
}

impl std::ops::Deref for Shared {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Shared {
    /// Is every event that anybody was shown in the log?
    fn is_settled(&self) -> bool {
        self.outbox.unsaved() == 0 && !self.outbox.has_doubts()
    }

    /// Does nobody want to hear of this? A silence holds back changes of state; what people did themselves is told.
    fn is_muted(&self, event: &Event) -> bool {
        let is_change = event.event_type == EventType::ClusterStatusChanged;
        is_change && !self.calendar.muting_event(event, &self.board).is_empty()
    }
}

/// A webhook with its progress.
pub struct Desk {
    /// What it is.
    pub webhook: Webhook,
    /// How far it is.
    pub progress: Arc<Mutex<Progress>>,
    /// Grows with every change of it.
    revision: u64,
}

impl Desk {
    fn position(&self) -> i64 {
        self.progress.lock().cursor.position
    }

    /// In one word: `delivering`, `retrying`, `paused` or `unreadable`.
    pub fn state(&self) -> &'static str {
        match &self.webhook {
            Webhook { target: None, .. } => "unreadable",
            Webhook { enabled: false, .. } => "paused",
            _ if self.progress.lock().cursor.attempts > 0 => "retrying",
            _ => "delivering",
        }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Fields are wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is none of that id, as far as the caller may know.
    #[error("no such webhook")]
    NotFound,
    /// It has no such dead letter.
    #[error("no such dead letter")]
    NoLetter,
    /// Nobody can tell where it leads: its seal does not open.
    #[error("the address does not open with any known key; set url again")]
    Unreadable,
    /// There is no key to seal with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every webhook.
pub struct Webhooks {
    shared: Arc<Shared>,
    desks: RwLock<BTreeMap<Uuid, Arc<Desk>>>,
    /// One change at a time: memory and store say the same.
    turn: tokio::sync::Mutex<()>,
    changes: watch::Sender<u64>,
    by_hand: Semaphore,
    /// Could cursors not be stored when it was last tried?
    unmarked: AtomicBool,
}

impl Webhooks {
    /// Those that the store has. They are told nothing before [`Webhooks::run`].
    ///
    /// # Errors
    /// The store's.
    pub async fn load(parts: Parts) -> Result<Self, StoreError> {
        let (rows, letters) = (parts.store.webhooks().await?, parts.store.count_letters().await?);
        let mut desks = BTreeMap::new();
        for (row, cursor) in rows {
            let (id, name) = (row.id, row.name.clone());
            let dead = letters.iter().find(|(of, _)| *of == id).map_or(0, |(_, count)| *count);
            match Webhook::of_store(row, &parts.sealer) {
                Some(webhook) => {
                    let progress = Arc::new(Mutex::new(Progress::stored(cursor, dead)));
                    desks.insert(id, Arc::new(Desk { webhook, progress, revision: 0 }));
                }
                None => tracing::error!(name, "a stored webhook is not understood and told nothing"),
            }
        }
        let (shared, changes) = (Arc::new(Shared { parts, meters: Meters::new() }), watch::Sender::new(0));
        let (desks, turn) = (RwLock::new(desks), tokio::sync::Mutex::default());
        let by_hand = Semaphore::new(BY_HAND);
        Ok(Self { shared, desks, turn, changes, by_hand, unmarked: AtomicBool::new(false) })
    }

    /// All of them, by their names.
    pub fn list(&self) -> Vec<Arc<Desk>> {
        let mut desks: Vec<_> = self.desks.read().values().cloned().collect();
        desks.sort_by(|a, b| a.webhook.name.cmp(&b.webhook.name));
        desks
    }

    /// Metrics of each of them, in the text format of Prometheus.
    pub fn exposition(&self) -> String {
        meters::written(&self.list(), self.shared.clock.wall())
    }

    /// One of them, if it exists for somebody of this scope.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`]
    pub fn get(&self, id: Uuid, scope: &Scope) -> Result<Arc<Desk>, WebhookError> {
        let desk = self.desks.read().get(&id).cloned();
        desk.filter(|desk| desk.webhook.is_seen_by(scope)).ok_or(WebhookError::NotFound)
    }

    /// May plain http leave this machine?
    pub fn allows_http(&self) -> bool {
        self.shared.rules.allow_http
    }

    /// Makes a webhook that is told what happens from now on. With it comes the secret, where it was made here.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn create(&self, fields: Fields, by: &Author) -> Result<(Arc<Desk>, Option<Secret>), WebhookError> {
        let (Some(name), Some(url)) = (&fields.name, &fields.url) else {
            let missing = [("name", fields.name.is_none()), ("url", fields.url.is_none())];
            let missing = missing.into_iter().filter(|(_, missing)| *missing);
            let details = missing.map(|(field, _)| Detail::new(field, "is required")).collect();
            return Err(Invalid { details, bad_name: false }.into());
        };
        self.judge(url).await?;
        let _turn = self.turn.lock().await;
        if self.desks.read().len() >= self.shared.rules.max_webhooks {
            let most = self.shared.rules.max_webhooks;
            return Err(
                Invalid::one("name", format!("there are {most} webhooks already (webhooks.max_webhooks)")).into()
            );
        }
        self.check_name(name, None)?;
        let format = fields.format.unwrap_or(Format::CloudEvents);
        let (secret, made) = match (fields.secret.clone(), format) {
            (Some(secret), _) => (secret, None),
            (None, Format::Slack) => (None, None),
            (None, Format::CloudEvents) => {
                let made = Secret::generate().ok_or(KeyError::NoRandomness)?;
                (Some(made.clone()), Some(made))
            }
        };
        let (now, target) = (self.now(), Target { url: url.clone(), secret });
        let blank = Webhook {
            id: Uuid::now_v7(),
            name: name.clone(),
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
        };
        let webhook = changed(blank, fields, target.clone(), now);
        let row = webhook.to_store(&target, &self.shared.sealer)?;
        let position = *self.shared.outbox.head().borrow();
        self.shared
            .store
            .insert_webhook(&row, position, &[told(&by.origin, Action::WebhookCreate, &webhook, now)])
            .await?;
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

    /// Up to `limit` dead letters of a webhook after a position, in the order of their events.
    ///
    /// # Errors
    /// [`WebhookError`]
    pub async fn dead_letters(
        &self,
        id: Uuid,
        scope: &Scope,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, WebhookError> {
        self.get(id, scope)?;
        Ok(self.shared.store.dead_letters(id, after, limit).await?)
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

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.wall().trunc_subsecs(3)
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

/// What the audit log tells: nothing of the secret, and of the address what everybody may know.
fn told(by: &Origin, action: Action, webhook: &Webhook, at: DateTime<Utc>) -> AuditEntry {
    let entry = by.did(action, at).of_object(&webhook.id.to_string());
    entry.with("name", json!(webhook.name)).with("url", json!(webhook.shown_url))
}

fn ended(entry: AuditEntry, delivery: Delivery) -> AuditEntry {
    match delivery.error() {
        None => entry,
        Some(error) => entry.ended(AuditOutcome::Failed, error),
    }
}

impl Webhook {
    /// The message that tells it, signed where it has a secret; `None` while nobody can read where to.
    fn letter(&self, news: &News, now: DateTime<Utc>, line: Option<Uuid>) -> Option<Letter> {
        let target = self.target.as_ref()?;
        let (body, id, timestamp) = (self.format.body(news), news.id.to_string(), now.timestamp());
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(self.format.content_type()))]);
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if let Some(secret) = &target.secret {
            set("webhook-signature", secret.sign(&id, timestamp, &body));
        }
        set("webhook-timestamp", timestamp.to_string());
        set("webhook-id", id);
        Some(Letter { line, url: target.url.clone(), headers, body })
    }
}
