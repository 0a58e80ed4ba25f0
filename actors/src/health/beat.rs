//! The beat: the grid of time on which regular work of all clusters begins together.

use std::time::{Duration, Instant};

/// The shortest beat, in microseconds.
pub(crate) const SHORTEST_US: u32 = 31_250;
/// A beat is shortened, as far as it can be, for a cluster whose period is not this many times as long.
const BEATS_A_PERIOD: u32 = 8;

/// The beat that all clusters share: regular checks begin on it. Those that begin together cost far less each than one at
/// a time: the processor wakes once for them, and finds its way warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Any time on the beat.
    pub anchor: Instant,
    /// From one beat to the next.
    pub every: Duration,
}

impl Beat {
    /// The first beat not before `due`, for checks of this period.
    pub(super) fn not_before(self, due: Instant, period: Duration) -> Instant {
        let beat = self.short_enough_for(period);
        if beat.since_last(due).is_zero() { due } else { due + beat.until_next(due) }
    }

    /// How long until the next beat; all of one when `now` is on the beat.
    pub(crate) fn until_next(self, now: Instant) -> Duration {
        self.every - self.since_last(now)
    }

    fn since_last(self, at: Instant) -> Duration {
        let into = at.saturating_duration_since(self.anchor).as_nanos() % self.every.as_nanos();
        Duration::from_nanos(into as u64)
    }

    fn short_enough_for(mut self, period: Duration) -> Self {
        let shortest = Duration::from_micros(SHORTEST_US.into());
        while self.every > shortest && self.every * BEATS_A_PERIOD > period {
            self.every /= 2;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_period_has_a_short_beat() {
        let now = crate::testing::instant();
        let beat = Beat { anchor: now, every: Duration::from_secs(1) };
        let waits = [30, 8, 5, 2, 1].map(|seconds| {
            let due = beat.not_before(now + Duration::from_millis(1), Duration::from_secs(seconds));
            (due - now).as_millis()
        });
        assert_eq!(waits, [1_000, 1_000, 500, 250, 125]);
    }
}
