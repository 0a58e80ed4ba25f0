//! Compares what was announced with what happened, cluster by cluster and in order. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::health::State;
use fleetbeat_loadtest::spokes::{State as Made, Truth};

/// A change of state that the monitor announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Of whom.
    pub spoke: String,
    /// From.
    pub old: State,
    /// To.
    pub new: State,
    /// When it was confirmed.
    pub at: DateTime<Utc>,
}

/// What the comparison comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changes that must have been announced by now.
    pub due: usize,
    /// Of these, those that were, in their order.
    pub announced: usize,
    /// Changes so recent that they need not have been noticed, and were not.
    pub fresh: usize,
    /// Announced changes that never happened.
    pub invented: usize,
    /// From the change to its announcement, sorted.
    pub delays: Vec<TimeDelta>,
}

impl Tally {
    /// The delay that a share of the announcements did not exceed.
    pub fn delay(&self, share: f64) -> Option<TimeDelta> {
        let at = (self.delays.len() as f64 * share).ceil() as usize;
        self.delays.get(at.max(1) - 1).copied()
    }
}

/// Compares. Changes made after `certain_until` may be unknown yet.
pub fn compare(truth: &[Truth], told: &[Told], certain_until: DateTime<Utc>) -> Tally {
    let mut per_spoke: BTreeMap<&str, (Vec<&Truth>, Vec<&Told>)> = BTreeMap::new();
    for change in truth.iter().filter(|change| change.is_transition()) {
        per_spoke.entry(&change.spoke).or_default().0.push(change);
    }
    for change in told {
        per_spoke.entry(&change.spoke).or_default().1.push(change);
    }
    let mut tally = Tally::default();
    for (truth, told) in per_spoke.values() {
        tally.add(truth, told, certain_until);
    }
    tally.delays.sort_unstable();
    tally
}

impl Tally {
    fn add(&mut self, truth: &[&Truth], told: &[&Told], certain_until: DateTime<Utc>) {
        let mut rest = told;
        for change in truth {
            match rest.iter().position(|told| is_about(told, change)) {
                Some(at) => {
                    self.due += 1;
                    self.announced += 1;
                    self.invented += at;
                    self.delays.push(rest[at].at - change.at);
                    rest = &rest[at + 1..];
                }
                None if change.at > certain_until => self.fresh += 1,
                None => self.due += 1,
            }
        }
        self.invented += rest.len();
    }
}

fn is_about(told: &Told, change: &Truth) -> bool {
    told.old == state(change.previous_state) && told.new == state(change.state)
}

fn state(made: Made) -> State {
    match made {
        Made::Online => State::Online,
        Made::Degraded => State::Degraded,
        Made::Offline => State::Offline,
    }
}

#[cfg(test)]
mod tests {
    use fleetbeat_loadtest::spokes::{Behaviour, Scope};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
    }

    fn made(seconds: i64, previous_state: Made, state: Made) -> Truth {
        Truth {
            seq: 0,
            at: at(seconds),
            at_ms: 0,
            spoke: "a".to_owned(),
            role: Scope::All,
            behaviour: Behaviour::Dead,
            state,
            score: 0,
            previous_state,
            previous_score: 0,
            clear: true,
        }
    }

    fn told(seconds: i64, old: State, new: State) -> Told {
        Told { spoke: "a".to_owned(), old, new, at: at(seconds) }
    }

    #[test]
    fn what_happened_and_was_told_in_order_is_all_there_is() {
        let truth = [made(0, Made::Online, Made::Offline), made(20, Made::Offline, Made::Online)];
        let said = [told(2, State::Online, State::Offline), told(21, State::Offline, State::Online)];
        let tally = compare(&truth, &said, at(100));
        assert_eq!((tally.due, tally.announced, tally.fresh, tally.invented), (2, 2, 0, 0));
        assert_eq!(tally.delay(0.5), Some(TimeDelta::seconds(1)));
        assert_eq!(tally.delay(1.0), Some(TimeDelta::seconds(2)));
    }

    #[test]
    fn what_is_missing_is_due_unless_it_is_fresh_and_what_never_happened_counts() {
        let truth = [made(0, Made::Online, Made::Offline), made(90, Made::Offline, Made::Online)];
        let tally = compare(&truth, &[told(5, State::Online, State::Degraded)], at(80));
        assert_eq!((tally.due, tally.announced, tally.fresh, tally.invented), (1, 0, 1, 1));
        assert_eq!(tally.delay(0.5), None);
    }
}
