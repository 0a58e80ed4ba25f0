//! The simulator's clock: the one place that reads time.

use std::time::Instant;

use chrono::{DateTime, SubsecRound, Utc};

/// Time since a fleet's start, and wall time for stamps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the clock of the simulator")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start.
    pub fn ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    /// Wall time, microseconds precise.
    #[allow(clippy::disallowed_methods, reason = "the clock of the simulator")]
    pub fn wall() -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}
