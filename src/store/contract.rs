//! The store contract. Both backends pass one conformance suite; nothing outside `store` knows which one runs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::{Event, EventType},
    health::{Endpoint, Evidence, State, Status},
    ports::{EventLog, Ledger, Roll, StoreError},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
};
use uuid::Uuid;

use super::{
    audit::AuditEntry,
    audit_log::AuditLog,
    callers::{Keys, SessionRows},
    secrets::SecretRows,
    silences::SilenceRows,
    webhooks::WebhookRows,
};

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only events after this position.
    pub after: i64,
    /// Only of this cluster.
    pub cluster_id: Option<ClusterId>,
    /// Only of these types; all when empty.
    pub event_types: Vec<EventType>,
    /// Only of these clusters. Where `cluster_id` is given, that counts alone.
    pub among: Option<Among>,
    /// At most so many.
    pub limit: u32,
}

/// Clusters whose events are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Among {
    /// These.
    pub cluster_ids: Vec<ClusterId>,
    /// And those that are not registered any more.
    pub removed: bool,
}

/// A transition as the history keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTransition {
    /// Id of the event that told of it.
    pub event_id: Uuid,
    /// From.
    pub old_state: State,
    /// To.
    pub new_state: State,
    /// When.
    pub at: DateTime<Utc>,
    /// The deciding cause's word, `recovered` when nothing fails.
    pub reason: String,
    /// In public words.
    pub message: Option<String>,
    /// Score in the new state.
    pub health_score: u8,
    /// What convinced the engine.
    pub evidence: Evidence,
}

/// A stretch of time in which the monitor observed nothing (it was stopped, or stalled).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whom it concerns; [`ClusterId::FLEET`] for everybody.
    pub cluster_id: ClusterId,
    /// From …
    pub from: DateTime<Utc>,
    /// … to.
    pub to: DateTime<Utc>,
    /// Why, in one word: `stopped`, `stalled`, `held`.
    pub reason: String,
}

/// What the janitor may remove: everything older than these times.
///
/// An event's age is its position, which is a time in microseconds. The store does not look at the cursor: where events
/// are published, the caller takes the earlier of the retention and the cursor for `events_before`.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Rollups and gaps that ended before.
    pub checks_before: DateTime<Utc>,
    /// Transitions before.
    pub transitions_before: DateTime<Utc>,
    /// Events whose position is before.
    pub events_before: DateTime<Utc>,
    /// Rows per statement.
    pub batch: u32,
}

/// A sealed credential as it is kept: nothing in it is secret without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// Whose.
    pub cluster_id: ClusterId,
    /// For which endpoint.
    pub kind: Endpoint,
    /// As what it was given.
    pub auth_type: String,
    /// Where it may be sent.
    pub bound_to: String,
    /// Which key opens it.
    pub key_id: String,
    /// The nonce of the seal.
    pub nonce: Vec<u8>,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
    /// When it ends, where it tells.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}

/// When a cluster was last asked what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDiscovery {
    /// Which cluster.
    pub cluster_id: ClusterId,
    /// When.
    pub attempted_at: DateTime<Utc>,
    /// How it went, in one word of at most 32 bytes.
    pub outcome: String,
}

/// The store. A change made for somebody takes the entries of the audit log that tell of it; none is for what the engine does of
/// itself. Every method returns within [`Store::call_timeout`] and a moment, whatever the server does.
#[async_trait]
pub trait Store:
    Roll + Ledger + EventLog + Keys + SessionRows + SilenceRows + AuditLog + WebhookRows + SecretRows
{
    /// Registers clusters with the events that tell of it, all in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] names the first name that is registered already; nothing was written then.
    async fn insert(
        &self,
        clusters: &[(Arc<Cluster>, Status)],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError>;

    /// Replaces a cluster's metadata, if the stored generation is `expected`, with the events that tell of it, and removes
    /// the sealed credentials of these endpoints.
    ///
    /// # Errors
    /// [`StoreError::Stale`] at another generation, [`StoreError::NotFound`] when it is not registered.
    async fn update(
        &self,
        cluster: &Cluster,
        expected: i64,
        events: &[Arc<Event>],
        unbound: &[Endpoint],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError>;

    /// Removes a cluster with its status, transitions and rollups. Its events stay.
    ///
    /// # Errors
    /// As for [`Store::update`]; `expected` is not compared when `None`.
    async fn delete(
        &self,
        id: ClusterId,
        expected: Option<i64>,
        event: &Arc<Event>,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError>;

    /// Appends events that tell of no change of a row (`MONITOR_DEGRADED`, `OBSERVATION_GAP`), with gaps to keep.
    async fn append(&self, events: &[Arc<Event>], gaps: &[Gap]) -> Result<(), StoreError>;

    /// Events by filter, in the order of their positions.
    async fn events(&self, filter: &EventFilter) -> Result<Vec<Arc<Event>>, StoreError>;

    /// A cluster's transitions within `[from, to)`, newest first, at most `limit`.
    async fn transitions(
        &self,
        id: ClusterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<StoredTransition>, StoreError>;

    /// The newest transition before `at`: tells which state a window begins in.
    async fn transition_before(&self, id: ClusterId, at: DateTime<Utc>)
    -> Result<Option<StoredTransition>, StoreError>;

    /// A cluster's rollups that start within `[from, to)`, oldest first. Several runs may share one start.
    async fn rollups(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Rollup>, StoreError>;

    /// Gaps that overlap `[from, to)`, of this cluster and of the fleet, oldest first.
    async fn gaps(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Gap>, StoreError>;

    /// When an earlier run last said that it was alive.
    async fn last_alive(&self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// One janitor's round: at most `retention.batch` rows of each kind. Returns how many rows went.
    async fn prune(&self, retention: &Retention) -> Result<u64, StoreError>;

    /// Up to `limit` sealed credentials after one, in the order of cluster and kind.
    async fn sealed_credentials(
        &self,
        after: Option<(ClusterId, Endpoint)>,
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError>;

    /// Sets sealed credentials of one cluster and removes others of it, with the events that tell of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the cluster is not registered.
    async fn write_credentials(
        &self,
        id: ClusterId,
        put: &[SealedRow],
        gone: &[Endpoint],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError>;

    /// Replaces the seal of rows that still have the nonce given with each; the others were written anew meanwhile. Returns
    /// how many were replaced.
    async fn reseal_credentials(&self, rows: &[(Vec<u8>, SealedRow)], audit: &[AuditEntry]) -> Result<u64, StoreError>;

    /// When each cluster was last asked what it can do; those never asked are left out.
    async fn discoveries(&self) -> Result<Vec<StoredDiscovery>, StoreError>;

    /// Notes that a cluster was asked what it can do, and sets what was found, if anything, with the events that tell of
    /// it. Its generation stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the cluster is not registered; nothing was written then.
    async fn write_discovery(
        &self,
        discovery: &StoredDiscovery,
        capabilities: Option<&serde_json::Value>,
        events: &[Arc<Event>],
    ) -> Result<(), StoreError>;

    /// Does it answer?
    async fn ping(&self) -> Result<(), StoreError>;

    /// The longest time that a call takes, in which a write has to be done.
    fn call_timeout(&self) -> Duration;

    /// Name of the backend: `sqlite` or `postgresql`.
    fn backend(&self) -> &'static str;

    /// Closes every connection.
    async fn close(&self);
}
