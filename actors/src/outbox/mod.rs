//! The outbox: the one place where events get their place in the log, and where live readers follow it.
//!
//! Every event of the process passes through here, so that places are given in the order of commits: a reader that has
//! seen position *p* never meets a smaller one later. Recent events stay in memory; older ones are read from the log.

mod sequences;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use tokio::sync::{Mutex, MutexGuard, watch};
use uuid::Uuid;

use crate::{
    event::{Event, EventDraft},
    ports::Clock,
    roll::ClusterId,
};
use sequences::Sequences;

/// How many stored events stay in memory for live readers.
const KEPT: usize = 8_192;

/// Why no pen can be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutboxError {
    /// Events wait for the store; a change that must be stored cannot be made now.
    #[error("the store is unavailable")]
    Unsaved,
    /// Another writer held the pen for too long.
    #[error("the event log is busy")]
    Busy,
    /// The cluster's last sequence is not known until the store answers.
    #[error("the last event of the cluster is in doubt")]
    InDoubt,
}

/// What a reader gets that asks for the events after a position.
#[derive(Debug)]
pub enum Recent {
    /// The next events, possibly none.
    Events(Vec<Arc<Event>>),
    /// Memory does not reach back that far: read the log.
    ReadLog,
}

/// What commits of unknown outcome left behind.
#[derive(Debug, Default)]
pub(crate) struct Doubted {
    /// Clusters whose last sequence is not known.
    pub(crate) clusters: Vec<ClusterId>,
    /// Events that may be in the log.
    pub(crate) events: Vec<Uuid>,
}

/// What the store says of those.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Last sequences of the clusters that are registered.
    pub(crate) sequences: Vec<(ClusterId, i64)>,
    /// The events that are in the log.
    pub(crate) stored: Vec<Uuid>,
}

#[derive(Debug)]
struct Window {
    events: VecDeque<Arc<Event>>,
    /// Everything after this position is in `events`.
    complete_after: i64,
    /// How many of the newest in `events` are not stored yet.
    unsaved: usize,
}

/// The outbox.
pub struct Outbox {
    clock: Arc<dyn Clock>,
    desk: Mutex<Sequences>,
    window: RwLock<Window>,
    head: watch::Sender<i64>,
    doubtful: AtomicBool,
}

impl Outbox {
    /// An outbox that continues a log whose newest event is at `head`, with the last sequences of all clusters.
    pub fn new(clock: Arc<dyn Clock>, head: i64, sequences: impl IntoIterator<Item = (ClusterId, i64)>) -> Self {
        Self {
            clock,
            desk: Mutex::new(Sequences::new(head, sequences)),
            window: RwLock::new(Window { events: VecDeque::new(), complete_after: head, unsaved: 0 }),
            head: watch::Sender::new(head),
            doubtful: AtomicBool::new(false),
        }
    }

    /// The pen for a change that must be stored with its events. Waits for other writers, at most `patience`.
    pub async fn pen(&self, patience: Duration) -> Result<Pen<'_>, OutboxError> {
        if self.unsaved() > 0 {
            return Err(OutboxError::Unsaved);
        }
        let pen = self.lock(patience).await?;
        if self.unsaved() > 0 { Err(OutboxError::Unsaved) } else { Ok(pen) }
    }

    /// The pen for the recorder, which may write while events wait for the store.
    pub(crate) async fn recorder_pen(&self) -> Pen<'_> {
        Pen { outbox: self, desk: self.desk.lock().await, written: Vec::new() }
    }

    async fn lock(&self, patience: Duration) -> Result<Pen<'_>, OutboxError> {
        let desk = tokio::time::timeout(patience, self.desk.lock()).await.map_err(|_| OutboxError::Busy)?;
        Ok(Pen { outbox: self, desk, written: Vec::new() })
    }

    /// Follows the position of the newest event.
    pub fn head(&self) -> watch::Receiver<i64> {
        self.head.subscribe()
    }

    /// Up to `limit` events after `position`, from memory.
    pub fn after(&self, position: i64, limit: usize) -> Recent {
        let window = self.window.read();
        if position < window.complete_after {
            return Recent::ReadLog;
        }
        let from = window.events.partition_point(|event| event.position <= position);
        Recent::Events(window.events.range(from..).take(limit).cloned().collect())
    }

    /// How many events wait for the store.
    pub fn unsaved(&self) -> usize {
        self.window.read().unsaved
    }

    /// Is the last sequence of any cluster unknown until the store answers?
    pub fn has_doubts(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }

    /// Up to `limit` of the events that wait for the store, oldest first.
    pub(crate) fn unsaved_events(&self, limit: usize) -> Vec<Arc<Event>> {
        let window = self.window.read();
        window.events.range(window.events.len() - window.unsaved..).take(limit).cloned().collect()
    }

    /// The store has taken the `count` oldest unsaved events.
    pub(crate) fn saved(&self, count: usize) {
        let mut window = self.window.write();
        window.unsaved = window.unsaved.saturating_sub(count);
        window.trim();
    }

    fn show(&self, events: Vec<Arc<Event>>, stored: bool) {
        let Some(newest) = events.last().map(|event| event.position) else { return };
        let mut window = self.window.write();
        if !stored {
            window.unsaved += events.len();
        }
        window.events.extend(events);
        window.trim();
        drop(window);
        self.head.send_replace(newest);
    }
}

impl Window {
    fn trim(&mut self) {
        while self.events.len() > KEPT.max(self.unsaved) {
            if let Some(oldest) = self.events.pop_front() {
                self.complete_after = oldest.position;
            }
        }
    }
}

/// The right to write the next events. Dropped without a commit, nothing was written.
pub struct Pen<'a> {
    outbox: &'a Outbox,
    desk: MutexGuard<'a, Sequences>,
    written: Vec<Arc<Event>>,
}

impl Pen<'_> {
    /// Gives a draft its place.
    ///
    /// # Errors
    /// [`OutboxError::InDoubt`] when the last sequence of the cluster is not known. A cluster that was never seen
    /// starts at 1; that a cluster still exists is for the store to check.
    pub fn write(&mut self, draft: EventDraft) -> Result<Arc<Event>, OutboxError> {
        let micros = self.outbox.clock.wall().timestamp_micros();
        let cluster_id = draft.cluster_id;
        let sequence = self.desk.next(cluster_id).ok_or(OutboxError::InDoubt)?;
        let event = Arc::new(Event::place(draft, self.desk.next_position(micros), sequence));
        self.desk.advance(cluster_id, event.position, sequence);
        self.written.push(Arc::clone(&event));
        Ok(event)
    }

    /// Does this cluster have a place in the log (registered, not deleted)?
    pub fn knows(&self, cluster_id: ClusterId) -> bool {
        self.desk.knows(cluster_id)
    }

    /// Is the last sequence of this cluster unknown until the store answers?
    pub(crate) fn is_in_doubt(&self, cluster_id: ClusterId) -> bool {
        self.desk.next(cluster_id).is_none()
    }

    /// When the first of the written events happened.
    pub(crate) fn earliest(&self) -> Option<DateTime<Utc>> {
        self.written.iter().map(|event| event.timestamp).min()
    }

    /// The written events are stored: everybody may see them.
    pub fn commit(mut self) {
        self.desk.keep();
        self.outbox.show(std::mem::take(&mut self.written), true);
    }

    /// As [`Pen::commit`], and the cluster is gone: later drafts of it are refused by [`Pen::knows`].
    pub fn commit_and_forget(mut self, cluster_id: ClusterId) {
        self.desk.forget(cluster_id);
        self.commit();
    }

    /// The store could not be reached: everybody may see the events, and they wait in memory for it.
    pub(crate) fn commit_unsaved(mut self) {
        self.desk.keep();
        self.outbox.show(std::mem::take(&mut self.written), false);
    }

    /// It is not known whether the store took the events: their clusters are in doubt until [`Pen::settle`].
    pub fn doubt(mut self) {
        let events = std::mem::take(&mut self.written);
        self.desk.doubt(events);
        self.outbox.doubtful.store(true, Ordering::Release);
    }

    /// What is in doubt.
    pub(crate) fn in_doubt(&self) -> Doubted {
        self.desk.in_doubt()
    }

    /// Ends all doubt with what the store says of it; clusters that it does not mention are gone. Events that turn out to
    /// be stored are written again, under new positions, since nobody was shown them: they are returned, to be stored so.
    pub(crate) fn settle(&mut self, standing: &Standing) -> Vec<Arc<Event>> {
        let found = self.desk.settle(standing, self.outbox.clock.wall().timestamp_micros());
        self.written.extend(found.iter().cloned());
        self.outbox.doubtful.store(false, Ordering::Release);
        found
    }
}

impl Drop for Pen<'_> {
    fn drop(&mut self) {
        self.desk.roll_back();
    }
}
