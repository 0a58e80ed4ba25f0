//! Drafts: what waits for its place in the log.

use std::{collections::HashMap, sync::Arc};

use crate::{event::EventDraft, health::Transition, roll::ClusterId};

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

/// One transition a cluster at most: from the oldest state to the newest. Those that came full circle vanish.
pub(super) fn merge(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut merged: Vec<Draft> = Vec::new();
    let mut place: HashMap<ClusterId, usize> = HashMap::new();
    for draft in drafts {
        let (Draft::Transition(newer), Some(&at)) = (&draft, place.get(&draft.cluster_id())) else {
            if matches!(draft, Draft::Transition(_)) {
                place.insert(draft.cluster_id(), merged.len());
            }
            merged.push(draft);
            continue;
        };
        if let Draft::Transition(older) = &merged[at] {
            merged[at] = Draft::Transition(Arc::new(Transition { old_state: older.old_state, ..(**newer).clone() }));
        }
    }
    merged.retain(|draft| !matches!(draft, Draft::Transition(t) if t.old_state == t.new_state));
    merged
}
