//! The clock: the only place that asks the system for the time.

use chrono::{DateTime, Utc};
use fleetbeat_actors::ports::Clock;

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
