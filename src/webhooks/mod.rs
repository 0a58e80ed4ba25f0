//! Webhooks: who wants to be told of which events, and telling them: in order, at least once, and nobody at the cost of
//! another. Each has a cursor into the event log, which the store keeps; what cannot be told becomes a dead letter. Opens no
//! connection itself: messages leave through the port [`Courier`].

mod by_hand;
mod change;
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
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
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
    identity::Scope,
    registration::Invalid,
    silences::Calendar,
    store::{AuditEntry, DeadLetter, Store},
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

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.wall().trunc_subsecs(3)
    }
}

/// What the audit log tells: nothing of the secret, and of the address what everybody may know.
fn told(by: &Origin, action: Action, webhook: &Webhook, at: DateTime<Utc>) -> AuditEntry {
    let entry = by.did(action, at).of_object(&webhook.id.to_string());
    entry.with("name", json!(webhook.name)).with("url", json!(webhook.shown_url))
}
