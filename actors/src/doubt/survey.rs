//! A survey: the answers of a random sample of the fleet, and when they are enough to decide.

use crate::health::{CheckReport, Outcome};

/// What a survey says of the monitor's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Too many answers are still missing.
    Open,
    /// The network carries: most of the sample is reached.
    Carries,
    /// Most of the sample is not reached.
    Fails {
        /// Was anybody reached?
        anybody: bool,
    },
}

/// The answers so far.
#[derive(Clone, Copy, Debug)]
pub struct Survey {
    size: usize,
    reached: usize,
    missed: usize,
}

impl Survey {
    /// A survey of `size` clusters.
    pub const fn of(size: usize) -> Self {
        Self { size, reached: 0, missed: 0 }
    }

    /// Takes in one answer; `None` when none came in time. A probe that did not run says nothing and shrinks the sample.
    pub fn answer(&mut self, report: Option<&CheckReport>) {
        match report.map(|report| report.api_server) {
            Some(Outcome::NotRun(_)) => self.size -= 1,
            Some(Outcome::Healthy { .. }) => self.reached += 1,
            Some(Outcome::Failed { failure, .. }) if !failure.cause.is_network() => self.reached += 1,
            Some(Outcome::Failed { .. }) | None => self.missed += 1,
        }
    }

    /// What the answers say; when `ended`, no more will come. A sample below `least` says that the network carries,
    /// since nothing may be held on so little.
    pub fn verdict(&self, hold_ratio: f64, least: usize, ended: bool) -> Verdict {
        if self.size < least {
            return if ended || self.size == 0 { Verdict::Carries } else { Verdict::Open };
        }
        let size = self.size as f64;
        if self.reached as f64 > size * (1.0 - hold_ratio) {
            Verdict::Carries
        } else if ended && self.missed as f64 >= size * hold_ratio {
            Verdict::Fails { anybody: self.reached > 0 }
        } else if ended {
            Verdict::Carries
        } else {
            Verdict::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::{Cause, Failure, NotRun};

    fn report(api_server: Outcome) -> CheckReport {
        CheckReport { api_server, ..CheckReport::not_run(NotRun::Abandoned) }
    }

    fn survey(reached: usize, missed: usize, silent: usize) -> Verdict {
        let mut survey = Survey::of(reached + missed + silent);
        let well = report(Outcome::Healthy { latency: Duration::ZERO });
        let gone = report(Outcome::failed(Failure::of(Cause::Refused), Duration::ZERO));
        (0..reached).for_each(|_| survey.answer(Some(&well)));
        (0..missed).for_each(|_| survey.answer(Some(&gone)));
        (0..silent).for_each(|_| survey.answer(None));
        survey.verdict(0.55, 10, true)
    }

    #[test]
    fn a_third_of_the_fleet_dying_is_believed_and_most_of_it_is_not() {
        assert_eq!(survey(43, 21, 0), Verdict::Carries);
        assert_eq!(survey(20, 30, 14), Verdict::Fails { anybody: true });
        assert_eq!(survey(0, 0, 64), Verdict::Fails { anybody: false });
    }

    #[test]
    fn nothing_is_held_on_a_small_sample() {
        assert_eq!(survey(0, 9, 0), Verdict::Carries);
        assert_eq!(survey(0, 10, 0), Verdict::Fails { anybody: false });
    }

    #[test]
    fn it_ends_early_when_enough_are_reached() {
        let mut survey = Survey::of(20);
        let well = report(Outcome::Healthy { latency: Duration::ZERO });
        (0..9).for_each(|_| survey.answer(Some(&well)));
        assert_eq!(survey.verdict(0.55, 10, false), Verdict::Open);
        survey.answer(Some(&well));
        assert_eq!(survey.verdict(0.55, 10, false), Verdict::Carries);
    }
}
