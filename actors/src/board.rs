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

/// Where an entry stands; empty while nobody has the place.
type Slot = RwLock<Option<Entry>>;

/// Slots that lie side by side in memory: walks over the fleet pass over all of them.
const SLOTS: usize = 256;

/// Where the entry of a cluster stands.
#[derive(Clone, Debug)]
struct Place {
    slots: Arc<[Slot]>,
    at: usize,
}

impl Place {
    /// What stands here. Only asked while the cluster is known by its id or name, and until then nobody else gets the place.
    fn read<T>(&self, read: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.slots[self.at].read().as_ref().map(read)
    }

    fn write(&self, entry: Option<Entry>) -> Option<Entry> {
        std::mem::replace(&mut *self.slots[self.at].write(), entry)
    }
}

/// The places by the names of their clusters, and those that are free.
#[derive(Debug, Default)]
struct Names {
    places: BTreeMap<Arc<str>, Place>,
    free: Vec<Place>,
}

impl Names {
    fn free_place(&mut self) -> Place {
        self.free.pop().unwrap_or_else(|| {
            let slots: Arc<[Slot]> = (0..SLOTS).map(|_| Slot::default()).collect();
            self.free.extend((1..SLOTS).rev().map(|at| Place { slots: Arc::clone(&slots), at }));
            Place { slots, at: 0 }
        })
    }
}

/// The board: every place can be found by the id and by the name of its cluster.
#[derive(Debug, Default)]
pub struct Board {
    ids: DashMap<ClusterId, Place>,
    names: RwLock<Names>,
}

impl Board {
    /// Puts a cluster up, or replaces what stands there.
    pub fn put(&self, entry: Entry) {
        let (id, name) = (entry.cluster.id, entry.cluster.name.clone());
        let mut names = self.names.write();
        let known = self.ids.get(&id).map(|place| place.clone());
        let place = known.unwrap_or_else(|| names.free_place());
        place.write(Some(entry));
        self.ids.insert(id, place.clone());
        names.places.insert(name.into(), place);
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
        let Some(place) = self.ids.get(&id) else { return false };
        place.slots[place.at].write().as_mut().map(change).is_some()
    }

    /// Takes a cluster down; its entry comes back.
    pub fn remove(&self, id: ClusterId) -> Option<Entry> {
        let mut names = self.names.write();
        let (_, place) = self.ids.remove(&id)?;
        let entry = place.write(None)?;
        names.places.remove(entry.cluster.name.as_str());
        names.free.push(place);
        Some(entry)
    }

    /// One cluster.
    pub fn get(&self, id: ClusterId) -> Option<Entry> {
        self.ids.get(&id)?.read(Entry::clone)
    }

    /// One cluster by its name.
    pub fn by_name(&self, name: &str) -> Option<Entry> {
        self.names.read().places.get(name)?.read(Entry::clone)
    }

    /// How many clusters are up.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Visits every cluster in the order of names. `visit` must be quick and ask the board for nothing: no cluster is put up
    /// or taken down meanwhile.
    pub fn each(&self, mut visit: impl FnMut(&Entry)) {
        // Every name comes after this one.
        self.each_after("", |entry, _| visit(entry));
    }

    /// The same, and of each cluster whether its name comes after this one.
    pub fn each_after(&self, name: &str, mut visit: impl FnMut(&Entry, bool)) {
        let names = self.names.read();
        let parts =
            [(false, (Bound::Unbounded, Bound::Included(name))), (true, (Bound::Excluded(name), Bound::Unbounded))];
        for (is_after, part) in parts {
            for (_, place) in names.places.range::<str, _>(part) {
                place.read(|entry| visit(entry, is_after));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, instant};

    #[test]
    fn a_walk_is_in_the_order_of_names_and_knows_where_it_passes_one() {
        let board = Board::default();
        for name in ["cherry", "apple", "banana", "damson"] {
            let (cluster, status) = (Arc::new(cluster(name)), Arc::new(Status::unknown(chrono::DateTime::UNIX_EPOCH)));
            board.put(Entry { cluster, status, checked: instant(), fresh_for: Duration::from_secs(70) });
        }
        for (name, first) in [("", 0), ("apple", 1), ("b", 1), ("banana", 2), ("zebra", 4)] {
            let mut seen = Vec::new();
            board.each_after(name, |entry, is_after| seen.push((entry.cluster.name.clone(), is_after)));
            let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["apple", "banana", "cherry", "damson"]);
            assert_eq!(seen.iter().position(|(_, is_after)| *is_after).unwrap_or(4), first, "after {name}");
        }
    }
}
