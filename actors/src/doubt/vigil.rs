//! The vigil: notices that the process itself was stopped or starved, so that its checks wait for as much longer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Time between two beats: half of what else happens regularly, so that the processor wakes for both at once.
pub const BEAT: Duration = Duration::from_millis(125);

/// How many times its own span the deadline of a check is put off at most. A deadline is a third of a period by default: no check
/// runs into the next one.
pub const PATIENCE: u32 = 2;

/// Lateness of a beat that is not worth noticing.
const TOLERANCE_MS: u64 = 50;

/// Counts the time that this process did not get.
#[derive(Debug)]
pub struct Vigil {
    base: Instant,
    beat_ms: AtomicU64,
    lost_ms: AtomicU64,
}

/// Where the vigil stood when a check began.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    lost_ms: u64,
}

impl Vigil {
    /// A vigil that begins now.
    pub fn new(now: Instant) -> Self {
        Self { base: now, beat_ms: AtomicU64::new(0), lost_ms: AtomicU64::new(0) }
    }

    /// One beat, meant to come every [`BEAT`]. Returns how long the process was away, if that was noticeable.
    pub fn beat(&self, now: Instant) -> Option<Duration> {
        let now_ms = self.millis(now);
        let late = now_ms.saturating_sub(self.beat_ms.swap(now_ms, Ordering::Relaxed)).saturating_sub(beat_ms());
        if late <= TOLERANCE_MS {
            return None;
        }
        self.lost_ms.fetch_add(late, Ordering::Relaxed);
        Some(Duration::from_millis(late))
    }

    /// Where it stands.
    pub fn mark(&self) -> Mark {
        Mark { lost_ms: self.lost_ms.load(Ordering::Relaxed) }
    }

    /// The time that the process did not get since `mark`. Counts a beat that is overdue right now, too: after a stop, timers
    /// may fire before the next beat does.
    pub fn lost_since(&self, mark: Mark, now: Instant) -> Duration {
        let overdue = self.millis(now).saturating_sub(self.beat_ms.load(Ordering::Relaxed)).saturating_sub(beat_ms());
        let overdue = if overdue > TOLERANCE_MS { overdue } else { 0 };
        let lost = self.lost_ms.load(Ordering::Relaxed).saturating_sub(mark.lost_ms) + overdue;
        Duration::from_millis(lost)
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.base).as_millis() as u64
    }
}

const fn beat_ms() -> u64 {
    BEAT.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beating(gaps_ms: &[u64]) -> (Vigil, Mark, Instant) {
        let mut now = crate::testing::instant();
        let vigil = Vigil::new(now);
        let mark = vigil.mark();
        for gap in gaps_ms {
            now += Duration::from_millis(*gap);
            vigil.beat(now);
        }
        (vigil, mark, now)
    }

    #[test]
    fn beats_on_time_lose_nothing() {
        let (vigil, mark, now) = beating(&[125; 200]);
        assert_eq!(vigil.lost_since(mark, now), Duration::ZERO);
    }

    #[test]
    fn one_stop_is_noticed_before_and_after_the_next_beat() {
        let (vigil, mark, now) = beating(&[125, 125]);
        let back = now + Duration::from_secs(5);
        let lost = Duration::from_millis(4_875);
        assert_eq!(vigil.lost_since(mark, back), lost);
        assert_eq!(vigil.beat(back), Some(lost));
        assert_eq!(vigil.lost_since(mark, back), lost);
        assert_eq!(vigil.lost_since(vigil.mark(), back), Duration::ZERO);
    }

    #[test]
    fn steady_starvation_adds_up() {
        let (vigil, mark, now) = beating(&[250; 10]);
        assert_eq!(vigil.lost_since(mark, now), Duration::from_millis(1_250));
    }
}
