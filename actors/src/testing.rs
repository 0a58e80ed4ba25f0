//! Hand-written fakes with scenarios, for tests of the engine and of what stands on it.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use crate::ports::Clock;

/// Some instant to count from.
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A clock whose wall runs along with tokio's (pausable) clock, from a fixed day.
#[derive(Debug)]
pub struct TestClock {
    base: Instant,
}

impl Default for TestClock {
    fn default() -> Self {
        Self { base: instant() }
    }
}

impl Clock for TestClock {
    fn wall(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.now() - self.base).unwrap_or_default();
        DateTime::from_timestamp_nanos(1_800_000_000_000_000_000) + elapsed
    }
}
