//! One cluster's truth against what the log says of it.
//!
//! The truth is cut into segments. A segment must be seen when its state is beyond doubt and the monitor was up for long
//! enough during it; a change must not appear unless a segment of that state was there when its check may have looked.
//! A check asks a spoke's endpoints one by one: where all of them died or came back meanwhile, it finds some as they were.

use super::record::Shown;
use crate::clock::WallMs;
use crate::spokes::{Behaviour, State, Truth};

/// How fast a correct monitor is with one cluster, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Between two checks.
    pub period: i64,
    /// Longest check.
    pub deadline: i64,
    /// Before the second look.
    pub recheck: i64,
    /// What scheduling and a busy machine may add.
    pub margin: i64,
}

impl Cadence {
    /// A state that lasts this long is seen for sure.
    pub fn sure(&self) -> i64 {
        self.period + 2 * self.deadline + self.recheck + self.margin
    }

    /// A change confirmed now was seen at most this long ago.
    fn memory(&self) -> i64 {
        self.looks() + self.period
    }

    /// The two looks that confirm a change began at most this long before it is told.
    fn looks(&self) -> i64 {
        2 * self.deadline + self.recheck + self.margin
    }
}

/// A stretch of time in which a spoke's state was the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First moment.
    pub from: WallMs,
    /// First moment after it.
    pub to: WallMs,
    /// The state.
    pub state: State,
    /// Is that beyond doubt?
    pub clear: bool,
}

/// The segments of one spoke's truth (its entries in order) between two moments. Spokes begin healthy.
pub fn segments(truth: &[&Truth], from: WallMs, to: WallMs) -> Vec<Segment> {
    let mut segments = vec![Segment { from, to, state: State::Online, clear: true }];
    for entry in truth {
        let at = entry.at.timestamp_millis();
        let well = entry.behaviour == Behaviour::Healthy && entry.score == 100;
        let clear = entry.clear || well;
        let last = segments.len() - 1;
        if segments[last].state == entry.state && segments[last].clear == clear {
            continue;
        }
        segments[last].to = at;
        segments.push(Segment { from: at, to, state: entry.state, clear });
    }
    segments
}

/// A change of state as the log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: WallMs,
    /// To what.
    pub new: Shown,
}

/// What became of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Transitions of the truth that had to be told.
    pub due: u64,
    /// …and were not.
    pub lost: Vec<Segment>,
    /// Changes told that the truth does not explain.
    pub untrue: Vec<Step>,
    /// Everything had to be told, nothing is missing or untrue by itself, but the order or the number is not the truth's.
    pub disordered: bool,
    /// For every transition told: which step, and how long after the truth.
    pub detections: Vec<(usize, i64)>,
}

/// Compares. `up` holds the stretches of time in which the monitor ran, in order.
pub fn judge(segments: &[Segment], steps: &[Step], up: &[(WallMs, WallMs)], cadence: Cadence) -> Judgement {
    let must = |segment: &Segment| segment.clear && observable(segment, up) >= cadence.sure();
    let mut judgement = Judgement::default();
    for segment in segments.iter().skip(1).filter(|segment| must(segment)) {
        judgement.due += 1;
        match told(segment, steps, cadence) {
            Told::At(index) => judgement.detections.push((index, steps[index].at - segment.from)),
            Told::Already => {}
            Told::Never => judgement.lost.push(*segment),
        }
    }
    let explained = |step: &Step| {
        segments.iter().any(|segment| explains(segment, step, cadence)) || is_between(segments, step, cadence)
    };
    judgement.untrue = steps.iter().filter(|step| !explained(step)).copied().collect();
    let whole = judgement.lost.is_empty() && judgement.untrue.is_empty() && segments.iter().skip(1).all(must);
    judgement.disordered = whole && !same_course(segments, steps, cadence);
    judgement
}

/// The longest stretch of a segment in which the monitor ran without a break.
fn observable(segment: &Segment, up: &[(WallMs, WallMs)]) -> i64 {
    up.iter().map(|(from, to)| segment.to.min(*to) - segment.from.max(*from)).max().unwrap_or(0)
}

enum Told {
    At(usize),
    /// It was shown like this before: nothing in between had to be seen.
    Already,
    Never,
}

fn told(segment: &Segment, steps: &[Step], cadence: Cadence) -> Told {
    let before = steps.iter().rev().find(|step| step.at < segment.from);
    if before.is_some_and(|step| step.new.is(segment.state)) {
        return Told::Already;
    }
    let until = segment.to.saturating_add(cadence.deadline + cadence.margin);
    let found = steps.iter().position(|step| (segment.from..until).contains(&step.at) && step.new.is(segment.state));
    found.map_or(Told::Never, Told::At)
}

/// A check that looked during the segment may have led to the step.
fn explains(segment: &Segment, step: &Step, cadence: Cadence) -> bool {
    let looked = step.at - cadence.memory();
    let overlaps = segment.from <= step.at && segment.to > looked;
    overlaps && (step.new.is(segment.state) || !segment.clear)
}

/// Did everything die or come back while the checks looked that led to the step? Then they may have found half of it.
fn is_between(segments: &[Segment], step: &Step, cadence: Cadence) -> bool {
    let looked = step.at - cadence.looks()..=step.at;
    let ends = |pair: &[Segment]| {
        let states = [pair[0].state, pair[1].state];
        states.contains(&State::Online) && states.contains(&State::Offline) && looked.contains(&pair[1].from)
    };
    step.new.is(State::Degraded) && segments.windows(2).any(ends)
}

/// Was each segment told, once and in order? What was found between two of them is none.
fn same_course(segments: &[Segment], steps: &[Step], cadence: Cadence) -> bool {
    let of_a_segment = |step: &&Step| segments.iter().any(|segment| explains(segment, step, cadence));
    let told: Vec<_> = steps.iter().filter(of_a_segment).collect();
    segments.len() == told.len() && segments.iter().zip(told).all(|(segment, step)| step.new.is(segment.state))
}

#[cfg(test)]
mod tests {
    use super::super::sample::truth;
    use super::*;
    use Shown::{Degraded, Offline, Online};

    const CADENCE: Cadence = Cadence { period: 10_000, deadline: 2_000, recheck: 1_000, margin: 1_000 };
    const ALWAYS: [(i64, i64); 1] = [(i64::MIN / 2, i64::MAX / 2)];

    fn down_and_up(down: i64, up: i64) -> Vec<Segment> {
        let entries = [truth("a", down, State::Online, State::Offline), truth("a", up, State::Offline, State::Online)];
        segments(&entries.iter().collect::<Vec<_>>(), 0, 200_000)
    }

    fn steps(told: &[(i64, Shown)]) -> Vec<Step> {
        told.iter().map(|(at, new)| Step { at: *at, new: *new }).collect()
    }

    #[test]
    fn a_course_told_as_it_was_is_perfect_and_gives_detection_times() {
        let told = steps(&[(500, Online), (53_000, Offline), (104_000, Online)]);
        let found = judge(&down_and_up(50_000, 100_000), &told, &ALWAYS, CADENCE);
        assert_eq!(found.detections, [(1, 3_000), (2, 4_000)]);
        assert_eq!((found.due, found.lost.len(), found.untrue.len(), found.disordered), (2, 0, 0, false));
    }

    #[test]
    fn a_transition_nobody_told_is_lost() {
        let found = judge(&down_and_up(50_000, 100_000), &steps(&[(500, Online)]), &ALWAYS, CADENCE);
        assert_eq!(found.lost.iter().map(|segment| segment.state).collect::<Vec<_>>(), [State::Offline]);
    }

    #[test]
    fn a_change_without_a_reason_is_untrue() {
        let told = steps(&[(500, Online), (20_000, Offline), (21_000, Online), (53_000, Offline), (104_000, Online)]);
        let found = judge(&down_and_up(50_000, 100_000), &told, &ALWAYS, CADENCE);
        assert_eq!(found.untrue, steps(&[(20_000, Offline)]));
    }

    #[test]
    fn a_transition_told_twice_is_noticed() {
        let told = steps(&[(500, Online), (53_000, Offline), (54_000, Online), (55_000, Offline), (104_000, Online)]);
        let found = judge(&down_and_up(50_000, 100_000), &told, &ALWAYS, CADENCE);
        assert!(found.disordered, "{found:?}");
    }

    #[test]
    fn the_wrong_kind_of_trouble_is_untrue_and_lost() {
        let told = steps(&[(500, Online), (57_000, Degraded), (104_000, Online)]);
        let found = judge(&down_and_up(50_000, 100_000), &told, &ALWAYS, CADENCE);
        assert_eq!((found.lost.len(), found.untrue.len()), (1, 1));
    }

    #[test]
    fn half_of_a_spoke_may_be_found_while_all_of_it_dies_and_never_later() {
        let judged = |at| {
            let told = steps(&[(500, Online), (at, Degraded), (at + 3_000, Offline), (104_000, Online)]);
            let found = judge(&down_and_up(50_000, 100_000), &told, &ALWAYS, CADENCE);
            assert!(!found.disordered, "{found:?}");
            found.untrue.len()
        };
        assert_eq!([49_000, 50_500, 56_000, 56_001].map(judged), [1, 0, 0, 1]);
    }

    #[test]
    fn what_was_too_short_or_happened_without_the_monitor_need_not_be_told() {
        let short = judge(&down_and_up(50_000, 55_000), &steps(&[(500, Online)]), &ALWAYS, CADENCE);
        assert_eq!((short.due, short.lost.len()), (1, 0));
        let away = [(0, 51_000), (99_000, 200_000)];
        let missed = judge(&down_and_up(50_000, 100_000), &steps(&[(500, Online)]), &away, CADENCE);
        assert_eq!((missed.due, missed.lost.len()), (1, 0));
    }

    #[test]
    fn a_moment_that_is_not_clear_proves_nothing() {
        let mut unclear = down_and_up(50_000, 100_000);
        unclear[1].clear = false;
        for told in [&[(500, Online)][..], &[(500, Online), (60_000, Degraded), (104_000, Online)]] {
            let found = judge(&unclear, &steps(told), &ALWAYS, CADENCE);
            assert_eq!((found.lost.len(), found.untrue.len()), (0, 0), "{told:?}");
        }
    }

    #[test]
    fn segments_of_the_same_state_are_one() {
        let entries = [truth("a", 10, State::Online, State::Offline), truth("a", 20, State::Offline, State::Offline)];
        let cut = segments(&entries.iter().collect::<Vec<_>>(), 0, 100);
        assert_eq!(cut.len(), 2);
        assert_eq!((cut[1].from, cut[1].to), (10, 100));
    }
}
