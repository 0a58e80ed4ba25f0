//! What tells one webhook of events: one task each, one event after the other, in the order of the log. However long its
//! destination takes, nobody else waits, and it holds no more than a handful of events.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{event::Event, outbox::Recent, ports::StoreError};
use uuid::Uuid;

use super::{
    Desk, Shared,
    courier::Delivery,
    format::News,
    late::LOOK,
    pace::Next,
    progress::{Attempt, Place, Unstored},
};
use crate::store::DeadLetter;

/// Events taken from the log at once.
const STEP: usize = 32;
/// Pause after the store did not answer, or a try could not be made.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells a webhook of events, for ever.
pub(super) async fn work(desk: Arc<Desk>, shared: Arc<Shared>) {
    let mut head = shared.outbox.head();
    loop {
        head.borrow_and_update();
        match next(&shared, desk.position()).await {
            Ok(events) if events.is_empty() => {
                tell_late(&desk, &shared).await;
                // Silences end whether anything happens or not.
                if let Ok(Err(_)) = tokio::time::timeout(LOOK, head.changed()).await {
                    return;
                }
            }
            Ok(events) => {
                for event in events {
                    tell(&desk, &shared, &event).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, webhook = desk.webhook.name, "the log cannot be read now");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn next(shared: &Shared, position: i64) -> Result<Vec<Arc<Event>>, StoreError> {
    match shared.outbox.after(position, STEP) {
        Recent::Events(events) => Ok(events),
        Recent::ReadLog => shared.store.events_after(position, STEP as u32).await,
    }
}

/// Tells of one event of the log, unless it is not wanted now.
async fn tell(desk: &Desk, shared: &Shared, event: &Arc<Event>) {
    let place = Place::InLog(event.position);
    if !desk.webhook.wants(event, &shared.board) || shared.is_muted(event) {
        return desk.progress.lock().pass(place, Unstored::Passed);
    }
    insist(desk, shared, event, Errand { since: event.timestamp, place }).await;
}

/// Tells what silences had held back that have ended.
async fn tell_late(desk: &Desk, shared: &Shared) {
    match shared.held_back(desk).await {
        Ok(Some((late, heard_to))) => {
            for late in &late {
                insist(desk, shared, &late.event, Errand { since: late.since, place: Place::AfterSilence }).await;
            }
            desk.progress.lock().hear(heard_to, if late.is_empty() { Unstored::Passed } else { Unstored::Told });
        }
        Ok(None) => {}
        Err(error) => {
            tracing::debug!(%error, webhook = desk.webhook.name, "what a silence held back cannot be read now");
        }
    }
}

/// What is to be told since when, and where it stands.
#[derive(Clone, Copy)]
struct Errand {
    since: DateTime<Utc>,
    place: Place,
}

/// Tells of one event, however long that takes; at last it is taken or given up.
async fn insist(desk: &Desk, shared: &Shared, event: &Arc<Event>, errand: Errand) {
    desk.progress.lock().waiting_since = Some(errand.since);
    let patience = &shared.rules.patience;
    loop {
        let due = desk.progress.lock().cursor.retry_at;
        if let Some(due) = due {
            tokio::time::sleep(patience.until(due, shared.clock.wall())).await;
        }
        if patience.is_too_old(errand.since, shared.clock.wall()) {
            return bury(desk, shared, event, errand.place, "expired").await;
        }
        let attempts = desk.progress.lock().cursor.attempts.saturating_add(1);
        let delivery = shared.deliver(desk, &News::of(event), attempts, Some(desk.webhook.id)).await.delivery;
        if delivery.is_taken() {
            return desk.progress.lock().pass(errand.place, Unstored::Told);
        }
        let counts = delivery != Delivery::NotRun;
        let wished = delivery.wished_pause(shared.clock.wall());
        let pause = match patience.after(attempts, chance(), wished) {
            _ if !counts => PAUSE,
            Next::Again(pause) => pause,
            Next::GiveUp => {
                desk.progress.lock().cursor.attempts = attempts;
                return bury(desk, shared, event, errand.place, "exhausted").await;
            }
        };
        let retry_at = shared.clock.wall() + TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
        desk.progress.lock().postpone(retry_at, counts);
    }
}

/// Keeps an event among the dead letters and goes on; not before the store has both.
async fn bury(desk: &Desk, shared: &Shared, event: &Arc<Event>, place: Place, reason: &'static str) {
    let (attempts, last_error) = {
        let progress = desk.progress.lock();
        (progress.cursor.attempts, progress.last_error.filter(|_| progress.cursor.attempts > 0))
    };
    let letter = DeadLetter {
        webhook_id: desk.webhook.id,
        event: Arc::clone(event),
        buried_at: shared.clock.wall(),
        attempts,
        reason: reason.to_owned(),
        last_error: last_error.map(str::to_owned),
    };
    let cursor = desk.progress.lock().cursor_after(place);
    loop {
        // The cursor never passes events that only memory holds.
        if shared.is_settled() {
            match shared.store.bury_letter(&letter, &cursor, shared.rules.max_dead_letters).await {
                Ok(gone) => {
                    shared.meters.buried(reason, gone);
                    let mut progress = desk.progress.lock();
                    progress.tally.given_up += 1;
                    progress.dead_letters = (progress.dead_letters + 1).saturating_sub(gone);
                    progress.pass(place, Unstored::Nothing);
                    progress.stored_up_to(&cursor);
                    tracing::warn!(webhook = desk.webhook.name, event = %event.event_id, reason, "an event was given up");
                    return;
                }
                Err(error) => tracing::debug!(%error, "a dead letter cannot be kept now"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Shared {
    /// One try: made, measured and noted.
    pub(super) async fn deliver(&self, desk: &Desk, news: &News, attempt: u32, line: Option<Uuid>) -> Attempt {
        let (at, began) = (self.clock.wall(), self.clock.now());
        let delivery = match desk.webhook.letter(news, at, line) {
            Some(letter) => self.courier.deliver(letter).await,
            None => Delivery::NotRun,
        };
        let took = self.clock.now().saturating_duration_since(began);
        self.meters.tried(delivery, took);
        let attempt = Attempt::of(news, at, attempt, delivery, took);
        desk.progress.lock().note(attempt.clone());
        attempt
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
