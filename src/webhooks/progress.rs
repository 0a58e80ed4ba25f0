//! How far a webhook has been told, and how its latest deliveries ended. In memory; the cursor is stored by the keeper.

use std::{collections::VecDeque, time::Duration};

use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::ClusterId;
use uuid::Uuid;

use super::{courier::Delivery, format::News};
use crate::store::WebhookCursor;

/// Latest tries that are kept.
const KEPT: usize = 100;

/// One try.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began.
    pub at: DateTime<Utc>,
    /// Of which event.
    pub event_id: Uuid,
    /// What that tells of.
    pub event_type: &'static str,
    /// Whom it tells of.
    pub cluster_id: ClusterId,
    /// 1 for the first try of the event.
    pub attempt: u32,
    /// How it ended.
    pub delivery: Delivery,
    /// How long it took.
    pub took: Duration,
}

impl Attempt {
    /// A try of some news.
    pub fn of(news: &News, at: DateTime<Utc>, attempt: u32, delivery: Delivery, took: Duration) -> Self {
        let (event_id, event_type, cluster_id) = (news.id, news.event_type, news.cluster_id);
        Self { at, event_id, event_type, cluster_id, attempt, delivery, took }
    }
}

/// What of the cursor is not stored yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unstored {
    /// Nothing.
    #[default]
    Nothing,
    /// That events were passed by which it does not want.
    Passed,
    /// That something was told, or tried.
    Told,
}

/// What became of tries and events since this process started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Tries that were taken.
    pub delivered: u64,
    /// Tries that were not.
    pub failed: u64,
    /// Events that were given up.
    pub given_up: u64,
}

/// Where something stands that a webhook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this position of the log.
    InLog(i64),
    /// Behind it: a silence held it back.
    AfterSilence,
}

/// How far a webhook is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Where it is.
    pub cursor: WebhookCursor,
    /// What of that is not stored.
    pub unstored: Unstored,
    /// When the event happened that is being tried.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Since when every try has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// When something was taken last.
    pub last_delivered_at: Option<DateTime<Utc>>,
    /// How the last failed try ended, while none has succeeded since.
    pub last_error: Option<&'static str>,
    /// Events that were given up and are kept.
    pub dead_letters: u64,
    /// How tries ended since this process started, and how many events were given up.
    pub tally: Tally,
    recent: VecDeque<Attempt>,
}

impl Progress {
    /// As it was stored.
    pub fn stored(cursor: WebhookCursor, dead_letters: u64) -> Self {
        Self { cursor, dead_letters, ..Self::default() }
    }

    /// The newest tries, the newest first.
    pub fn recent(&self) -> impl Iterator<Item = &Attempt> {
        self.recent.iter().rev()
    }

    /// Everything up to this place is done with.
    pub fn pass(&mut self, place: Place, why: Unstored) {
        self.cursor = self.cursor_after(place);
        self.waiting_since = None;
        self.unstored = self.unstored.max(why);
    }

    /// What silences that ended up to then had held back is done with.
    pub fn hear(&mut self, heard_to: DateTime<Utc>, why: Unstored) {
        if heard_to > self.cursor.heard_to {
            self.cursor.heard_to = heard_to;
            self.unstored = self.unstored.max(why);
        }
    }

    /// The cursor once everything up to this place is done with.
    pub fn cursor_after(&self, place: Place) -> WebhookCursor {
        let position = match place {
            Place::InLog(position) => position,
            Place::AfterSilence => self.cursor.position,
        };
        WebhookCursor::beginning(position, self.cursor.heard_to)
    }

    /// Notes a try.
    pub fn note(&mut self, attempt: Attempt) {
        match attempt.delivery.outcome() {
            "delivered" => self.tally.delivered += 1,
            "failed" => self.tally.failed += 1,
            _ => {}
        }
        match attempt.delivery.error() {
            None => {
                self.last_delivered_at = Some(attempt.at);
                (self.failing_since, self.last_error) = (None, None);
            }
            Some(error) => {
                self.failing_since.get_or_insert(attempt.at);
                self.last_error = Some(error);
            }
        }
        self.recent.push_back(attempt);
        if self.recent.len() > KEPT {
            self.recent.pop_front();
        }
    }

    /// The event is tried again then. A try that was not made counts for none.
    pub fn postpone(&mut self, retry_at: DateTime<Utc>, counts: bool) {
        self.cursor.attempts = self.cursor.attempts.saturating_add(u32::from(counts));
        self.cursor.retry_at = Some(retry_at);
        self.unstored = Unstored::Told;
    }

    /// The destination is another: whatever waits is tried at once, with all its tries.
    pub fn begin_anew(&mut self) {
        (self.cursor.attempts, self.cursor.retry_at) = (0, None);
        (self.failing_since, self.last_error) = (None, None);
        self.unstored = Unstored::Told;
    }

    /// This much of the cursor is stored.
    pub fn stored_up_to(&mut self, cursor: &WebhookCursor) {
        if self.cursor == *cursor {
            self.unstored = Unstored::Nothing;
        }
    }
}
