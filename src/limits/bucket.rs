//! A token bucket: so many at once, and so many a second in the long run.

use std::time::{Duration, Instant};

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests a second in the long run; 0 for no limit.
    pub per_second: f64,
    /// Requests at once.
    pub burst: f64,
}

impl Rate {
    /// Is there a limit at all?
    pub fn is_limited(self) -> bool {
        self.per_second > 0.0
    }
}

/// What is left of a bucket, and when that was so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst.max(1.0), at: now }
    }

    /// Takes one; otherwise says how long until there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - self.tokens) / rate.per_second).unwrap_or(Duration::MAX))
    }

    /// Puts back one that was taken.
    pub(super) fn give_back(&mut self, rate: Rate) {
        self.tokens = (self.tokens + 1.0).min(rate.burst.max(1.0));
    }

    /// Has it filled up again, so that nothing is lost by forgetting it?
    pub(super) fn is_full(mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= rate.burst.max(1.0)
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst.max(1.0));
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::{ports::Clock, testing::TestClock};
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3.0 };

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = TestClock::default().now();
        let mut bucket = Bucket::full(RATE, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, start), Ok(()));
        }
        assert_eq!(bucket.take(RATE, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(RATE, later), Ok(()));
        assert!(bucket.take(RATE, later).is_err());
        assert!(bucket.is_full(RATE, start + Duration::from_secs(60)));
    }

    proptest! {
        #[test]
        fn never_more_passes_than_burst_and_rate_allow(pauses in prop::collection::vec(0_u64..2_000, 1..200)) {
            let start = TestClock::default().now();
            let (mut now, mut bucket, mut passed) = (start, Bucket::full(RATE, start), 0_u32);
            for pause in pauses {
                now += Duration::from_millis(pause);
                passed += u32::from(bucket.take(RATE, now).is_ok());
            }
            let allowed = RATE.burst + RATE.per_second * (now - start).as_secs_f64();
            prop_assert!(f64::from(passed) <= allowed + 1e-6);
        }

        #[test]
        fn whoever_waits_as_told_passes(before in 0_u64..5) {
            let start = TestClock::default().now();
            let mut bucket = Bucket::full(RATE, start);
            for _ in 0..before {
                let _ = bucket.take(RATE, start);
            }
            if let Err(wait) = bucket.take(RATE, start) {
                prop_assert!(bucket.take(RATE, start + wait + Duration::from_nanos(10)).is_ok());
            }
        }
    }
}
