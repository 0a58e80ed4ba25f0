//! A portion: what is taken out of the load for one write, and how much that may be.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::draft::{Draft, Turn, turning};
use crate::{event::Event, health::Status, ports::Batch, roll::ClusterId, rollup::Rollup};

/// What is taken out for one write.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    pub(super) statuses: HashMap<ClusterId, Arc<Status>>,
    pub(super) rollups: BTreeMap<DateTime<Utc>, HashMap<ClusterId, Rollup>>,
    pub(super) drafts: Vec<Draft>,
    /// Turns whose events are in the outbox already, unsaved.
    pub(super) told: Vec<Turn>,
    /// How many events of the outbox were unsaved when this was taken out: `told` is what they tell of.
    pub(super) unsaved: usize,
    pub(super) alive_at: Option<DateTime<Utc>>,
}

/// A portion parted by what one write can hold.
pub(super) struct Parted {
    pub(super) batch: Batch,
    /// The turns in the batch.
    pub(super) turns: Vec<Turn>,
    /// What is not part of it.
    pub(super) rest: Portion,
}

impl Portion {
    /// The write of these events: with what they tell of, and with everything else but the statuses of clusters whose
    /// transitions wait on. So a stored state is always the one that the last stored event of the cluster tells of,
    /// and a process that dies resumes where its log ends.
    pub(super) fn part(&self, unsaved: &[Arc<Event>], events: Vec<Arc<Event>>, placed: Vec<Turn>) -> Parted {
        let ids: HashSet<Uuid> = unsaved.iter().map(|event| event.event_id).collect();
        let told = self.told.iter().cloned();
        let (mut turns, later): (Vec<_>, Vec<_>) = told.partition(|turn| ids.contains(&turn.transition.event_id));
        turns.extend(placed);
        let waiting: HashSet<ClusterId> = later.iter().map(Turn::cluster_id).chain(turning(&self.drafts)).collect();
        let statuses = self.statuses.iter().map(|(id, status)| (*id, Arc::clone(status)));
        let (held, mut statuses): (HashMap<_, _>, HashMap<_, _>) = statuses.partition(|(id, _)| waiting.contains(id));
        for turn in &turns {
            let status = statuses.entry(turn.cluster_id()).or_insert_with(|| Arc::clone(&turn.status));
            if status.version < turn.status.version {
                *status = Arc::clone(&turn.status);
            }
        }
        let batch = Batch {
            transitions: turns.iter().map(|turn| Arc::clone(&turn.transition)).collect(),
            events: unsaved.iter().cloned().chain(events).collect(),
            statuses: statuses.into_iter().collect(),
            rollups: self.rollups.values().flat_map(HashMap::values).cloned().collect(),
            alive_at: self.alive_at,
        };
        let rest = Self { statuses: held, told: later, drafts: self.drafts.clone(), ..Self::default() };
        Parted { batch, turns, rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.statuses.is_empty()
            && self.rollups.is_empty()
            && self.drafts.is_empty()
            && self.told.is_empty()
            && self.unsaved == 0
            && self.alive_at.is_none()
    }
}

/// How many rows of each kind one write may hold: half as many after each that failed, twice as many after each that did
/// not. So a store that is slow, or coming back, is never asked for more than it can do in the time of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appetite(usize);

impl Default for Appetite {
    fn default() -> Self {
        Self(Self::MOST)
    }
}

impl Appetite {
    const LEAST: usize = 250;
    const MOST: usize = 16_000;

    /// Statuses, and rollups.
    pub(super) const fn rows(self) -> usize {
        self.0
    }

    /// Events: each is several rows.
    pub(super) const fn events(self) -> usize {
        self.0 / 8
    }

    pub(super) fn learn(&mut self, written: bool) {
        let next = if written { self.0 * 2 } else { self.0 / 2 };
        self.0 = next.clamp(Self::LEAST, Self::MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_appetite_shrinks_to_a_little_and_grows_back() {
        let mut appetite = Appetite::default();
        (0..20).for_each(|_| appetite.learn(false));
        assert_eq!((appetite.rows(), appetite.events()), (250, 31));
        (0..20).for_each(|_| appetite.learn(true));
        assert_eq!((appetite.rows(), appetite.events()), (16_000, 2_000));
    }
}
