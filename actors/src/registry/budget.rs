//! The restart budget of one cluster actor: quick at first, then with growing pauses, never giving up.

use std::time::{Duration, Instant};

/// Restarts at once within the window.
const FREE: u32 = 3;
/// After so long without a death everything is forgiven.
const WINDOW: Duration = Duration::from_secs(60);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct RestartBudget {
    deaths: u32,
    last: Option<Instant>,
}

impl RestartBudget {
    /// The pause before the restart after a death at `now`: none for the first few, then 1 s, 2 s, 4 s, … 60 s.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        let pause_before = self.pause_after(self.deaths);
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > WINDOW + pause_before) {
            self.deaths = 0;
        }
        self.deaths = self.deaths.saturating_add(1);
        self.last = Some(now);
        self.pause_after(self.deaths)
    }

    fn pause_after(&self, deaths: u32) -> Duration {
        match deaths.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(surplus) => LONGEST.min(Duration::from_secs(1 << surplus.min(6))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_deaths_are_free_and_then_pauses_double_up_to_a_minute() {
        let (mut budget, now) = (RestartBudget::default(), crate::testing::instant());
        let pauses: Vec<u64> = (0..12).map(|_| budget.pause(now).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_quiet_minute_forgives() {
        let (mut budget, now) = (RestartBudget::default(), crate::testing::instant());
        for _ in 0..5 {
            budget.pause(now);
        }
        assert_eq!(budget.pause(now + Duration::from_secs(63)), Duration::ZERO);
    }
}
