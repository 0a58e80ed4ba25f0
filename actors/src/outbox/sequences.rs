//! Who is next: the last position of the log and the last sequence of every cluster, with an undo for what was not committed.

use std::collections::{HashMap, HashSet};

use crate::roll::ClusterId;

#[derive(Debug)]
pub(super) struct Sequences {
    position: i64,
    last: HashMap<ClusterId, i64>,
    doubted: HashSet<ClusterId>,
    /// What `last` and `position` were before each uncommitted write, oldest first.
    undo: Vec<(ClusterId, Option<i64>, i64)>,
}

impl Sequences {
    pub(super) fn new(position: i64, last: impl IntoIterator<Item = (ClusterId, i64)>) -> Self {
        Self { position, last: last.into_iter().collect(), doubted: HashSet::new(), undo: Vec::new() }
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

    /// Undoes what was written, but for the position (it may be in the log), and doubts these clusters.
    pub(super) fn doubt(&mut self, clusters: impl IntoIterator<Item = ClusterId>) {
        let position = self.position;
        self.roll_back();
        self.position = position;
        self.doubted.extend(clusters);
    }

    pub(super) fn in_doubt(&self) -> Vec<ClusterId> {
        self.doubted.iter().copied().collect()
    }

    pub(super) fn settle(&mut self, asked: &[ClusterId], answer: &[(ClusterId, i64)]) {
        for cluster_id in asked {
            self.doubted.remove(cluster_id);
            self.last.remove(cluster_id);
        }
        self.last.extend(answer.iter().copied());
    }
}
