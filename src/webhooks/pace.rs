//! When a failed delivery is tried again, and when it is given up. Pure: time and chance are arguments.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long deliveries are tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries of one event.
    pub max_attempts: u32,
    /// Pause after the first failed try; it doubles with each.
    pub initial_backoff: Duration,
    /// Longest pause.
    pub max_backoff: Duration,
    /// Older events are not tried any more.
    pub max_age: TimeDelta,
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// It is tried again after this pause.
    Again(Duration),
    /// It was tried often enough.
    GiveUp,
}

impl Patience {
    /// What follows the failed try number `attempts` (1 for the first), with `chance` from 0 to 1: pauses are between the half
    /// and the whole of what they could be, so that many webhooks do not come back together. They are no shorter than the
    /// destination wished, but never longer than the longest pause.
    pub fn after(&self, attempts: u32, chance: f64, wished: Duration) -> Next {
        if attempts >= self.max_attempts {
            return Next::GiveUp;
        }
        let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.initial_backoff.saturating_mul(doubled).min(self.max_backoff);
        let own = whole.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
        Next::Again(own.max(wished.min(self.max_backoff)))
    }

    /// Is an event of this time too old to be told?
    pub fn is_too_old(&self, event: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now.signed_duration_since(event) > self.max_age
    }

    /// How long to wait until then; never longer than the longest pause, whatever clocks say.
    pub fn until(&self, due: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
        due.signed_duration_since(now).to_std().unwrap_or_default().min(self.max_backoff)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Patience = Patience {
        max_attempts: 12,
        initial_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(600),
        max_age: TimeDelta::hours(24),
    };

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_last_try() {
        let pauses: Vec<_> = (1..=12).map(|attempts| PATIENCE.after(attempts, 1.0, Duration::ZERO)).collect();
        let again = |seconds| Next::Again(Duration::from_secs(seconds));
        assert_eq!(pauses[..4], [again(1), again(2), again(4), again(8)]);
        assert_eq!((pauses[9], pauses[10], pauses[11]), (again(512), again(600), Next::GiveUp));
    }

    proptest! {
        #[test]
        fn a_pause_is_between_the_half_and_the_whole(attempts in 1..200_u32, chance in -1.0..2.0_f64) {
            let patience = Patience { max_attempts: u32::MAX, ..PATIENCE };
            let (Next::Again(pause), Next::Again(whole)) = (patience.after(attempts, chance, Duration::ZERO), patience.after(attempts, 1.0, Duration::ZERO))
                else { panic!("given up") };
            prop_assert!(pause >= whole / 2 && pause <= whole && whole <= patience.max_backoff);
        }
    }

    #[test]
    fn a_pause_is_as_long_as_was_wished_within_reason() {
        let pause = |attempts, wished| PATIENCE.after(attempts, 1.0, Duration::from_secs(wished));
        let again = |seconds| Next::Again(Duration::from_secs(seconds));
        assert_eq!(
            [pause(1, 30), pause(5, 3), pause(1, 86_400), pause(12, 30)],
            [again(30), again(16), again(600), Next::GiveUp]
        );
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_for_ever() {
        let (now, later) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(9));
        assert_eq!(PATIENCE.until(later, now), PATIENCE.max_backoff);
        assert_eq!(PATIENCE.until(now, later), Duration::ZERO);
        assert!(PATIENCE.is_too_old(now, later) && !PATIENCE.is_too_old(later, now));
    }
}
