//! The pace: when a cluster's next check is due, at a fixed rate in its own phase, and how many pokes it may have.

use std::time::{Duration, Instant};

use super::Moment;
use crate::target::Cadence;

/// Pokes by closed connections that may come in a row; one more is earned each period.
const POKES: f64 = 3.0;

#[derive(Clone, Debug)]
pub(super) struct Pace {
    cadence: Cadence,
    /// The time of the next check by this cluster's place in the period …
    place: Instant,
    /// … and the beat on which it begins.
    due: Instant,
    /// From a first check at once to this cluster's place in the period: those registered together part after it.
    to_place: Option<Duration>,
    pokes: f64,
    pokes_at: Instant,
}

impl Pace {
    /// The first check is due now, or at this cluster's place (`phase`, any hash) in the period.
    pub(super) fn new(cadence: Cadence, phase: u64, at: Moment, at_once: bool) -> Self {
        let share = share(cadence.period, phase);
        let (place, to_place) = if at_once { (at.now, Some(share)) } else { (at.now + share, None) };
        let due = if at_once { place } else { at.beat.not_before(place, cadence.period) };
        Self { cadence, place, due, to_place, pokes: POKES, pokes_at: at.now }
    }

    pub(super) const fn cadence(&self) -> Cadence {
        self.cadence
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// A recheck comes soon, but never later than half a period.
    pub(super) fn recheck_delay(&self) -> Duration {
        self.cadence.recheck_delay.min(self.cadence.period / 2)
    }

    /// The regular check woke: how late, and the next one is set. `Err` with the next due time when it woke so late
    /// (the process was stopped) that everybody did: then each waits for its own place in the period again.
    pub(super) fn wake(&mut self, at: Moment) -> Result<Duration, Instant> {
        let now = at.now;
        let lag = now.saturating_duration_since(self.due);
        let period = self.cadence.period;
        self.place += self.to_place.take().unwrap_or(period);
        if now >= self.place {
            let missed = (now - self.place).as_nanos() / period.as_nanos().max(1);
            self.place += period.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1));
        }
        self.due = at.beat.not_before(self.place, period);
        if lag > period / 2 { Err(self.due) } else { Ok(lag) }
    }

    /// Follows a changed cadence. True when the next check must come earlier than it was due.
    pub(super) fn retune(&mut self, cadence: Cadence, now: Instant) -> bool {
        let shorter = cadence.period < self.cadence.period;
        if cadence.period != self.cadence.period {
            self.place = self.place.min(now + cadence.period);
            self.due = self.due.min(now + cadence.period);
            self.to_place = self.to_place.map(|place| place.min(cadence.period));
        }
        self.cadence = cadence;
        shorter
    }

    /// Takes one poke from the budget, if there is one.
    pub(super) fn afford_poke(&mut self, now: Instant) -> bool {
        let periods = now.saturating_duration_since(self.pokes_at).as_secs_f64() / self.cadence.period.as_secs_f64();
        self.pokes = (self.pokes + periods).min(POKES);
        self.pokes_at = now;
        let affordable = self.pokes >= 1.0;
        if affordable {
            self.pokes -= 1.0;
        }
        affordable
    }
}

/// The part of `period` that a hash points to.
fn share(period: Duration, phase: u64) -> Duration {
    period.mul_f64((phase >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{super::Beat, *};

    const PERIOD: Duration = Duration::from_secs(30);

    fn moment(now: Instant, anchor: Instant) -> Moment {
        let beat = Beat { anchor, every: Duration::from_millis(500) };
        Moment { now, wall: DateTime::UNIX_EPOCH, beat }
    }

    fn pace(phase: u64, at_once: bool) -> (Pace, Instant) {
        let now = crate::testing::instant();
        (started(moment(now, now), phase, at_once), now)
    }

    fn started(at: Moment, phase: u64, at_once: bool) -> Pace {
        let cadence = Cadence {
            period: PERIOD,
            deadline: Duration::from_secs(10),
            failure_threshold: 2,
            success_threshold: 1,
            recheck_delay: Duration::from_secs(2),
        };
        Pace::new(cadence, phase, at, at_once)
    }

    #[test]
    fn clusters_started_at_any_time_are_checked_on_one_beat() {
        let (now, phase) = (crate::testing::instant(), 0x9e37_79b9_7f4a_7c15);
        let beat = moment(now, now).beat;
        for started_after in (0..100).map(|n| Duration::from_micros(7_919 * n)) {
            let at = moment(now + started_after, now);
            let mut pace = started(at, phase, started_after.subsec_micros() % 2 == 0);
            let _ = pace.wake(moment(pace.due(), now));
            assert_eq!(beat.not_before(pace.due(), PERIOD), pace.due(), "{started_after:?}");
            let off = pace.due() - at.now - share(PERIOD, phase);
            assert!(off < beat.every || (PERIOD..PERIOD + beat.every).contains(&off), "{off:?}");
        }
    }

    #[test]
    fn a_start_is_spread_over_the_period_and_a_registration_is_at_once() {
        let (pace_at_once, now) = pace(u64::MAX, true);
        assert_eq!(pace_at_once.due(), now);
        for (phase, least, most) in [(0, 0.0, 0.001), (1 << 63, 14.9, 15.1), (u64::MAX, 29.9, 30.0)] {
            let (pace, now) = pace(phase, false);
            let wait = (pace.due() - now).as_secs_f64();
            assert!(wait >= least && wait <= most, "{phase}: {wait}");
        }
    }

    #[test]
    fn those_registered_together_part_after_their_first_check() {
        for (phase, least, most) in [(0, 30.0, 30.0), (1 << 63, 14.9, 15.1), (u64::MAX, 29.9, 30.0)] {
            let (mut pace, now) = pace(phase, true);
            assert_eq!(pace.wake(moment(now, now)), Ok(Duration::ZERO));
            let second = pace.due();
            let wait = (second - now).as_secs_f64();
            assert!(wait >= least && wait <= most, "{phase}: {wait}");
            assert_eq!(pace.wake(moment(second, now)), Ok(Duration::ZERO));
            assert_eq!(pace.due(), second + PERIOD);
        }
    }

    #[test]
    fn a_shorter_beat_parts_those_who_shared_a_longer_one() {
        let now = crate::testing::instant();
        let beat = |ms| Moment { beat: Beat { anchor: now, every: Duration::from_millis(ms) }, ..moment(now, now) };
        let (mut early, mut late) = (started(beat(1_000), 1 << 58, false), started(beat(1_000), 1 << 59, false));
        assert_eq!((early.due(), early.due()), (late.due(), now + Duration::from_secs(1)));
        for pace in [&mut early, &mut late] {
            let woken = Moment { now: pace.due(), ..beat(125) };
            assert_eq!(pace.wake(woken), Ok(Duration::ZERO));
        }
        assert_eq!(late.due() - early.due(), Duration::from_millis(500));
    }

    #[test]
    fn lateness_does_not_shift_the_rate() {
        let (mut pace, now) = pace(0, true);
        assert_eq!(pace.wake(moment(now + Duration::from_secs(3), now)), Ok(Duration::from_secs(3)));
        assert_eq!(pace.due(), now + PERIOD);
    }

    #[test]
    fn after_a_long_stop_each_waits_for_its_own_place_again() {
        let (mut pace, now) = pace(0, true);
        assert_eq!(pace.wake(moment(now + Duration::from_secs(100), now)), Err(now + 4 * PERIOD));
    }

    #[test]
    fn a_server_that_always_closes_costs_one_more_check_a_period() {
        let (mut pace, now) = pace(0, true);
        let allowed = (0..600).filter(|second| pace.afford_poke(now + Duration::from_secs(*second))).count();
        assert!((20..=23).contains(&allowed), "{allowed}");
    }
}
