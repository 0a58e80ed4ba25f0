//! Uptime: how much of a window a cluster was up, degraded, down, or not observed at all. Time nobody looked is never
//! counted as up nor as down, and neither is time that maintenance excludes; percentages are of the observed time.

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::health::State;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From …
    pub from: DateTime<Utc>,
    /// … to.
    pub to: DateTime<Utc>,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: DateTime<Utc>,
    /// Into which state.
    pub state: State,
}

/// The course of a cluster through a window.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// The state at the beginning of the window.
    pub initial: Option<State>,
    /// Changes, in any order; those outside the window do no harm.
    pub steps: Vec<Step>,
    /// When nothing was observed, in any order, overlapping or not.
    pub gaps: Vec<Window>,
    /// What counts for nothing, observed or not: maintenance, in any order, overlapping or not.
    pub excluded: Vec<Window>,
}

/// What a window was spent in. The five add up to its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// ONLINE.
    pub up: TimeDelta,
    /// DEGRADED.
    pub degraded: TimeDelta,
    /// OFFLINE.
    pub down: TimeDelta,
    /// UNKNOWN, or in a gap.
    pub unobserved: TimeDelta,
    /// Under maintenance, whatever it was in.
    pub excluded: TimeDelta,
    /// How often it went down (into OFFLINE) within the window, but for what began and ended under one maintenance.
    pub outages: usize,
}

impl Account {
    /// Time observed.
    pub fn observed(&self) -> TimeDelta {
        self.up + self.degraded + self.down
    }

    /// `part` of the observed time, percent; `None` when nothing was observed.
    pub fn percent(&self, part: TimeDelta) -> Option<f64> {
        let observed = self.observed().num_milliseconds();
        (observed > 0).then(|| part.num_milliseconds() as f64 * 100.0 / observed as f64)
    }
}

/// Adds up what `window` was spent in.
pub fn account(window: Window, course: &Course) -> Account {
    let mut steps = course.steps.clone();
    steps.sort_by_key(|step| step.at);
    let excluded = merged(course.excluded.clone());
    let unseen = merged(course.gaps.iter().chain(&excluded).copied().collect());
    let mut account = Account::default();
    let (mut since, mut state) = (window.from, course.initial.unwrap_or(State::Unknown));
    let mut book = |state, to, since| book(&mut account, state, Window { from: since, to }, &excluded, &unseen);
    for step in steps.into_iter().filter(|step| step.at < window.to) {
        if step.state != state && step.at > window.from {
            book(state, step.at, since);
            since = step.at;
        }
        state = step.state;
    }
    book(state, window.to, since);
    account.outages = outages(window, course, &excluded);
    account
}

/// How often it went OFFLINE and stayed so for a moment that counts.
fn outages(window: Window, course: &Course, excluded: &[Window]) -> usize {
    let mut steps = course.steps.clone();
    steps.sort_by_key(|step| step.at);
    let (mut count, mut state, mut begun) = (0, course.initial.unwrap_or(State::Unknown), None);
    let counts = |from, to| covered(Window { from, to }, excluded) < to - from || from == to;
    for step in steps.into_iter().filter(|step| step.at < window.to) {
        if step.state != State::Offline {
            count += usize::from(begun.take().is_some_and(|from| counts(from, step.at)));
        } else if state != State::Offline && step.at > window.from {
            begun = Some(step.at);
        }
        state = step.state;
    }
    count + usize::from(begun.is_some_and(|from| counts(from, window.to)))
}

/// Books a stretch spent in one state, less what was excluded or not seen. `unseen` holds what is excluded, too.
fn book(account: &mut Account, state: State, stretch: Window, excluded: &[Window], unseen: &[Window]) {
    let length = (stretch.to - stretch.from).max(TimeDelta::zero());
    let (excluded, unseen) = (covered(stretch, excluded), covered(stretch, unseen));
    let seen = length - unseen;
    account.excluded += excluded;
    account.unobserved += unseen - excluded;
    match state {
        State::Unknown => account.unobserved += seen,
        State::Online => account.up += seen,
        State::Degraded => account.degraded += seen,
        State::Offline => account.down += seen,
    }
}

/// How much of a stretch these cover; they do not overlap.
fn covered(stretch: Window, windows: &[Window]) -> TimeDelta {
    windows.iter().map(|window| overlap(stretch, *window)).sum()
}

fn overlap(a: Window, b: Window) -> TimeDelta {
    (a.to.min(b.to) - a.from.max(b.from)).max(TimeDelta::zero())
}

/// The same gaps, in order and without overlap.
fn merged(mut gaps: Vec<Window>) -> Vec<Window> {
    gaps.sort_by_key(|gap| gap.from);
    let mut merged: Vec<Window> = Vec::with_capacity(gaps.len());
    for gap in gaps {
        match merged.last_mut() {
            Some(last) if gap.from <= last.to => last.to = last.to.max(gap.to),
            _ => merged.push(gap),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn window(from: i64, to: i64) -> Window {
        Window { from: at(from), to: at(to) }
    }

    fn step(minute: i64, state: State) -> Step {
        Step { at: at(minute), state }
    }

    fn minutes(account: Account) -> [i64; 4] {
        [account.up, account.degraded, account.down, account.unobserved].map(|time| time.num_minutes())
    }

    #[test]
    fn each_state_gets_its_time() {
        let steps = vec![step(10, State::Degraded), step(20, State::Offline), step(50, State::Online)];
        let course = Course { initial: Some(State::Online), steps, gaps: vec![], excluded: vec![] };
        let spent = account(window(0, 60), &course);
        assert_eq!((minutes(spent), spent.outages), ([20, 10, 30, 0], 1));
        assert_eq!(spent.percent(spent.down), Some(50.0));
    }

    #[test]
    fn a_gap_is_neither_up_nor_down() {
        let gaps = vec![window(20, 40), window(30, 50), window(-5, 5)];
        let course =
            Course { initial: Some(State::Online), steps: vec![step(45, State::Offline)], gaps, excluded: vec![] };
        assert_eq!(minutes(account(window(0, 60), &course)), [15, 0, 10, 35]);
    }

    #[test]
    fn a_cluster_never_checked_was_never_observed() {
        let spent = account(window(0, 60), &Course::default());
        assert_eq!((minutes(spent), spent.percent(spent.up)), ([0, 0, 0, 60], None));
    }

    #[test]
    fn a_step_before_the_window_only_sets_its_state() {
        let course = Course { initial: None, steps: vec![step(-10, State::Offline)], ..Course::default() };
        let spent = account(window(0, 60), &course);
        assert_eq!((minutes(spent), spent.outages), ([0, 0, 60, 0], 0));
    }

    #[test]
    fn maintenance_counts_for_nothing_whether_anybody_looked_or_not() {
        let course = Course {
            initial: Some(State::Online),
            steps: vec![step(10, State::Offline), step(30, State::Online)],
            gaps: vec![window(35, 45)],
            excluded: vec![window(5, 25), window(15, 40)],
        };
        let spent = account(window(0, 60), &course);
        assert_eq!((minutes(spent), spent.excluded.num_minutes(), spent.outages), ([20, 0, 0, 5], 35, 0));
        assert_eq!(spent.percent(spent.up), Some(100.0));
    }

    #[test]
    fn an_outage_that_outlasts_its_maintenance_counts() {
        let course = Course {
            initial: Some(State::Online),
            steps: vec![step(10, State::Offline), step(50, State::Online)],
            excluded: vec![window(5, 30)],
            ..Course::default()
        };
        let spent = account(window(0, 60), &course);
        assert_eq!((minutes(spent), spent.excluded.num_minutes(), spent.outages), ([15, 0, 20, 0], 25, 1));
    }

    proptest! {
        #[test]
        fn the_parts_always_add_up(
            steps in prop::collection::vec((-100_i64..200, 0_usize..4), 0..20),
            gaps in prop::collection::vec((-100_i64..200, 0_i64..50), 0..10),
            excluded in prop::collection::vec((-100_i64..200, 0_i64..50), 0..10),
        ) {
            let steps = steps.into_iter().map(|(minute, state)| step(minute, State::ALL[state])).collect();
            let windows = |given: Vec<(i64, i64)>| given.into_iter().map(|(from, length)| window(from, from + length));
            let course = Course {
                initial: Some(State::Online),
                steps,
                gaps: windows(gaps).collect(),
                excluded: windows(excluded).collect(),
            };
            let spent = account(window(0, 100), &course);
            prop_assert_eq!(spent.observed() + spent.unobserved + spent.excluded, TimeDelta::minutes(100));
            prop_assert!(minutes(spent).iter().all(|part| *part >= 0));
            let without = account(window(0, 100), &Course { excluded: vec![], ..course });
            prop_assert!(spent.outages <= without.outages && spent.down <= without.down && spent.up <= without.up);
        }
    }
}
