//! Single writes: register, change, remove.

use std::{future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use fleetbeat_actors::{
    board::{Board, Entry},
    event::{EventDraft, EventType},
    health::{Endpoint, Status},
    outbox::{Outbox, Pen},
    ports::{Clock, StoreError},
    roll::{Cluster, ClusterId},
    target::{Cadence, Policy, Target},
};
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{change::Change, error::WriteError, source, spec::Spec, watch::Watch};
use crate::{
    audit::Action,
    credentials::Vault,
    identity::Author,
    store::{self, AuditEntry, Store},
    traces,
};

/// A write that has not ended so long after its time never will.
const LAST_RESORT: Duration = Duration::from_millis(100);

/// The generation a caller expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precondition(pub i64);

/// What a write left behind.
#[derive(Clone, Debug)]
pub struct Written {
    /// The cluster as the board shows it now.
    pub entry: Entry,
    /// Did anything change?
    pub changed: bool,
    /// Endpoints whose credentials went, because they were bound to another place.
    pub unbound: Vec<Endpoint>,
}

/// The registry's writing side.
pub struct Registration {
    pub(super) board: Arc<Board>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) store: Arc<dyn Store>,
    pub(super) engine: Arc<dyn Watch>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) policy: Policy,
    pub(super) vault: Arc<Vault>,
    /// One writer at a time, from reading the board to changing it.
    gate: Mutex<()>,
    /// Where writes run, wherever they are asked for.
    runtime: Handle,
}

/// A writer's turn at the gate, with the time it has left.
pub(super) struct Turn<'a> {
    _gate: MutexGuard<'a, ()>,
    deadline: Instant,
}

impl Turn<'_> {
    /// What is left of the turn.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs a store's write inside the turn. One that does not end by itself in time is in doubt.
    pub(super) async fn store(&self, write: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
        let late = || StoreError::Unavailable { reason: "no answer in time".to_owned(), doubtful: true };
        let write = store::until(self.deadline, write);
        tokio::time::timeout_at(self.deadline + LAST_RESORT, write).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Registration {
    /// The writing side of a registry. Its writes run on the runtime in which this is called, and it panics outside of one.
    pub fn new(
        board: Arc<Board>,
        outbox: Arc<Outbox>,
        store: Arc<dyn Store>,
        engine: Arc<dyn Watch>,
        clock: Arc<dyn Clock>,
        policy: Policy,
        vault: Arc<Vault>,
    ) -> Self {
        Self { board, outbox, store, engine, clock, policy, vault, gate: Mutex::new(()), runtime: Handle::current() }
    }

    /// How much of a write's time, which is that of a call of the store, may be spent on waiting for other writers.
    fn queue_budget(&self) -> Duration {
        self.store.call_timeout() * 4 / 9
    }

    /// The outbox's pen, inside the turn.
    pub(super) async fn pen(&self, turn: &Turn<'_>) -> Result<Pen<'_>, WriteError> {
        Ok(self.outbox.pen(turn.left().min(self.queue_budget())).await?)
    }

    /// Registers a cluster.
    ///
    /// # Errors
    /// [`WriteError::NameTaken`], [`WriteError::SourceTaken`], [`WriteError::OutOfScope`], [`WriteError::Unavailable`].
    pub async fn register(self: &Arc<Self>, spec: Spec, by: Author) -> Result<Written, WriteError> {
        let this = Arc::clone(self);
        self.detached(async move { this.register_now(spec, &by).await }).await
    }

    /// Changes a cluster's spec. A change that changes nothing writes nothing.
    ///
    /// # Errors
    /// [`WriteError::Invalid`], [`WriteError::NotFound`], [`WriteError::OutOfScope`], [`WriteError::Precondition`],
    /// [`WriteError::SourceTaken`], [`WriteError::Unavailable`].
    pub async fn change(
        self: &Arc<Self>,
        id: ClusterId,
        change: Change,
        expected: Option<Precondition>,
        by: Author,
    ) -> Result<Written, WriteError> {
        let this = Arc::clone(self);
        self.detached(async move { this.change_now(id, change, expected, &by, Action::ClusterUpdate).await }).await
    }

    /// Removes a cluster. Its events stay in the log.
    ///
    /// # Errors
    /// [`WriteError::NotFound`], [`WriteError::Precondition`], [`WriteError::Unavailable`].
    pub async fn remove(
        self: &Arc<Self>,
        id: ClusterId,
        expected: Option<Precondition>,
        by: Author,
    ) -> Result<(), WriteError> {
        let this = Arc::clone(self);
        self.detached(async move { this.remove_now(id, expected, &by).await }).await
    }

    /// How a cluster is checked.
    pub fn cadence(&self, cluster: &Cluster) -> Cadence {
        self.policy.cadence(cluster)
    }

    /// What is watched of a cluster.
    pub fn target(&self, cluster: &Arc<Cluster>) -> Target {
        self.policy.target(Arc::clone(cluster))
    }

    async fn register_now(&self, spec: Spec, by: &Author) -> Result<Written, WriteError> {
        let turn = self.turn().await?;
        let now = self.now();
        let cluster = Arc::new(spec.enrol(now, by.who.clone()));
        if !by.reaches(&cluster) {
            return Err(WriteError::OutOfScope);
        }
        if self.board.by_name(&cluster.name).is_some() {
            return Err(WriteError::NameTaken(cluster.name.clone()));
        }
        self.has_own_source(&cluster)?;
        let mut pen = self.pen(&turn).await?;
        let event = pen.write(registered(&cluster, now))?;
        let rows = [(Arc::clone(&cluster), Status::unknown(now))];
        let told = [created(Action::ClusterCreate, &cluster, by)];
        let done = turn.store(self.store.insert(&rows, &[event], &told)).await;
        self.settle(pen, done, &[cluster.id])?;
        let entry = self.show_new(&cluster);
        self.engine.poke(cluster.id);
        tracing::info!(id = %cluster.id, name = cluster.name, "cluster registered");
        Ok(Written { entry, changed: true, unbound: Vec::new() })
    }

    pub(super) async fn change_now(
        &self,
        id: ClusterId,
        change: Change,
        expected: Option<Precondition>,
        by: &Author,
        action: Action,
    ) -> Result<Written, WriteError> {
        let turn = self.turn().await?;
        let entry = self.at_generation(id, expected, by)?;
        let (spec, fields) = change.apply(&entry.cluster)?;
        if fields.is_empty() {
            return Ok(Written { entry, changed: false, unbound: Vec::new() });
        }
        let now = self.now();
        let cluster = Arc::new(spec.succeed(&entry.cluster, now));
        if !by.reaches(&cluster) {
            return Err(WriteError::OutOfScope);
        }
        if cluster.source != entry.cluster.source {
            self.has_own_source(&cluster)?;
        }
        let mut pen = self.pen(&turn).await?;
        let mut events = vec![pen.write(updated(&cluster, &fields, now))?];
        let mut audit = vec![changed(action, &cluster, &fields, by)];
        let (mut unbound, mut rest) = (Vec::new(), None);
        if let Some((gone, left, draft)) = self.unbound_by(&cluster) {
            events.push(pen.write(draft)?);
            audit.push(invalidated(&cluster, &gone, by));
            (unbound, rest) = (gone, Some(left));
        }
        // Before the change: a credential must not outlive the place that it is bound to.
        if !unbound.is_empty() {
            let done = turn.store(self.vault.store().unbind(&entry.cluster, &unbound)).await;
            done.map_err(|error| WriteError::of_store(error, id))?;
        }
        let update = self.store.update(&cluster, entry.cluster.generation, &events, &unbound, &audit);
        let done = turn.store(update).await;
        self.settle(pen, done, &[id])?;
        if let Some(rest) = rest {
            self.vault.memory().put(id, rest);
        }
        self.board.describe(Arc::clone(&cluster));
        self.engine.poke(id);
        tracing::info!(%id, name = cluster.name, generation = cluster.generation, ?fields, "cluster updated");
        Ok(Written { entry: Entry { cluster, ..self.board.get(id).unwrap_or(entry) }, changed: true, unbound })
    }

    async fn remove_now(&self, id: ClusterId, expected: Option<Precondition>, by: &Author) -> Result<(), WriteError> {
        let turn = self.turn().await?;
        let entry = self.at_generation(id, expected, by)?;
        let mut pen = self.pen(&turn).await?;
        let event = pen.write(deleted(&entry.cluster, self.now()))?;
        let known = expected.map(|Precondition(generation)| generation);
        let told = by.origin.did(Action::ClusterDelete, self.now()).of_cluster(id).of_object(&entry.cluster.name);
        match turn.store(self.store.delete(id, known, &event, &[told])).await {
            Ok(()) => pen.commit_and_forget(id),
            failed => self.settle(pen, failed, &[id])?,
        }
        self.board.remove(id);
        self.vault.forget(id);
        self.engine.poke(id);
        tracing::info!(%id, name = entry.cluster.name, "cluster deleted");
        Ok(())
    }

    fn at_generation(&self, id: ClusterId, expected: Option<Precondition>, by: &Author) -> Result<Entry, WriteError> {
        let entry = self.board.get(id).filter(|entry| by.reaches(&entry.cluster)).ok_or(WriteError::NotFound(id))?;
        let current = entry.cluster.generation;
        match expected {
            Some(Precondition(generation)) if generation != current => Err(WriteError::Precondition { current }),
            _ => Ok(entry),
        }
    }

    fn has_own_source(&self, cluster: &Cluster) -> Result<(), WriteError> {
        let is_taken = cluster.source.as_deref().is_some_and(|key| source::is_taken(&self.board, key, cluster.id));
        if is_taken { Err(WriteError::SourceTaken) } else { Ok(()) }
    }

    /// Waits for the turn of this writer.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, WriteError> {
        let deadline = Instant::now() + self.store.call_timeout();
        let gate = tokio::time::timeout(self.queue_budget(), self.gate.lock()).await.map_err(|_| WriteError::BUSY)?;
        Ok(Turn { _gate: gate, deadline })
    }

    /// Ends a write of these clusters the way the store did: stored, not stored, or in doubt.
    pub(super) fn settle(
        &self,
        pen: Pen<'_>,
        done: Result<(), StoreError>,
        ids: &[ClusterId],
    ) -> Result<(), WriteError> {
        let Err(error) = done else {
            pen.commit();
            return Ok(());
        };
        match error {
            StoreError::Unavailable { doubtful: true, .. } => {
                pen.doubt();
                self.look_later(ids.to_vec());
            }
            _ => drop(pen),
        }
        ids.iter().for_each(|id| self.engine.poke(*id));
        Err(WriteError::of_store(error, ids.first().copied().unwrap_or(ClusterId::FLEET)))
    }

    /// What is in doubt now may be stored a moment later.
    fn look_later(&self, ids: Vec<ClusterId>) {
        let (engine, pause) = (Arc::clone(&self.engine), self.store.call_timeout() * 2);
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            ids.into_iter().for_each(|id| engine.poke(id));
        });
    }

    /// Puts a new cluster up, unless the engine was quicker.
    pub(super) fn show_new(&self, cluster: &Arc<Cluster>) -> Entry {
        let cadence = self.policy.cadence(cluster);
        let entry = Entry {
            cluster: Arc::clone(cluster),
            status: Arc::new(Status::unknown(cluster.created_at)),
            checked: self.clock.now(),
            fresh_for: cadence.period * 2 + cadence.deadline,
        };
        if !self.board.describe(Arc::clone(cluster)) {
            self.board.put(entry.clone());
        }
        self.board.get(cluster.id).unwrap_or(entry)
    }

    /// Runs a write to its end even when its caller goes away: a half-told write would lose its place in the log. It runs
    /// beside the engine and the store, not among the callers: others wait for their turn behind it.
    pub(super) async fn detached<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, WriteError>> + Send + 'static,
    ) -> Result<T, WriteError> {
        self.runtime.spawn(traces::carried(write)).await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "a write died");
            Err(WriteError::Internal)
        })
    }

    /// Wall time as it is stored: whole milliseconds.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.wall().trunc_subsecs(3)
    }
}

/// What the audit log tells of a new cluster.
pub(super) fn created(action: Action, cluster: &Cluster, by: &Author) -> AuditEntry {
    let entry = by.origin.did(action, cluster.created_at).of_cluster(cluster.id).of_object(&cluster.name);
    entry.with("generation", json!(cluster.generation))
}

fn changed(action: Action, cluster: &Cluster, fields: &[String], by: &Author) -> AuditEntry {
    let entry = by.origin.did(action, cluster.updated_at).of_cluster(cluster.id).of_object(&cluster.name);
    entry.with("generation", json!(cluster.generation)).with("fields", json!(fields))
}

fn invalidated(cluster: &Cluster, gone: &[Endpoint], by: &Author) -> AuditEntry {
    let at = cluster.updated_at;
    let entry = by.origin.did(Action::CredentialsInvalidate, at).of_cluster(cluster.id).of_object(&cluster.name);
    entry.with("endpoints", json!(gone.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()))
}

/// The event that tells of a new cluster.
pub(super) fn registered(cluster: &Cluster, now: DateTime<Utc>) -> EventDraft {
    EventDraft::new(EventType::ClusterRegistered, cluster.id, now, told(cluster))
}

fn updated(cluster: &Cluster, fields: &[String], now: DateTime<Utc>) -> EventDraft {
    let mut payload = told(cluster);
    payload["changed_fields"] = json!(fields);
    EventDraft::new(EventType::ClusterUpdated, cluster.id, now, payload)
}

fn deleted(cluster: &Cluster, now: DateTime<Utc>) -> EventDraft {
    let payload = json!({ "cluster_id": cluster.id, "cluster_name": cluster.name, "labels": cluster.labels });
    EventDraft::new(EventType::ClusterDeleted, cluster.id, now, payload)
}

/// The cluster as events tell of it: everything but the CA bundle, which can be large.
fn told(cluster: &Cluster) -> Value {
    let mut payload = serde_json::to_value(cluster).unwrap_or_default();
    if let Some(map) = payload.as_object_mut() {
        map.remove("ca_bundle");
        map.insert("cluster_id".to_owned(), json!(cluster.id));
    }
    payload
}
