//! Evidence from checks as they happen: how many were asked and how many passed lately. Lock-free; written by every check.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const SLOT_MS: u64 = 250;
const SLOTS: usize = 512;

/// Counts of the last two minutes, a quarter of a second a slot.
#[derive(Debug)]
pub struct Evidence {
    base: Instant,
    slots: Box<[Slot]>,
    suspects: AtomicI64,
    /// Milliseconds from the base to the last answer.
    answered_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    tick: AtomicU64,
    asked: AtomicU64,
    passed: AtomicU64,
}

impl Evidence {
    /// No evidence yet.
    pub fn new(now: Instant) -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Self { base: now, slots, suspects: AtomicI64::new(0), answered_ms: AtomicU64::new(0) }
    }

    /// A cluster that was reachable so far is being asked.
    pub fn asked(&self, now: Instant) {
        self.slot(now).asked.fetch_add(1, Ordering::Relaxed);
    }

    /// A cluster answered: the network between carries.
    pub fn passed(&self, now: Instant) {
        self.answered_ms.fetch_max(self.millis(now), Ordering::Relaxed);
        self.slot(now).passed.fetch_add(1, Ordering::Relaxed);
    }

    /// One more, or one less, cluster fails in a way the network could explain and is not confirmed to be down.
    pub fn suspect(&self, more: bool) {
        self.suspects.fetch_add(if more { 1 } else { -1 }, Ordering::Relaxed);
    }

    /// How many clusters are suspect now.
    pub fn suspects(&self) -> u64 {
        self.suspects.load(Ordering::Relaxed).max(0) as u64
    }

    /// Checks asked and passed between `from` and `to`, at most two minutes back.
    pub fn count(&self, from: Instant, to: Instant) -> (u64, u64) {
        let (from, to) = (self.tick(from), self.tick(to));
        let from = from.max(to.saturating_sub(SLOTS as u64 - 1));
        (from..=to).fold((0, 0), |(asked, passed), tick| {
            let slot = &self.slots[tick as usize % SLOTS];
            if slot.tick.load(Ordering::Relaxed) != tick {
                return (asked, passed);
            }
            (asked + slot.asked.load(Ordering::Relaxed), passed + slot.passed.load(Ordering::Relaxed))
        })
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.base).as_millis() as u64
    }

    fn tick(&self, at: Instant) -> u64 {
        self.millis(at) / SLOT_MS + 1
    }

    /// The slot of now, emptied when it still counts an older time. Two threads may race to empty it; then a handful
    /// of counts is lost, which no decision hangs on.
    fn slot(&self, now: Instant) -> &Slot {
        let tick = self.tick(now);
        let slot = &self.slots[tick as usize % SLOTS];
        if slot.tick.swap(tick, Ordering::Relaxed) != tick {
            slot.asked.store(0, Ordering::Relaxed);
            slot.passed.store(0, Ordering::Relaxed);
        }
        slot
    }
}

/// How long an answer may take before it is suspicious that none came from anybody.
pub const SILENCE: Duration = Duration::from_secs(1);

impl Evidence {
    /// Was somebody asked a second ago or earlier, and nobody at all answered since?
    pub fn is_silent(&self, now: Instant) -> bool {
        let answered = self.base + Duration::from_millis(self.answered_ms.load(Ordering::Relaxed) + SLOT_MS);
        let Some(long_ago) = now.checked_sub(SILENCE).filter(|long_ago| *long_ago >= answered) else { return false };
        self.count(answered, long_ago).0 > 0
    }

    /// Checks asked and passed after `since`: what happened in the same quarter of a second may have been before.
    pub fn count_after(&self, since: Instant, now: Instant) -> (u64, u64) {
        self.count(since + Duration::from_millis(SLOT_MS), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_time_and_forgets_after_two_minutes() {
        let base = crate::testing::instant();
        let evidence = Evidence::new(base);
        let at = |ms| base + Duration::from_millis(ms);
        evidence.asked(at(0));
        evidence.asked(at(1_000));
        evidence.passed(at(1_000));
        assert_eq!(evidence.count(at(0), at(1_000)), (2, 1));
        assert_eq!(evidence.count(at(500), at(1_000)), (1, 1));
        assert_eq!(evidence.count(at(0), at(600_000)), (0, 0));
        evidence.asked(at(128_000));
        assert_eq!(evidence.count(at(120_000), at(130_000)), (1, 0));
    }

    #[test]
    fn nobody_answering_is_silence_and_nobody_asked_is_not() {
        let base = crate::testing::instant();
        let evidence = Evidence::new(base);
        let at = |ms| base + Duration::from_millis(ms);
        assert!(!evidence.is_silent(at(10_000)));
        evidence.asked(at(7_100));
        assert!(!evidence.is_silent(at(7_900)), "it may yet answer");
        assert!(evidence.is_silent(at(8_500)));
        evidence.passed(at(8_600));
        assert!(!evidence.is_silent(at(60_000)));
        evidence.asked(at(30_000));
        assert!(evidence.is_silent(at(31_500)));
    }
}
