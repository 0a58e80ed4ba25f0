//! What waits to be written: coalesced per cluster, so that memory is bounded by the size of the fleet.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Observation;
use crate::{
    event::{Event, EventDraft},
    health::{Status, Transition},
    ports::Batch,
    roll::ClusterId,
    rollup::Rollup,
};

/// An event that waits for its place in the log.
#[derive(Clone, Debug)]
pub(crate) enum Draft {
    Transition(Arc<Transition>),
    Other(EventDraft),
}

impl Draft {
    pub(super) fn event(&self) -> EventDraft {
        match self {
            Self::Transition(transition) => transition.draft(),
            Self::Other(draft) => draft.clone(),
        }
    }

    pub(super) fn cluster_id(&self) -> ClusterId {
        match self {
            Self::Transition(transition) => transition.cluster_id,
            Self::Other(draft) => draft.cluster_id,
        }
    }
}

/// What is taken out for one write.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    pub(super) statuses: HashMap<ClusterId, Arc<Status>>,
    pub(super) rollups: HashMap<(ClusterId, DateTime<Utc>), Rollup>,
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
            rollups: self.rollups.values().cloned().collect(),
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

/// Everything that waits.
#[derive(Debug, Default)]
pub(super) struct Load {
    urgent: HashMap<ClusterId, Arc<Status>>,
    idle: HashMap<ClusterId, Arc<Status>>,
    rollups: HashMap<(ClusterId, DateTime<Utc>), Rollup>,
    drafts: Vec<Draft>,
    told: Vec<Arc<Transition>>,
}

impl Load {
    pub(super) fn observe(&mut self, id: ClusterId, observation: Observation) {
        for rollup in observation.rollups.into_iter().flatten() {
            self.rollups.insert((id, rollup.start), rollup);
        }
        let urgent = observation.urgent || self.urgent.contains_key(&id);
        let statuses = if urgent { &mut self.urgent } else { &mut self.idle };
        statuses.insert(id, observation.status);
        if urgent {
            self.idle.remove(&id);
        }
        self.drafts.extend(observation.transition.map(Draft::Transition));
    }

    pub(super) fn announce(&mut self, draft: EventDraft) {
        self.drafts.push(Draft::Other(draft));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty()
            && self.idle.is_empty()
            && self.rollups.is_empty()
            && self.drafts.is_empty()
            && self.told.is_empty()
    }

    pub(super) fn has_drafts(&self) -> bool {
        !self.drafts.is_empty()
    }

    pub(super) fn take_drafts(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.drafts)
    }

    /// Drafts that could not get a place yet come first again.
    pub(super) fn postpone(&mut self, mut drafts: Vec<Draft>) {
        drafts.append(&mut self.drafts);
        self.drafts = drafts;
    }

    /// These were announced from memory; their rows of the history still have to be written.
    pub(super) fn told(&mut self, transitions: Vec<Arc<Transition>>) {
        self.told.extend(transitions);
    }

    /// One transition a cluster at most: from the oldest state to the newest. Those that came full circle vanish.
    pub(super) fn merge_drafts(&mut self) {
        let mut merged: Vec<Draft> = Vec::new();
        let mut place: HashMap<ClusterId, usize> = HashMap::new();
        for draft in self.drafts.drain(..) {
            let (Draft::Transition(newer), Some(&at)) = (&draft, place.get(&draft.cluster_id())) else {
                if matches!(draft, Draft::Transition(_)) {
                    place.insert(draft.cluster_id(), merged.len());
                }
                merged.push(draft);
                continue;
            };
            if let Draft::Transition(older) = &merged[at] {
                merged[at] =
                    Draft::Transition(Arc::new(Transition { old_state: older.old_state, ..(**newer).clone() }));
            }
        }
        merged.retain(|draft| !matches!(draft, Draft::Transition(t) if t.old_state == t.new_state));
        self.drafts = merged;
    }

    /// Takes out what is due: drafts always (unless they are announced from memory), changed statuses at a tick (those
    /// of a draft always), the rest with `everything`.
    pub(super) fn take(
        &mut self,
        tick: bool,
        everything: bool,
        alive_at: Option<DateTime<Utc>>,
        with_drafts: bool,
    ) -> Portion {
        let mut portion = Portion { alive_at, told: std::mem::take(&mut self.told), ..Portion::default() };
        if with_drafts {
            portion.drafts = self.take_drafts();
        }
        if tick || everything {
            portion.statuses = std::mem::take(&mut self.urgent);
        } else {
            for draft in &portion.drafts {
                let id = draft.cluster_id();
                portion.statuses.extend(self.urgent.remove(&id).map(|status| (id, status)));
            }
        }
        if everything {
            portion.statuses.extend(self.idle.drain());
            portion.rollups = std::mem::take(&mut self.rollups);
        }
        portion
    }

    /// What could not be written waits on; what was observed since is newer and stays.
    pub(super) fn put_back(&mut self, portion: Portion) {
        for (id, status) in portion.statuses {
            self.idle.remove(&id);
            self.urgent.entry(id).or_insert(status);
        }
        for (key, rollup) in portion.rollups {
            self.rollups.entry(key).or_insert(rollup);
        }
        let mut told = portion.told;
        told.append(&mut self.told);
        self.told = told;
        self.postpone(portion.drafts);
    }
}
