//! Who is next: the last position of the log and the last sequence of every cluster, with an undo for what was not committed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{Doubted, Standing};
use crate::{event::Event, roll::ClusterId};

#[derive(Debug)]
pub(super) struct Sequences {
    position: i64,
    last: HashMap<ClusterId, i64>,
    doubted: HashSet<ClusterId>,
    /// Events of unknown fate, in the order of their positions.
    fateless: Vec<Arc<Event>>,
    /// What `last` and `position` were before each uncommitted write, oldest first.
    undo: Vec<(ClusterId, Option<i64>, i64)>,
}

impl Sequences {
    pub(super) fn new(position: i64, last: impl IntoIterator<Item = (ClusterId, i64)>) -> Self {
        Self {
            position,
            last: last.into_iter().collect(),
            doubted: HashSet::new(),
            fateless: Vec::new(),
            undo: Vec::new(),
        }
    }

    pub(super) fn knows(&self, cluster_id: ClusterId) -> bool {
        self.last.contains_key(&cluster_id) || cluster_id == ClusterId::FLEET
    }

    /// The next sequence of a cluster; `None` while it is in doubt.
    pub(super) fn next(&self, cluster_id: ClusterId) -> Option<i64> {
        (!self.doubted.contains(&cluster_id)).then(|| self.last.get(&cluster_id).copied().unwrap_or(0) + 1)
    }

    /// The next position: the time in microseconds, or one more than the last.
    pub(super) fn next_position(&self, micros: i64) -> i64 {
        micros.max(self.position + 1)
    }

    pub(super) fn advance(&mut self, cluster_id: ClusterId, position: i64, sequence: i64) {
        self.undo.push((cluster_id, self.last.insert(cluster_id, sequence), self.position));
        self.position = position;
    }

    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    pub(super) fn roll_back(&mut self) {
        while let Some((cluster_id, sequence, position)) = self.undo.pop() {
            match sequence {
                Some(sequence) => self.last.insert(cluster_id, sequence),
                None => self.last.remove(&cluster_id),
            };
            self.position = position;
        }
    }

    pub(super) fn forget(&mut self, cluster_id: ClusterId) {
        self.last.remove(&cluster_id);
    }

    /// Undoes what was written, but for the position (it may be in the log), and doubts the clusters of these events.
    pub(super) fn doubt(&mut self, events: Vec<Arc<Event>>) {
        let position = self.position;
        self.roll_back();
        self.position = position;
        self.doubted.extend(events.iter().map(|event| event.cluster_id));
        self.fateless.extend(events);
    }

    pub(super) fn in_doubt(&self) -> Doubted {
        Doubted {
            clusters: self.doubted.iter().copied().collect(),
            events: self.fateless.iter().map(|event| event.event_id).collect(),
        }
    }

    /// Ends all doubt. The events that turn out to be stored come back under new positions: readers are past the old ones.
    pub(super) fn settle(&mut self, standing: &Standing, micros: i64) -> Vec<Arc<Event>> {
        for cluster_id in self.doubted.drain() {
            self.last.remove(&cluster_id);
        }
        self.last.extend(standing.sequences.iter().copied());
        let stored: HashSet<Uuid> = standing.stored.iter().copied().collect();
        let mut found = Vec::new();
        for event in self.fateless.drain(..).filter(|event| stored.contains(&event.event_id)) {
            self.position = micros.max(self.position + 1);
            found.push(Arc::new(event.moved_to(self.position)));
        }
        found
    }
}
