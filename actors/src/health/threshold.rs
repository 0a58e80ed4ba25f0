//! Damping: how many reports in a row must agree before a state changes.

use super::{Memory, State};

/// What a report does to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighing {
    /// It agrees with the present state.
    Same,
    /// It would worsen the state, but is not confirmed yet.
    WouldWorsen,
    /// It would improve the state, but is not confirmed yet.
    WouldImprove,
    /// The state changes to the mildest change that every report of the streak agrees on.
    Change(State),
}

/// Weighs one more report that alone would justify `seen`. The first report decides an unknown state.
pub fn weigh(memory: &mut Memory, current: State, seen: State, failures: u8, successes: u8) -> Weighing {
    if current == State::Unknown {
        return Weighing::Change(seen);
    }
    if seen == current {
        forget(memory);
        return Weighing::Same;
    }
    let worse = seen > current;
    if worse != (memory.worse > 0) {
        forget(memory);
    }
    let leaning = memory.leaning.map_or(seen, |leaning| if worse { leaning.min(seen) } else { leaning.max(seen) });
    memory.leaning = Some(leaning);
    let (streak, threshold) = if worse { (&mut memory.worse, failures) } else { (&mut memory.better, successes) };
    *streak = streak.saturating_add(1);
    match (*streak >= threshold, worse) {
        (true, _) => Weighing::Change(leaning),
        (false, true) => Weighing::WouldWorsen,
        (false, false) => Weighing::WouldImprove,
    }
}

/// Ends the streak.
pub fn forget(memory: &mut Memory) {
    memory.worse = 0;
    memory.better = 0;
    memory.leaning = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(current: State, seen: &[State], failures: u8, successes: u8) -> Vec<Weighing> {
        let mut memory = Memory::default();
        seen.iter().map(|&seen| weigh(&mut memory, current, seen, failures, successes)).collect()
    }

    #[test]
    fn the_first_report_decides_an_unknown_state() {
        assert_eq!(run(State::Unknown, &[State::Offline], 3, 3), [Weighing::Change(State::Offline)]);
    }

    #[test]
    fn one_failure_among_successes_changes_nothing() {
        use State::{Offline, Online};
        use Weighing::{Same, WouldWorsen};
        assert_eq!(run(Online, &[Offline, Online, Offline, Online], 2, 1), [WouldWorsen, Same, WouldWorsen, Same]);
    }

    #[test]
    fn a_streak_confirms_the_mildest_state_it_agrees_on() {
        let weighed = run(State::Online, &[State::Offline, State::Degraded], 2, 1);
        assert_eq!(weighed, [Weighing::WouldWorsen, Weighing::Change(State::Degraded)]);
        let weighed = run(State::Offline, &[State::Online, State::Degraded], 2, 2);
        assert_eq!(weighed, [Weighing::WouldImprove, Weighing::Change(State::Degraded)]);
    }

    #[test]
    fn thresholds_of_one_are_the_literal_seed() {
        assert_eq!(run(State::Online, &[State::Offline], 1, 1), [Weighing::Change(State::Offline)]);
        assert_eq!(run(State::Offline, &[State::Online], 1, 1), [Weighing::Change(State::Online)]);
    }

    #[test]
    fn a_streak_in_the_other_direction_starts_anew() {
        let weighed = run(State::Degraded, &[State::Offline, State::Online, State::Offline], 2, 2);
        assert_eq!(weighed, [Weighing::WouldWorsen, Weighing::WouldImprove, Weighing::WouldWorsen]);
    }
}
