//! The decision of a circuit breaker, without clock or lock: events in, verdicts out.

use std::time::{Duration, Instant};

/// When a breaker opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// Failures in a row that open it.
    pub failure_threshold: u32,
    /// How long it stays open before calls are tried again.
    pub recovery_timeout: Duration,
    /// Calls that are tried then; so many successes close it, one failure opens it again.
    pub half_open_requests: u32,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self { failure_threshold: 5, recovery_timeout: Duration::from_secs(30), half_open_requests: 3 }
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// A few calls, on trial.
    HalfOpen,
    /// Nothing.
    Open,
}

impl BreakerState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A breaker's memory.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    rules: BreakerRules,
    memory: Memory,
}

#[derive(Clone, Copy, Debug)]
enum Memory {
    Closed { failures: u32 },
    Open { since: Instant },
    HalfOpen { since: Instant, tried: u32, succeeded: u32 },
}

impl Decision {
    /// A closed breaker.
    pub fn new(rules: BreakerRules) -> Self {
        Self { rules, memory: Memory::Closed { failures: 0 } }
    }

    /// What it lets through.
    pub fn state(&self) -> BreakerState {
        match self.memory {
            Memory::Closed { .. } => BreakerState::Closed,
            Memory::Open { .. } => BreakerState::Open,
            Memory::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// May a call be made now? One that may is on trial while the breaker is half open.
    pub fn admit(&mut self, now: Instant) -> bool {
        let over = |since: Instant| now.saturating_duration_since(since) >= self.rules.recovery_timeout;
        match self.memory {
            Memory::Closed { .. } => true,
            Memory::Open { since } if over(since) => self.try_out(now),
            Memory::Open { .. } => false,
            // Calls on trial that never came back (their caller went away) hold it up for no longer than that.
            Memory::HalfOpen { since, .. } if over(since) => self.try_out(now),
            Memory::HalfOpen { since, tried, succeeded } => {
                let more = tried < self.rules.half_open_requests;
                self.memory = Memory::HalfOpen { since, tried: tried + u32::from(more), succeeded };
                more
            }
        }
    }

    /// A call succeeded, or failed in a way that speaks against the other side.
    pub fn learn(&mut self, success: bool, now: Instant) {
        self.memory = match (self.memory, success) {
            (Memory::Closed { .. }, true) => Memory::Closed { failures: 0 },
            (Memory::Closed { failures }, false) if failures + 1 < self.rules.failure_threshold => {
                Memory::Closed { failures: failures + 1 }
            }
            (Memory::Closed { .. } | Memory::HalfOpen { .. }, false) => Memory::Open { since: now },
            // A late failure of a call from before says nothing new.
            (Memory::Open { since }, false) => Memory::Open { since },
            (Memory::Open { .. }, true) => self.closer(now, 0, 1),
            (Memory::HalfOpen { since, tried, succeeded }, true) => self.closer(since, tried, succeeded + 1),
        };
    }

    fn try_out(&mut self, now: Instant) -> bool {
        self.memory = Memory::HalfOpen { since: now, tried: 1, succeeded: 0 };
        true
    }

    fn closer(&self, since: Instant, tried: u32, succeeded: u32) -> Memory {
        if succeeded >= self.rules.half_open_requests {
            Memory::Closed { failures: 0 }
        } else {
            Memory::HalfOpen { since, tried, succeeded }
        }
    }
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::{ports::Clock, testing::TestClock};
    use proptest::prelude::*;

    use super::*;

    fn opened(now: Instant) -> Decision {
        let mut breaker = Decision::new(BreakerRules::default());
        (0..5).for_each(|_| breaker.learn(false, now));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_forgives() {
        let now = TestClock::default().now();
        let mut breaker = Decision::new(BreakerRules::default());
        for _ in 0..3 {
            (0..4).for_each(|_| breaker.learn(false, now));
            breaker.learn(true, now);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(opened(now).state(), BreakerState::Open);
    }

    #[test]
    fn an_open_one_admits_nothing_for_thirty_seconds_and_then_three() {
        let now = TestClock::default().now();
        let mut breaker = opened(now);
        assert!(!breaker.admit(now + Duration::from_secs(29)));
        let later = now + Duration::from_secs(30);
        let admitted = (0..10).filter(|_| breaker.admit(later)).count();
        assert_eq!((admitted, breaker.state()), (3, BreakerState::HalfOpen));
    }

    #[test]
    fn three_successes_close_it_and_one_failure_opens_it_again() {
        let now = TestClock::default().now();
        let later = now + Duration::from_secs(30);
        let mut breaker = opened(now);
        for _ in 0..3 {
            assert_ne!(breaker.state(), BreakerState::Closed);
            assert!(breaker.admit(later));
            breaker.learn(true, later);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);

        let mut breaker = opened(now);
        assert!(breaker.admit(later));
        breaker.learn(false, later);
        assert!(!breaker.admit(later + Duration::from_secs(29)));
    }

    #[test]
    fn calls_on_trial_that_never_come_back_do_not_keep_it_shut() {
        let now = TestClock::default().now();
        let mut breaker = opened(now);
        let later = now + Duration::from_secs(30);
        assert_eq!((0..9).filter(|_| breaker.admit(later)).count(), 3);
        assert!(breaker.admit(later + Duration::from_secs(30)));
    }

    #[test]
    fn a_success_from_outside_ends_the_wait() {
        let now = TestClock::default().now();
        let mut breaker = opened(now);
        breaker.learn(true, now);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.admit(now));
    }

    proptest! {
        #[test]
        fn it_opens_only_on_a_failure_and_never_stays_shut(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u64..40), 1..200)
        ) {
            let mut now = TestClock::default().now();
            let mut breaker = Decision::new(BreakerRules::default());
            for (asks, success, seconds) in steps {
                now += Duration::from_secs(seconds);
                let before = breaker.state();
                if asks {
                    breaker.admit(now);
                } else {
                    breaker.learn(success, now);
                    prop_assert!(!(success && breaker.state() == BreakerState::Open));
                }
                if before != BreakerState::Open && breaker.state() == BreakerState::Open {
                    prop_assert!(!asks && !success);
                }
                let mut later = breaker;
                prop_assert!(later.admit(now + Duration::from_secs(30)));
            }
        }
    }
}
