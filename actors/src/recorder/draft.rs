//! Drafts: what waits for its place in the log.

use std::{collections::HashMap, sync::Arc};

use crate::{
    event::EventDraft,
    health::{Status, Transition},
    roll::ClusterId,
};

/// A transition, and the status that it led to: the one is stored with the other.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(super) transition: Arc<Transition>,
    pub(super) status: Arc<Status>,
}

impl Turn {
    pub(super) fn cluster_id(&self) -> ClusterId {
        self.transition.cluster_id
    }
}

/// An event that waits for its place in the log.
#[derive(Clone, Debug)]
pub(crate) enum Draft {
    Turn(Turn),
    Other(EventDraft),
}

impl Draft {
    pub(super) fn event(&self) -> EventDraft {
        match self {
            Self::Turn(turn) => turn.transition.draft(),
            Self::Other(draft) => draft.clone(),
        }
    }

    pub(super) fn cluster_id(&self) -> ClusterId {
        match self {
            Self::Turn(turn) => turn.cluster_id(),
            Self::Other(draft) => draft.cluster_id,
        }
    }
}

/// The clusters whose transitions are among these drafts.
pub(super) fn turning(drafts: &[Draft]) -> impl Iterator<Item = ClusterId> {
    drafts.iter().filter(|draft| matches!(draft, Draft::Turn(_))).map(Draft::cluster_id)
}

/// One transition a cluster at most: from the oldest state to the newest. Those that came full circle vanish.
pub(super) fn merge(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut merged: Vec<Draft> = Vec::new();
    let mut place: HashMap<ClusterId, usize> = HashMap::new();
    for draft in drafts {
        let (Draft::Turn(newer), Some(&at)) = (&draft, place.get(&draft.cluster_id())) else {
            if matches!(draft, Draft::Turn(_)) {
                place.insert(draft.cluster_id(), merged.len());
            }
            merged.push(draft);
            continue;
        };
        if let Draft::Turn(older) = &merged[at] {
            let old_state = older.transition.old_state;
            let transition = Arc::new(Transition { old_state, ..(*newer.transition).clone() });
            merged[at] = Draft::Turn(Turn { transition, status: Arc::clone(&newer.status) });
        }
    }
    merged.retain(|draft| !matches!(draft, Draft::Turn(t) if t.transition.old_state == t.transition.new_state));
    merged
}
