//! A survey: the answers of a random sample of the fleet, and when they are enough to decide.

use crate::health::{CheckReport, Outcome};

/// What a survey says of the monitor's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Too many answers are missing.
    Open,
    /// The network carries: most of the sample is reached.
    Carries,
    /// Most of the sample is not reached.
    Fails {
        /// Was anybody reached?
        anybody: bool,
    },
}

/// Who is asked first. When nearly all of them answer, nobody else need be.
pub const FIRST_WAVE: usize = 12;

/// The answers so far.
#[derive(Clone, Copy, Debug)]
pub struct Survey {
    drawn: usize,
    asked: usize,
    reached: usize,
    missed: usize,
    unclear: usize,
}

impl Survey {
    /// A survey of `drawn` clusters, nobody asked yet.
    pub const fn of(drawn: usize) -> Self {
        Self { drawn, asked: 0, reached: 0, missed: 0, unclear: 0 }
    }

    /// So many more are being asked.
    pub const fn ask(&mut self, more: usize) {
        self.asked += more;
    }

    /// Takes in one answer; `None` when none came in time. A probe that did not run says nothing.
    pub fn answer(&mut self, report: Option<&CheckReport>) {
        match report.map(|report| report.api_server) {
            Some(Outcome::NotRun(_)) => self.unclear += 1,
            Some(Outcome::Healthy { .. }) => self.reached += 1,
            Some(Outcome::Failed { failure, .. }) if !failure.cause.is_network() => self.reached += 1,
            Some(Outcome::Failed { .. }) | None => self.missed += 1,
        }
    }

    /// What the answers say; when `ended`, no more will come. Those that are missing are not waited for when they could not
    /// change it. A fleet below `least` says that the network carries, since nothing may be held on so little; fewer answers
    /// than that from a larger one say nothing.
    pub fn verdict(&self, hold_ratio: f64, least: usize, ended: bool) -> Verdict {
        if self.drawn < least {
            return Verdict::Carries;
        }
        let size = (self.drawn - self.unclear) as f64;
        let most = self.reached as f64 > size * (1.0 - hold_ratio);
        let nearly_all = self.asked >= FIRST_WAVE && self.reached * 6 >= self.asked * 5;
        let enough = self.reached + self.missed >= least;
        if enough && (most || nearly_all) {
            Verdict::Carries
        } else if enough && self.missed as f64 >= size * hold_ratio {
            Verdict::Fails { anybody: self.reached > 0 }
        } else if enough && ended {
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
        survey.ask(reached + missed + silent);
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
        survey.ask(20);
        let well = report(Outcome::Healthy { latency: Duration::ZERO });
        (0..9).for_each(|_| survey.answer(Some(&well)));
        assert_eq!(survey.verdict(0.55, 10, false), Verdict::Open);
        survey.answer(Some(&well));
        assert_eq!(survey.verdict(0.55, 10, false), Verdict::Carries);
    }

    #[test]
    fn it_ends_early_when_too_many_are_missed() {
        let mut survey = Survey::of(20);
        survey.ask(20);
        (0..10).for_each(|_| survey.answer(None));
        assert_eq!(survey.verdict(0.55, 10, false), Verdict::Open);
        survey.answer(None);
        assert_eq!(survey.verdict(0.55, 10, false), Verdict::Fails { anybody: false });
    }

    #[test]
    fn a_first_wave_that_is_reached_is_enough_and_a_quick_minority_is_not() {
        let well = report(Outcome::Healthy { latency: Duration::ZERO });
        let wave = |asked: usize, reached: usize| {
            let mut survey = Survey::of(64);
            survey.ask(asked);
            (0..reached).for_each(|_| survey.answer(Some(&well)));
            survey.verdict(0.55, 10, false)
        };
        assert_eq!(wave(12, 10), Verdict::Carries);
        assert_eq!(wave(12, 9), Verdict::Open);
        assert_eq!(wave(64, 12), Verdict::Open, "the others may hang");
    }

    #[test]
    fn probes_that_did_not_run_say_nothing_about_the_network() {
        let mut survey = Survey::of(64);
        survey.ask(64);
        let stalled = report(Outcome::NotRun(NotRun::Stalled));
        let gone = report(Outcome::failed(Failure::of(Cause::Refused), Duration::ZERO));
        (0..60).for_each(|_| survey.answer(Some(&stalled)));
        (0..4).for_each(|_| survey.answer(Some(&gone)));
        assert_eq!(survey.verdict(0.55, 10, true), Verdict::Open);
    }
}
