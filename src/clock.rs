//! The clock: the only place that asks the system for the time.

use chrono::{DateTime, SubsecRound, Utc};
use fleetbeat_actors::ports::Clock;

/// The system's clocks. Stamps are whole milliseconds, as every store and every reader keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn wall(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}
