//! A portion: what is taken out of the load for one write, and how much that may be.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::draft::Draft;
use crate::{
    event::Event,
    health::{Status, Transition},
    ports::Batch,
    roll::ClusterId,
    rollup::Rollup,
};

/// What is taken out for one write.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    pub(super) statuses: HashMap<ClusterId, Arc<Status>>,
    pub(super) rollups: BTreeMap<DateTime<Utc>, HashMap<ClusterId, Rollup>>,
    pub(super) drafts: Vec<Draft>,
    /// Transitions whose events are in the outbox already, unsaved.
    pub(super) told: Vec<Arc<Transition>>,
    pub(super) alive_at: Option<DateTime<Utc>>,
}

impl Portion {
    /// The write of these events, with the transitions that they tell of, and everything else.
    pub(super) fn batch(
        &self,
        unsaved: &[Arc<Event>],
        events: Vec<Arc<Event>>,
        transitions: Vec<Arc<Transition>>,
    ) -> Batch {
        let ids: HashSet<Uuid> = unsaved.iter().map(|event| event.event_id).collect();
        let told = self.told.iter().filter(|transition| ids.contains(&transition.event_id)).cloned();
        Batch {
            transitions: told.chain(transitions).collect(),
            events: unsaved.iter().cloned().chain(events).collect(),
            statuses: self.statuses.iter().map(|(id, status)| (*id, Arc::clone(status))).collect(),
            rollups: self.rollups.values().flat_map(HashMap::values).cloned().collect(),
            alive_at: self.alive_at,
        }
    }

    /// The told transitions that are not part of `batch`.
    pub(super) fn told_later(&mut self, batch: &Batch) -> Vec<Arc<Transition>> {
        let ids: HashSet<Uuid> = batch.transitions.iter().map(|transition| transition.event_id).collect();
        self.told.drain(..).filter(|transition| !ids.contains(&transition.event_id)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.statuses.is_empty()
            && self.rollups.is_empty()
            && self.drafts.is_empty()
            && self.told.is_empty()
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
