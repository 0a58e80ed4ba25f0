//! The monitor doubts itself first: was the process away, and does its own network still reach the fleet?
//!
//! A worsening that the monitor's own network could explain is believed when others are seen to be reached. When the
//! checks as they happen do not show that, a survey asks a random sample of the fleet at once.

mod evidence;
mod survey;
mod vigil;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::health::Trust;
pub use evidence::Evidence;
pub use survey::{FIRST_WAVE, Survey, Verdict};
pub use vigil::{BEAT, Mark, PATIENCE, Vigil};

/// When the monitor doubts itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DoubtRules {
    /// This share of a survey must fail before states are held.
    pub hold_ratio: f64,
    /// Fewer clusters than this are never held.
    pub hold_min_clusters: usize,
    /// Clusters in a survey, at most.
    pub sample: usize,
    /// A surveyed cluster that has not answered by then counts as failed.
    pub patience: Duration,
    /// Surveys start no closer to each other than this.
    pub spacing: Duration,
    /// After so long, states are held no more if a part of the fleet answers all the while.
    pub max_hold: Duration,
}

impl Default for DoubtRules {
    fn default() -> Self {
        Self {
            hold_ratio: 0.55,
            hold_min_clusters: 10,
            sample: 64,
            patience: Duration::from_secs(3),
            spacing: Duration::from_secs(1),
            max_hold: Duration::from_secs(300),
        }
    }
}

/// What the engine knows of the monitor itself.
#[derive(Debug)]
pub struct Doubt {
    rules: DoubtRules,
    has_canaries: bool,
    /// Was the process away?
    pub vigil: Arc<Vigil>,
    /// What checks show as they happen.
    pub evidence: Evidence,
    finding: Mutex<Belief>,
    wanted: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Belief {
    /// Start of the last survey that found the network carrying.
    carried_at: Option<Instant>,
    held_since: Option<Instant>,
    released_at: Option<Instant>,
    /// A hold was given up: until then everything is believed.
    believing_until: Option<Instant>,
}

/// What a survey changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Nothing.
    None,
    /// States are held from now on.
    Held,
    /// States are held no more.
    Released,
}

impl Doubt {
    /// No doubt yet.
    pub fn new(rules: DoubtRules, has_canaries: bool, now: Instant) -> Self {
        Self {
            rules,
            has_canaries,
            vigil: Arc::new(Vigil::new(now)),
            evidence: Evidence::new(now),
            finding: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    /// The rules.
    pub const fn rules(&self) -> &DoubtRules {
        &self.rules
    }

    /// May a cluster that fails since `since`, by a check that started at `started`, in a fleet of `fleet`, be believed
    /// to be down? Asks for a survey when that is not known.
    pub fn trust(&self, now: Instant, since: Instant, started: Instant, fleet: usize) -> Trust {
        let belief = *self.finding.lock();
        let under_hold = belief.released_at.is_some_and(|released| started < released);
        if belief.held_since.is_some() || under_hold {
            return Trust::Hold;
        }
        let too_small = fleet < self.rules.hold_min_clusters && !self.has_canaries;
        let believing = belief.believing_until.is_some_and(|until| now < until);
        let carried = belief.carried_at.is_some_and(|at| at >= since);
        if too_small || believing || carried || self.shows_by_itself(now, since) {
            return Trust::Sure;
        }
        self.wanted.notify_one();
        Trust::Wait
    }

    /// Enough of those who were asked since answered for it not to be the monitor. Who hangs was asked and did not answer,
    /// so that slow failures weigh as much as quick ones.
    fn shows_by_itself(&self, now: Instant, since: Instant) -> bool {
        let (asked, passed) = self.evidence.count_after(since, now);
        let enough = asked as f64 * (1.0 - self.rules.hold_ratio);
        passed >= self.rules.hold_min_clusters as u64 && passed as f64 > enough
    }

    /// Waits until somebody asks for a survey.
    pub async fn survey_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Are states held?
    pub fn is_holding(&self) -> bool {
        self.finding.lock().held_since.is_some()
    }

    /// Does a failure seen at `at` stand for itself? Not while states are held, nor when it was seen under a hold that
    /// has ended since.
    pub fn stands(&self, at: Instant) -> bool {
        let belief = self.finding.lock();
        belief.held_since.is_none() && belief.released_at.is_none_or(|released| at >= released)
    }

    /// Takes in the end of a survey that started at `started`.
    pub fn conclude(&self, now: Instant, started: Instant, verdict: Verdict) -> Shift {
        let mut belief = self.finding.lock();
        match verdict {
            Verdict::Carries => {
                belief.carried_at = Some(started);
                if belief.held_since.take().is_none() {
                    return Shift::None;
                }
                belief.released_at = Some(now);
                Shift::Released
            }
            Verdict::Fails { anybody } => {
                let Some(since) = belief.held_since else {
                    belief.held_since = Some(now);
                    return Shift::Held;
                };
                if !anybody || now.saturating_duration_since(since) < self.rules.max_hold {
                    return Shift::None;
                }
                belief.held_since = None;
                belief.released_at = Some(now);
                belief.believing_until = Some(now + 2 * self.rules.max_hold);
                Shift::Released
            }
            Verdict::Open => Shift::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt() -> (Doubt, Instant) {
        let now = crate::testing::instant();
        (Doubt::new(DoubtRules::default(), false, now), now)
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_small_fleet_is_believed_at_once() {
        let (doubt, now) = doubt();
        assert_eq!(doubt.trust(now, now, now, 9), Trust::Sure);
        assert_eq!(doubt.trust(now, now, now, 10), Trust::Wait);
    }

    #[test]
    fn a_single_death_among_answers_needs_no_survey() {
        let (doubt, now) = doubt();
        doubt.evidence.suspect(true);
        (0..15).for_each(|i| doubt.evidence.passed(now + Duration::from_millis(100 * i)));
        assert_eq!(doubt.trust(now + secs(2), now, now + secs(2), 1_000), Trust::Sure);
        assert_eq!(doubt.trust(now + secs(9), now + secs(7), now + secs(9), 1_000), Trust::Wait);
    }

    /// `passing` of a hundred answer within the window, and the others are asked twice.
    fn answers(passing: u32) -> Trust {
        let (doubt, now) = doubt();
        for n in 0..100 {
            let at = now + Duration::from_millis(300 + 17 * u64::from(n));
            doubt.evidence.asked(at);
            if n < passing {
                doubt.evidence.passed(at);
            } else {
                doubt.evidence.asked(at);
                doubt.evidence.suspect(true);
            }
        }
        doubt.trust(now + secs(2), now, now + secs(2), 1_000)
    }

    #[test]
    fn a_third_of_those_asked_failing_needs_no_survey_and_most_of_them_does() {
        assert_eq!(answers(67), Trust::Sure);
        assert_eq!(answers(45), Trust::Wait);
    }

    #[test]
    fn answers_from_before_the_failure_prove_nothing() {
        let (doubt, now) = doubt();
        (0..1_000).for_each(|_| doubt.evidence.passed(now));
        assert_eq!(doubt.trust(now + Duration::from_millis(10), now, now, 1_000), Trust::Wait);
    }

    #[test]
    fn a_survey_speaks_only_for_what_failed_before_it_started() {
        let (doubt, now) = doubt();
        assert_eq!(doubt.conclude(now + secs(3), now + secs(2), Verdict::Carries), Shift::None);
        assert_eq!(doubt.trust(now + secs(4), now + secs(1), now + secs(4), 100), Trust::Sure);
        assert_eq!(doubt.trust(now + secs(4), now + secs(3), now + secs(4), 100), Trust::Wait);
    }

    #[test]
    fn states_are_held_while_the_network_fails_and_no_longer() {
        let (doubt, now) = doubt();
        assert_eq!(doubt.conclude(now, now, Verdict::Fails { anybody: false }), Shift::Held);
        assert_eq!(doubt.trust(now, now, now, 100), Trust::Hold);
        assert_eq!(doubt.conclude(now + secs(3_600), now, Verdict::Fails { anybody: false }), Shift::None);
        assert_eq!(doubt.conclude(now + secs(3_601), now + secs(3_600), Verdict::Carries), Shift::Released);
        assert_eq!(doubt.trust(now + secs(3_601), now + secs(3_600), now + secs(3_601), 100), Trust::Sure);
    }

    #[test]
    fn a_hold_under_which_some_answer_all_the_while_is_given_up() {
        let (doubt, now) = doubt();
        doubt.conclude(now, now, Verdict::Fails { anybody: true });
        assert_eq!(doubt.conclude(now + secs(299), now, Verdict::Fails { anybody: true }), Shift::None);
        assert_eq!(doubt.conclude(now + secs(300), now, Verdict::Fails { anybody: true }), Shift::Released);
        assert_eq!(doubt.trust(now + secs(301), now + secs(300), now + secs(301), 100), Trust::Sure);
    }
}
