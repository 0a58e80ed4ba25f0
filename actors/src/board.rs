//! The board: what every read comes from. A map in memory; no read of it ever asks an actor or the database.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use parking_lot::RwLock;

use crate::{
    health::Status,
    roll::{Cluster, ClusterId},
};

/// One cluster as the board shows it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Metadata.
    pub cluster: Arc<Cluster>,
    /// The last status shown.
    pub status: Arc<Status>,
    /// When the last check that ran ended, or watching began.
    pub checked: Instant,
    /// Two periods and a deadline: how long after `checked` the status counts as fresh.
    pub fresh_for: Duration,
}

impl Entry {
    /// Is the status overdue, or held back? Nothing stale may be shown as fresh.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.status.held || now.saturating_duration_since(self.checked) > self.fresh_for
    }
}

/// One place on the board.
type Slot = RwLock<Entry>;

/// The board: every place can be found by the id and by the name of its cluster.
#[derive(Debug, Default)]
pub struct Board {
    slots: DashMap<ClusterId, Arc<Slot>>,
    names: RwLock<BTreeMap<Arc<str>, Arc<Slot>>>,
}

impl Board {
    /// Puts a cluster up, or replaces what stands there.
    pub fn put(&self, entry: Entry) {
        let (id, name) = (entry.cluster.id, Arc::from(entry.cluster.name.as_str()));
        let slot = Arc::new(Slot::new(entry));
        let mut names = self.names.write();
        self.slots.insert(id, Arc::clone(&slot));
        names.insert(name, slot);
    }

    /// Replaces the metadata of a cluster, unless this generation or a newer one is up already. False when the cluster
    /// is not up.
    pub fn describe(&self, cluster: Arc<Cluster>) -> bool {
        self.change(cluster.id, |entry| {
            if entry.cluster.generation < cluster.generation {
                entry.cluster = cluster;
            }
        })
    }

    /// Sets what a cluster can do, whatever its generation. False when the cluster is not up.
    pub fn equip(&self, id: ClusterId, capabilities: serde_json::Value) -> bool {
        self.change(id, |entry| {
            entry.cluster = Arc::new(Cluster { capabilities: Some(capabilities), ..(*entry.cluster).clone() });
        })
    }

    /// Shows a new status, of a check that ended at `checked` if it comes from one. False when the cluster is not up
    /// (any more).
    pub fn show(&self, id: ClusterId, status: Arc<Status>, checked: Option<Instant>, fresh_for: Duration) -> bool {
        self.change(id, |entry| {
            entry.status = status;
            entry.checked = checked.unwrap_or(entry.checked);
            entry.fresh_for = fresh_for;
        })
    }

    fn change(&self, id: ClusterId, change: impl FnOnce(&mut Entry)) -> bool {
        let Some(slot) = self.slots.get(&id) else { return false };
        change(&mut slot.write());
        true
    }

    /// Takes a cluster down; its entry comes back.
    pub fn remove(&self, id: ClusterId) -> Option<Entry> {
        let mut names = self.names.write();
        let (_, slot) = self.slots.remove(&id)?;
        let entry = slot.read().clone();
        names.remove(entry.cluster.name.as_str());
        Some(entry)
    }

    /// One cluster.
    pub fn get(&self, id: ClusterId) -> Option<Entry> {
        self.slots.get(&id).map(|slot| slot.read().clone())
    }

    /// One cluster by its name.
    pub fn by_name(&self, name: &str) -> Option<Entry> {
        self.names.read().get(name).map(|slot| slot.read().clone())
    }

    /// How many clusters are up.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Visits every cluster in the order of names. `visit` must be quick and ask the board for nothing: no cluster is put up
    /// or taken down meanwhile.
    pub fn each(&self, mut visit: impl FnMut(&Entry)) {
        for slot in self.names.read().values() {
            visit(&slot.read());
        }
    }
}
