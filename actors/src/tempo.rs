//! The tempo: the grid of time on which everything regular of the engine happens, so that the processor wakes once for many
//! things.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use crate::health::beat::{Beat, SHORTEST_US};

/// Beats that clusters may share, in microseconds. All of them fit into one another and into seconds.
const BEATS: [u32; 6] = [SHORTEST_US, 62_500, 125_000, 250_000, 500_000, 1_000_000];
/// So many probes are to begin on one beat: one that is alone costs twice as much as one among as many.
const COMPANY: f64 = 36.0;
/// A shorter beat is left when fewer than this begin on it.
const LONELY: f64 = 27.0;

/// The tempo of one engine.
#[derive(Debug)]
pub(crate) struct Tempo {
    anchor: Instant,
    every_us: AtomicU32,
    begun: AtomicU64,
}

impl Tempo {
    /// A tempo whose beats fall on whole parts of the wall clock's seconds, as it stands.
    pub(crate) fn new(now: Instant, wall: DateTime<Utc>) -> Self {
        let into_second = Duration::from_nanos(u64::from(wall.timestamp_subsec_nanos()) % 1_000_000_000);
        let anchor = now.checked_sub(into_second).unwrap_or(now);
        Self { anchor, every_us: AtomicU32::new(BEATS[0]), begun: AtomicU64::new(0) }
    }

    /// The beat as it is now.
    pub(crate) fn beat(&self) -> Beat {
        Beat { anchor: self.anchor, every: Duration::from_micros(self.every_us.load(Ordering::Relaxed).into()) }
    }

    /// A regular check begins, of so many probes.
    pub(crate) fn note(&self, probes: u64) {
        self.begun.fetch_add(probes, Ordering::Relaxed);
    }

    /// Chooses the beat by how many probes of regular checks began in the time since the last choice.
    pub(crate) fn choose(&self, time: Duration) {
        let rate = self.begun.swap(0, Ordering::Relaxed) as f64 / time.as_secs_f64();
        let on = |beat_us: u32| rate * f64::from(beat_us) / 1e6;
        let now = self.every_us.load(Ordering::Relaxed);
        let wanted = BEATS.into_iter().find(|beat| on(*beat) >= COMPANY).unwrap_or(BEATS[BEATS.len() - 1]);
        if wanted < now || on(now) < LONELY {
            self.every_us.store(wanted, Ordering::Relaxed);
        }
    }

    /// How long until the next time on the grid of `every`.
    pub(crate) fn until_next(&self, now: Instant, every: Duration) -> Duration {
        Beat { anchor: self.anchor, every }.until_next(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tempo() -> (Tempo, Instant) {
        let now = crate::testing::instant();
        (Tempo::new(now, DateTime::from_timestamp_millis(1_800_000_000_123).expect("a date")), now)
    }

    fn after(tempo: &Tempo, checks: u64) -> u128 {
        (0..checks).for_each(|_| tempo.note(2));
        tempo.choose(Duration::from_secs(10));
        tempo.beat().every.as_millis()
    }

    #[test]
    fn a_small_fleet_has_a_long_beat_and_a_large_one_a_short_one() {
        let (tempo, _) = tempo();
        let beats = [250, 400, 1_000, 2_000, 3_000, 10_000].map(|checks| after(&tempo, checks));
        assert_eq!(beats, [1_000, 500, 250, 125, 62, 31]);
    }

    #[test]
    fn a_fleet_between_two_beats_stays_on_the_one_it_has() {
        let (tempo, _) = tempo();
        assert_eq!([1_500, 1_200, 1_100, 1_000].map(|checks| after(&tempo, checks)), [125, 125, 125, 250]);
        assert_eq!([1_100, 1_400, 1_500].map(|checks| after(&tempo, checks)), [250, 250, 125]);
    }

    #[test]
    fn the_grid_is_that_of_the_wall_clock_at_the_start() {
        let (tempo, now) = tempo();
        assert_eq!(tempo.until_next(now, Duration::from_millis(250)), Duration::from_millis(127));
        assert_eq!(tempo.until_next(now + Duration::from_millis(127), Duration::from_millis(250)).as_millis(), 250);
    }
}
