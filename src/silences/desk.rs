//! Where silences are made and ended: the calendar, changed together with the store.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use fleetbeat_actors::ports::{Clock, StoreError};
use metrics::{describe_gauge, gauge};
use serde_json::json;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    calendar::Calendar,
    silence::{Silence, SilenceDraft, Standing},
};
use crate::{
    audit::{Action, Origin},
    store::{AuditEntry, Store, StoredSilence},
};

/// Most silences that are kept, those that are over included.
pub const MAX_SILENCES: usize = 10_000;
/// Most silences that hold or will hold.
pub const MAX_OPEN: usize = 1_000;
/// How often the gauges are set.
const LOOK: Duration = Duration::from_secs(2);
/// How often windows are worked out further ahead and what is long over is forgotten.
const ROUND: TimeDelta = TimeDelta::hours(1);

/// Why a silence could not be made or ended.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// There are too many.
    #[error("there may be {MAX_OPEN} silences that are not over, and {MAX_SILENCES} in all")]
    Full,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The silences and their store.
pub struct Silences {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    calendar: Arc<Calendar>,
    /// How long those that are over are kept.
    keep: TimeDelta,
    /// One change at a time: memory and store say the same.
    turn: Mutex<()>,
}

impl Silences {
    /// All that the store keeps; those that are over for longer than `keep` are forgotten with time.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(store: Arc<dyn Store>, clock: Arc<dyn Clock>, keep: TimeDelta) -> Result<Self, StoreError> {
        let now = clock.wall();
        let mut silences = Vec::new();
        for stored in store.silences().await? {
            let id = stored.id;
            match Silence::of_store(stored, now) {
                Ok(silence) => silences.push(silence),
                Err(wrong) => tracing::warn!(%id, wrong, "a stored silence is not understood and mutes nothing"),
            }
        }
        let calendar = Arc::new(Calendar::new(silences));
        Ok(Self { store, clock, calendar, keep, turn: Mutex::default() })
    }

    /// Who is silenced when.
    pub fn calendar(&self) -> &Arc<Calendar> {
        &self.calendar
    }

    /// Makes a silence; it holds at once where its schedule says so.
    ///
    /// # Errors
    /// [`SilenceError`]
    pub async fn create(&self, draft: SilenceDraft, by: &Origin) -> Result<Arc<Silence>, SilenceError> {
        let _turn = self.turn.lock().await;
        let (now, known) = (self.clock.wall(), self.calendar.list());
        let open = known.iter().filter(|silence| silence.standing(now) != Standing::Expired).count();
        if open >= MAX_OPEN || known.len() >= MAX_SILENCES {
            return Err(SilenceError::Full);
        }
        let stored = StoredSilence {
            id: Uuid::now_v7(),
            comment: draft.comment,
            label_selector: draft.label_selector,
            cluster_ids: json!(draft.cluster_ids).to_string(),
            scope: draft.within.to_json().to_string(),
            starts_at: draft.schedule.first.from,
            ends_at: draft.schedule.first.to,
            rrule: draft.schedule.rrule,
            time_zone: draft.schedule.time_zone,
            created_by: draft.created_by,
            created_at: now.trunc_subsecs(3),
            ended_by: None,
            ended_at: None,
        };
        let told = made(&stored, by);
        let silence = Silence::of_store(stored.clone(), now)
            .map_err(|wrong| StoreError::Broken(format!("a new silence is not read: {wrong}")))?;
        let silence = Arc::new(silence);
        self.store.insert_silence(&stored, &[told]).await?;
        self.calendar.put(Arc::clone(&silence));
        Ok(silence)
    }

    /// Ends a silence now. `None` when there is none of that id, or it was ended before.
    ///
    /// # Errors
    /// The store's.
    pub async fn end(&self, id: Uuid, who: Option<String>, by: &Origin) -> Result<Option<Arc<Silence>>, StoreError> {
        let _turn = self.turn.lock().await;
        let Some(known) = self.calendar.get(id) else { return Ok(None) };
        let now = self.clock.wall().trunc_subsecs(3);
        let told = by.did(Action::SilenceEnd, now).of_object(&id.to_string());
        if !self.store.end_silence(id, now, who.as_deref(), &[told]).await? {
            return Ok(None);
        }
        let ended = Arc::new(known.ended(now, who));
        self.calendar.put(Arc::clone(&ended));
        Ok(Some(ended))
    }

    /// Tells the gauges, works out windows further ahead, and forgets what is long over; for ever.
    pub async fn keep(&self) {
        describe_gauge!("fleetbeat_silences", "Silences that hold (active) or will hold (upcoming).");
        let mut next_round = self.clock.wall();
        loop {
            let now = self.clock.wall();
            self.tell(now);
            if now >= next_round {
                next_round = now + ROUND;
                if let Err(error) = self.round(now).await {
                    tracing::warn!(%error, "silences that are over could not be removed");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell(&self, now: DateTime<Utc>) {
        let list = self.calendar.list();
        for standing in [Standing::Active, Standing::Upcoming] {
            let count = list.iter().filter(|silence| silence.standing(now) == standing).count();
            gauge!("fleetbeat_silences", "state" => standing.as_str()).set(count as f64);
        }
    }

    async fn round(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let is_old = |silence: &Arc<Silence>| silence.over_since(now).is_some_and(|over| over < now - self.keep);
        let (gone, kept): (Vec<_>, Vec<_>) = self.calendar.list().into_iter().partition(is_old);
        if !gone.is_empty() {
            let ids: Vec<_> = gone.iter().map(|silence| silence.id).collect();
            let rows = self.store.forget_silences(&ids).await?;
            tracing::info!(rows, "silences that were over long ago were removed");
        }
        let mut renewed = Vec::with_capacity(kept.len());
        for silence in kept {
            renewed.push(further(silence, now));
            // An old rule has many occurrences to walk over: others have their turn between.
            tokio::task::yield_now().await;
        }
        self.calendar.replace(renewed);
        Ok(())
    }
}

/// The same with windows up to the horizon of `now`.
fn further(silence: Arc<Silence>, now: DateTime<Utc>) -> Arc<Silence> {
    let repeats = silence.schedule.rrule.is_some() && silence.ended_at.is_none();
    if repeats { Arc::new((*silence).clone().seen_from(now)) } else { silence }
}

/// What the audit log tells of a new silence.
fn made(silence: &StoredSilence, by: &Origin) -> AuditEntry {
    let entry = by.did(Action::SilenceCreate, silence.created_at).of_object(&silence.id.to_string());
    let entry = entry.with("comment", json!(silence.comment)).with("label_selector", json!(silence.label_selector));
    let entry = entry.with("starts_at", json!(silence.starts_at)).with("ends_at", json!(silence.ends_at));
    let entry = entry.with("rrule", json!(silence.rrule)).with("time_zone", json!(silence.time_zone));
    entry.with("cluster_ids", json!(silence.cluster_ids))
}
