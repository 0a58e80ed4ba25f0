//! A store and a publisher in memory that can be switched off.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    event::Event,
    health::{Status, Transition},
    ports::{Batch, Enrolled, EventLog, Ledger, PublishError, Publisher, Roll, StoreError},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
};

#[derive(Default)]
struct Rows {
    clusters: HashMap<ClusterId, (Arc<Cluster>, Status)>,
    events: Vec<Arc<Event>>,
    transitions: Vec<Arc<Transition>>,
    rollups: Vec<Rollup>,
    last_alive: Option<DateTime<Utc>>,
    look_ups: usize,
    published: i64,
    writes: usize,
    torn: usize,
}

impl Rows {
    fn are_torn(&self) -> bool {
        let last: HashMap<_, _> = self.transitions.iter().map(|one| (one.cluster_id, one.new_state)).collect();
        last.iter().any(|(id, state)| self.clusters.get(id).is_some_and(|(_, status)| status.state != *state))
    }
}

/// What the engine needs of a store, in memory.
#[derive(Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
    away: AtomicBool,
}

impl MemoryStore {
    /// A store with these clusters, never checked.
    pub fn with(clusters: &[Arc<Cluster>]) -> Arc<Self> {
        let store = Self::default();
        clusters.iter().for_each(|cluster| store.put(Arc::clone(cluster)));
        Arc::new(store)
    }

    /// Registers a cluster, or replaces its metadata.
    pub fn put(&self, cluster: Arc<Cluster>) {
        let mut rows = self.rows.lock();
        let status = rows.clusters.get(&cluster.id).map(|(_, status)| status.clone());
        let status = status.unwrap_or_else(|| Status::unknown(cluster.created_at));
        rows.clusters.insert(cluster.id, (cluster, status));
    }

    /// Removes a cluster.
    pub fn remove(&self, id: ClusterId) {
        self.rows.lock().clusters.remove(&id);
    }

    /// Switches the store off (true) or on again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// The event log.
    pub fn log(&self) -> Vec<Arc<Event>> {
        self.rows.lock().events.clone()
    }

    /// The transitions of one cluster, oldest first.
    pub fn transitions_of(&self, id: ClusterId) -> Vec<Arc<Transition>> {
        self.rows.lock().transitions.iter().filter(|transition| transition.cluster_id == id).cloned().collect()
    }

    /// The stored status of one cluster.
    pub fn status_of(&self, id: ClusterId) -> Option<Status> {
        self.rows.lock().clusters.get(&id).map(|(_, status)| status.clone())
    }

    /// Rollups written so far.
    pub fn rollups(&self) -> Vec<Rollup> {
        self.rows.lock().rollups.clone()
    }

    /// The last sign of life.
    pub fn last_alive(&self) -> Option<DateTime<Utc>> {
        self.rows.lock().last_alive
    }

    /// How often clusters were looked up, answered or not.
    pub fn look_ups(&self) -> usize {
        self.rows.lock().look_ups
    }

    /// How many batches were written.
    pub fn writes(&self) -> usize {
        self.rows.lock().writes
    }

    /// Writes after which a stored state was not the one that the last stored transition of its cluster leads to: a process
    /// that dies then does not resume where its log ends.
    pub fn torn(&self) -> usize {
        self.rows.lock().torn
    }

    fn available(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { reason: "switched off".to_owned(), doubtful: false });
        }
        Ok(())
    }
}

#[async_trait]
impl Roll for MemoryStore {
    async fn revisions(&self) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        self.available()?;
        Ok(self.rows.lock().clusters.values().map(|(cluster, _)| (cluster.id, cluster.generation)).collect())
    }

    async fn fetch(&self, ids: Option<&[ClusterId]>) -> Result<Vec<Enrolled>, StoreError> {
        self.rows.lock().look_ups += 1;
        self.available()?;
        let rows = self.rows.lock();
        let sequence = |id| rows.events.iter().filter(|event| event.cluster_id == id).count() as i64;
        let chosen = rows.clusters.values().filter(|(cluster, _)| ids.is_none_or(|ids| ids.contains(&cluster.id)));
        Ok(chosen
            .map(|(cluster, status)| Enrolled {
                cluster: Arc::clone(cluster),
                status: status.clone(),
                sequence: sequence(cluster.id),
            })
            .collect())
    }
}

#[async_trait]
impl Ledger for MemoryStore {
    async fn record(&self, batch: &Batch) -> Result<(), StoreError> {
        self.available()?;
        let mut rows = self.rows.lock();
        let rows = &mut *rows;
        rows.writes += 1;
        for (id, status) in &batch.statuses {
            if let Some((_, stored)) = rows.clusters.get_mut(id)
                && stored.version < status.version
            {
                *stored = (**status).clone();
            }
        }
        let written: HashSet<_> = batch.events.iter().map(|event| event.event_id).collect();
        rows.events.retain(|event| !written.contains(&event.event_id));
        rows.events.extend(batch.events.iter().cloned());
        rows.events.sort_by_key(|event| event.position);
        let known: HashSet<_> = rows.transitions.iter().map(|transition| transition.event_id).collect();
        rows.transitions.extend(batch.transitions.iter().filter(|t| !known.contains(&t.event_id)).cloned());
        rows.rollups.extend(batch.rollups.iter().cloned());
        rows.last_alive = rows.last_alive.max(batch.alive_at);
        rows.torn += usize::from(rows.are_torn());
        Ok(())
    }

    async fn stored(&self, events: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        self.available()?;
        let rows = self.rows.lock();
        Ok(rows.events.iter().map(|event| event.event_id).filter(|id| events.contains(id)).collect())
    }

    async fn sequences(&self, ids: &[ClusterId]) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        self.available()?;
        let rows = self.rows.lock();
        let last = |id| rows.events.iter().filter(|event| event.cluster_id == id).count() as i64;
        let known = ids.iter().filter(|id| **id == ClusterId::FLEET || rows.clusters.contains_key(id));
        Ok(known.map(|id| (*id, last(*id))).collect())
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    async fn events_after(&self, position: i64, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        self.available()?;
        let rows = self.rows.lock();
        Ok(rows.events.iter().filter(|event| event.position > position).take(limit as usize).cloned().collect())
    }

    async fn head(&self) -> Result<i64, StoreError> {
        self.available()?;
        Ok(self.rows.lock().events.last().map_or(0, |event| event.position))
    }

    async fn published(&self) -> Result<i64, StoreError> {
        self.available()?;
        Ok(self.rows.lock().published)
    }

    async fn mark_published(&self, position: i64) -> Result<(), StoreError> {
        self.available()?;
        let mut rows = self.rows.lock();
        rows.published = rows.published.max(position);
        Ok(())
    }

    async fn waiting(&self, position: i64) -> Result<u64, StoreError> {
        self.available()?;
        Ok(self.rows.lock().events.iter().filter(|event| event.position > position).count() as u64)
    }
}

/// A publisher that keeps what it was given, and can be switched off.
#[derive(Default)]
pub struct MemoryPublisher {
    published: Mutex<Vec<Arc<Event>>>,
    forgotten: Mutex<Option<i64>>,
    away: AtomicBool,
}

impl MemoryPublisher {
    /// Switches it off (true) or on again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// At the next batch it turns out to have forgotten everything after `position`.
    pub fn forget_after(&self, position: i64) {
        *self.forgotten.lock() = Some(position);
    }

    /// Everything published, in order.
    pub fn published(&self) -> Vec<Arc<Event>> {
        self.published.lock().clone()
    }
}

#[async_trait]
impl Publisher for MemoryPublisher {
    async fn publish(&self, events: &[Arc<Event>]) -> Result<(), PublishError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(PublishError::refused("switched off"));
        }
        if let Some(end) = self.forgotten.lock().take() {
            self.published.lock().retain(|event| event.position <= end);
            return Err(PublishError { reason: "forgot".to_owned(), behind: Some(end) });
        }
        self.published.lock().extend(events.iter().cloned());
        Ok(())
    }
}
