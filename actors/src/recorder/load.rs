//! What waits to be written: coalesced per cluster and taken out in bounded portions, so that memory is bounded by the
//! size of the fleet however long the store is away.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{
    Observation,
    draft::{Draft, Turn, merge, turning},
    portion::Portion,
};
use crate::{event::EventDraft, health::Status, roll::ClusterId, rollup::Rollup};

/// Windows of rollups that wait for the store: an hour. Of a longer outage the oldest checks are forgotten; transitions
/// are not.
const ROLLUP_WINDOWS: usize = 12;

/// Everything that waits.
#[derive(Debug, Default)]
pub(super) struct Load {
    urgent: HashMap<ClusterId, Arc<Status>>,
    idle: HashMap<ClusterId, Arc<Status>>,
    rollups: BTreeMap<DateTime<Utc>, HashMap<ClusterId, Rollup>>,
    drafts: Vec<Draft>,
    /// Drafts of clusters in doubt: of one cluster, older than those in `drafts`.
    doubted: Vec<Draft>,
    told: Vec<Turn>,
}

/// What is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// Changed statuses (those of a draft always).
    pub(super) changed: bool,
    /// Statuses of which only stamps changed, and rollups.
    pub(super) everything: bool,
    /// Drafts, unless they are announced from memory.
    pub(super) drafts: bool,
    /// Most rows of each kind.
    pub(super) rows: usize,
}

impl Load {
    pub(super) fn observe(&mut self, id: ClusterId, observation: Observation) {
        for rollup in observation.rollups.into_iter().flatten() {
            self.rollups.entry(rollup.start).or_default().insert(id, rollup);
        }
        while self.rollups.len() > ROLLUP_WINDOWS {
            self.forget_oldest_window();
        }
        let urgent = observation.urgent || self.urgent.contains_key(&id);
        let statuses = if urgent { &mut self.urgent } else { &mut self.idle };
        statuses.insert(id, Arc::clone(&observation.status));
        if urgent {
            self.idle.remove(&id);
        }
        let turn = |transition| Draft::Turn(Turn { transition, status: observation.status });
        self.drafts.extend(observation.transition.map(turn));
    }

    fn forget_oldest_window(&mut self) {
        if let Some((start, rollups)) = self.rollups.pop_first() {
            tracing::warn!(%start, clusters = rollups.len(), "checks of this window could not be stored and are forgotten");
        }
    }

    pub(super) fn announce(&mut self, draft: EventDraft) {
        self.drafts.push(Draft::Other(draft));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty()
            && self.told.is_empty()
            && self.drafts.is_empty()
            && self.doubted.is_empty()
            && self.is_idle()
    }

    /// Does nothing wait that is only written with everything?
    pub(super) fn is_idle(&self) -> bool {
        self.idle.is_empty() && self.rollups.is_empty()
    }

    /// Are there drafts that can be announced?
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

    /// Drafts of clusters in doubt wait until the store has answered.
    pub(super) fn set_aside(&mut self, drafts: Vec<Draft>) {
        self.doubted.extend(drafts);
    }

    /// The store has answered: no cluster is in doubt.
    pub(super) fn take_up(&mut self) {
        let doubted = std::mem::take(&mut self.doubted);
        self.postpone(doubted);
    }

    /// These were announced from memory; their rows of the history still have to be written.
    pub(super) fn told(&mut self, turns: Vec<Turn>) {
        self.told.extend(turns);
    }

    /// One transition a cluster at most.
    pub(super) fn merge_drafts(&mut self) {
        self.drafts = merge(std::mem::take(&mut self.drafts));
        self.doubted = merge(std::mem::take(&mut self.doubted));
    }

    /// Takes out what is due, but no status of a cluster whose transition stays.
    pub(super) fn take(&mut self, due: Due, unsaved: usize, alive_at: Option<DateTime<Utc>>) -> Portion {
        let mut portion = Portion { alive_at, unsaved, told: std::mem::take(&mut self.told), ..Portion::default() };
        if due.drafts {
            portion.drafts = self.take_drafts();
        }
        for draft in &portion.drafts {
            let id = draft.cluster_id();
            portion.statuses.extend(self.urgent.remove(&id).map(|status| (id, status)));
        }
        let held: HashSet<ClusterId> = turning(&self.drafts).chain(turning(&self.doubted)).collect();
        if due.changed || due.everything {
            move_some(&mut self.urgent, &mut portion.statuses, due.rows, &held);
        }
        if due.everything {
            move_some(&mut self.idle, &mut portion.statuses, due.rows, &held);
            self.take_rollups(&mut portion, due.rows);
        }
        portion
    }

    fn take_rollups(&mut self, portion: &mut Portion, mut rows: usize) {
        while let Some(mut window) = self.rollups.first_entry().filter(|_| rows > 0) {
            let taken = portion.rollups.entry(*window.key()).or_default();
            move_some(window.get_mut(), taken, rows, &HashSet::new());
            rows -= taken.len();
            if window.get().is_empty() {
                window.remove();
            }
        }
    }

    /// What could not be written waits on; what was observed since is newer and stays.
    pub(super) fn put_back(&mut self, portion: Portion) {
        for (id, status) in portion.statuses {
            let newest = self.idle.remove(&id).unwrap_or(status);
            self.urgent.entry(id).or_insert(newest);
        }
        for (start, rollups) in portion.rollups {
            let window = self.rollups.entry(start).or_default();
            for (id, rollup) in rollups {
                window.entry(id).or_insert(rollup);
            }
        }
        let mut told = portion.told;
        told.append(&mut self.told);
        self.told = told;
        self.postpone(portion.drafts);
    }
}

/// Moves entries that are not held until there are `rows` on the other side.
fn move_some<T>(
    from: &mut HashMap<ClusterId, T>,
    to: &mut HashMap<ClusterId, T>,
    rows: usize,
    held: &HashSet<ClusterId>,
) {
    let room = rows.saturating_sub(to.len());
    if from.len() <= room && held.is_empty() {
        to.extend(from.drain());
        return;
    }
    let chosen: Vec<ClusterId> = from.keys().filter(|id| !held.contains(id)).take(room).copied().collect();
    to.extend(chosen.into_iter().filter_map(|id| Some((id, from.remove(&id)?))));
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::rollup::WINDOW_SECONDS;

    const EVERYTHING: Due = Due { changed: true, everything: true, drafts: true, rows: 1_000 };

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn rollup(cluster_id: ClusterId, window: i64) -> Rollup {
        let start = start() + TimeDelta::seconds(window * WINDOW_SECONDS);
        Rollup {
            cluster_id,
            start,
            run: 1,
            checks: 10,
            failures: 0,
            latency_min_ms: 1,
            latency_mean_ms: 1.0,
            latency_max_ms: 1,
            latency_p95_ms: 1,
        }
    }

    fn observe(load: &mut Load, id: ClusterId, urgent: bool, window: i64) {
        let rollups = [None, Some(rollup(id, window))];
        let status = Arc::new(Status::unknown(start()));
        load.observe(id, Observation { status, urgent, transition: None, rollups });
    }

    fn counts(portion: &Portion) -> (usize, usize) {
        (portion.statuses.len(), portion.rollups.values().map(HashMap::len).sum())
    }

    #[test]
    fn a_day_without_the_store_holds_one_status_and_an_hour_of_rollups_a_cluster() {
        let mut load = Load::default();
        let fleet: Vec<_> = (0..10).map(|_| ClusterId::generate()).collect();
        for window in 0..288 {
            for id in &fleet {
                (0..10).for_each(|check| observe(&mut load, *id, check == 0, window));
            }
        }
        assert_eq!(counts(&load.take(EVERYTHING, 0, None)), (10, 120));
        assert!(load.is_empty());
    }

    #[test]
    fn a_large_load_is_taken_in_portions_and_nothing_is_left_behind() {
        let mut load = Load::default();
        for window in 0..3 {
            (0..100).for_each(|n| observe(&mut load, ClusterId(uuid::Uuid::from_u128(n)), n % 2 == 0, window));
        }
        let due = Due { rows: 70, ..EVERYTHING };
        let taken: Vec<_> =
            std::iter::from_fn(|| (!load.is_empty()).then(|| counts(&load.take(due, 0, None)))).collect();
        assert!(taken.iter().all(|(statuses, rollups)| *statuses <= 70 && *rollups <= 70), "{taken:?}");
        assert_eq!(taken.iter().fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1)), (100, 300));
    }

    #[test]
    fn what_is_put_back_gives_way_to_what_was_observed_since() {
        let mut load = Load::default();
        let id = ClusterId::generate();
        observe(&mut load, id, false, 0);
        let portion = load.take(EVERYTHING, 0, None);
        let newer = Rollup { checks: 11, ..rollup(id, 0) };
        let status = Arc::new(Status { version: 9, ..Status::unknown(start()) });
        let observation = Observation { status, urgent: true, transition: None, rollups: [None, Some(newer)] };
        load.observe(id, observation);
        load.put_back(portion);
        let portion = load.take(EVERYTHING, 0, None);
        assert_eq!((portion.statuses[&id].version, portion.rollups[&start()][&id].checks), (9, 11));
    }
}
