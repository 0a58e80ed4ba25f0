//! The ports: the few traits through which the engine touches the world. A real second implementation or a clock forces each.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::{
    doubt::Vigil,
    event::Event,
    health::{CheckReport, Status, Transition},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
    target::Target,
};

/// Time is an argument: monotonic for deciding, wall for stamping.
pub trait Clock: Send + Sync + 'static {
    /// Monotonic now. Follows tokio's clock, so that tests can pause it.
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Wall-clock now, only ever used as a stamp.
    fn wall(&self) -> DateTime<Utc>;
}

/// Tells the engine that something about a cluster wants a look now (its kept connection was closed by the peer).
pub type Poke = Arc<dyn Fn() + Send + Sync>;

/// Opens sessions to clusters.
pub trait Prober: Send + Sync + 'static {
    /// A session for one target, without touching the network yet. `poke` is called when a kept connection is
    /// closed by the peer between checks. `vigil` knows what the process misses, if anybody keeps one.
    fn open(&self, target: Arc<Target>, poke: Poke, vigil: Option<Arc<Vigil>>) -> Box<dyn Session>;
}

/// What is kept between the checks of one cluster: connections, TLS sessions. Never shared between clusters.
pub trait Session: Send + 'static {
    /// Probes every configured endpoint concurrently, each under the target's deadline, which starts when the probe
    /// has its permit and is put off by what the vigil says the process missed, for [`PATIENCE`](crate::doubt::PATIENCE)
    /// times as long at most. A failure that want of time may cause is told as
    /// [`NotRun::Stalled`](crate::health::NotRun) then. With `fresh`, over new connections.
    /// Always ends; never panics on anything a spoke sends.
    fn check(&mut self, fresh: bool) -> BoxFuture<'_, CheckReport>;

    /// Follows a changed target: connections to endpoints that changed are dropped, others kept.
    fn retune(&mut self, target: Arc<Target>);
}

/// Remembers beyond the death of the process that events wait in memory only.
#[async_trait]
pub trait Marker: Send + Sync + 'static {
    /// Events that happened at `since` or later are about to be shown before they are stored. Returns when the next process would
    /// find that; also when it cannot be remembered, after a moment.
    async fn raise(&self, since: DateTime<Utc>);
}

/// A cluster of the roll as the store keeps it.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Metadata.
    pub cluster: Arc<Cluster>,
    /// Last stored status.
    pub status: Status,
    /// Sequence of its last event.
    pub sequence: i64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A cluster of that name is registered already.
    #[error("a cluster named '{0}' is already registered")]
    NameTaken(String),
    /// The row is gone.
    #[error("the cluster is not registered")]
    NotFound,
    /// The row is at another version than the writer believed.
    #[error("the row was changed by someone else")]
    Stale,
    /// The store cannot be reached or did not answer in time.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Private: for the log, never for a caller. Contains no password.
        reason: String,
        /// Could the write have happened all the same (the connection broke during commit)?
        doubtful: bool,
    },
    /// The store answered, but with an error that retrying will not mend.
    #[error("the store refused: {0}")]
    Broken(String),
}

/// The roll as stored: what should be watched.
#[async_trait]
pub trait Roll: Send + Sync + 'static {
    /// Id and generation of every cluster.
    async fn revisions(&self) -> Result<Vec<(ClusterId, i64)>, StoreError>;

    /// Those of `ids` that are registered, with their stored status; all of them when `ids` is `None`.
    async fn fetch(&self, ids: Option<&[ClusterId]>) -> Result<Vec<Enrolled>, StoreError>;
}

/// One flush of the recorder: all of it in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Statuses to write; one whose version is not newer than the stored one is skipped, one of a deleted cluster too.
    pub statuses: Vec<(ClusterId, Arc<Status>)>,
    /// Transitions for the history; a known `event_id` is skipped. Those of a deleted cluster are skipped.
    pub transitions: Vec<Arc<Transition>>,
    /// Events in the order of their positions; a known `event_id` moves to the position given here.
    pub events: Vec<Arc<Event>>,
    /// Rollups, replacing an earlier write of the same (cluster, start, run).
    pub rollups: Vec<Rollup>,
    /// Stamp: the process was alive and observing at this time.
    pub alive_at: Option<DateTime<Utc>>,
}

impl Batch {
    /// Nothing to write?
    pub fn is_empty(&self) -> bool {
        self.statuses.is_empty()
            && self.transitions.is_empty()
            && self.events.is_empty()
            && self.rollups.is_empty()
            && self.alive_at.is_none()
    }
}

/// Where the recorder writes.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Writes a batch in one transaction. Idempotent: the same batch again changes nothing.
    async fn record(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Which of these events are in the log. Answers only when no transaction that this process began earlier can still
    /// add any: one whose outcome nobody heard of may end late.
    async fn stored(&self, events: &[Uuid]) -> Result<Vec<Uuid>, StoreError>;

    /// The sequence of each cluster's last event, for those of `ids` that are registered ([`ClusterId::FLEET`] always).
    async fn sequences(&self, ids: &[ClusterId]) -> Result<Vec<(ClusterId, i64)>, StoreError>;
}

/// The event log as the fan-out and the live stream read it.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Events after `position`, in order, at most `limit`.
    async fn events_after(&self, position: i64, limit: u32) -> Result<Vec<Arc<Event>>, StoreError>;

    /// Position of the newest event, 0 when there is none.
    async fn head(&self) -> Result<i64, StoreError>;

    /// Position of the last event known to be published; everything after it waits. 0 at the beginning.
    async fn published(&self) -> Result<i64, StoreError>;

    /// Marks everything up to `position` as published. Never moves back.
    async fn mark_published(&self, position: i64) -> Result<(), StoreError>;

    /// How many events wait after `position`.
    async fn waiting(&self, position: i64) -> Result<u64, StoreError>;
}

/// Why a batch was not published.
#[derive(Debug, thiserror::Error)]
#[error("not published: {reason}")]
pub struct PublishError {
    /// For the log, without content.
    pub reason: String,
    /// The peer has forgotten what it acknowledged: only what is up to this position is there. Publish again from here.
    pub behind: Option<i64>,
}

impl PublishError {
    /// The peer did not take it.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), behind: None }
    }
}

/// Where the fan-out publishes (Redis).
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Publishes `events` in order. `Ok` means every one was acknowledged; an error means that any prefix may have
    /// been. Returns within a second or so, whatever the peer does.
    async fn publish(&self, events: &[Arc<Event>]) -> Result<(), PublishError>;
}
