//! The board: what every read comes from. A map in memory; no read of it ever asks an actor or the database.

use std::{
    collections::BTreeMap,
    ops::Bound,
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

/// The board.
#[derive(Debug, Default)]
pub struct Board {
    entries: DashMap<ClusterId, Entry>,
    names: RwLock<BTreeMap<Arc<str>, ClusterId>>,
}

impl Board {
    /// Puts a cluster up, or replaces what stands there.
    pub fn put(&self, entry: Entry) {
        let (id, name) = (entry.cluster.id, Arc::from(entry.cluster.name.as_str()));
        let mut names = self.names.write();
        self.entries.insert(id, entry);
        names.insert(name, id);
    }

    /// Replaces the metadata of a cluster, unless this generation or a newer one is up already. False when the cluster
    /// is not up.
    pub fn describe(&self, cluster: Arc<Cluster>) -> bool {
        let Some(mut entry) = self.entries.get_mut(&cluster.id) else { return false };
        if entry.cluster.generation < cluster.generation {
            entry.cluster = cluster;
        }
        true
    }

    /// Sets what a cluster can do, whatever its generation. False when the cluster is not up.
    pub fn equip(&self, id: ClusterId, capabilities: serde_json::Value) -> bool {
        let Some(mut entry) = self.entries.get_mut(&id) else { return false };
        entry.cluster = Arc::new(Cluster { capabilities: Some(capabilities), ..(*entry.cluster).clone() });
        true
    }

    /// Shows a new status, of a check that ended at `checked` if it comes from one. False when the cluster is not up
    /// (any more).
    pub fn show(&self, id: ClusterId, status: Arc<Status>, checked: Option<Instant>, fresh_for: Duration) -> bool {
        let Some(mut entry) = self.entries.get_mut(&id) else { return false };
        entry.status = status;
        entry.checked = checked.unwrap_or(entry.checked);
        entry.fresh_for = fresh_for;
        true
    }

    /// Takes a cluster down; its entry comes back.
    pub fn remove(&self, id: ClusterId) -> Option<Entry> {
        let mut names = self.names.write();
        let (_, entry) = self.entries.remove(&id)?;
        names.remove(entry.cluster.name.as_str());
        Some(entry)
    }

    /// One cluster.
    pub fn get(&self, id: ClusterId) -> Option<Entry> {
        self.entries.get(&id).map(|entry| entry.clone())
    }

    /// One cluster by its name.
    pub fn by_name(&self, name: &str) -> Option<Entry> {
        let id = *self.names.read().get(name)?;
        self.get(id)
    }

    /// How many clusters are up.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Visits every cluster in no particular order. `visit` must be quick: it runs under a shard's lock.
    pub fn each(&self, mut visit: impl FnMut(&Entry)) {
        for entry in &self.entries {
            visit(&entry);
        }
    }

    /// Visits every cluster in the order of names. `visit` must be quick: it runs under a shard's lock.
    pub fn each_by_name(&self, mut visit: impl FnMut(&Entry)) {
        for id in self.ids_by_name(None) {
            if let Some(entry) = self.entries.get(&id) {
                visit(&entry);
            }
        }
    }

    /// Ids in the order of names, those after `after` only. A snapshot.
    pub fn ids_by_name(&self, after: Option<&str>) -> Vec<ClusterId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.read().range::<str, _>((from, Bound::Unbounded)).map(|(_, id)| *id).collect()
    }
}
