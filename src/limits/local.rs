//! The buckets of this process.

use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::bucket::{Bucket, Rate};

/// Beyond so many buckets the full ones are forgotten; should none be full, newcomers share one.
const MAX_BUCKETS: usize = 50_000;
/// The bucket of those for whom there is none.
const OVERFLOW: &str = "";

/// One bucket for each name.
pub(super) struct Buckets {
    rate: Rate,
    buckets: DashMap<String, Bucket>,
    most: usize,
}

impl Buckets {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: DashMap::new(), most: MAX_BUCKETS }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one from the bucket of this name; otherwise says how long to wait.
    pub(super) fn take(&self, name: &str, now: Instant) -> Result<(), Duration> {
        if !self.rate.is_limited() {
            return Ok(());
        }
        if let Some(mut bucket) = self.buckets.get_mut(name) {
            return bucket.take(self.rate, now);
        }
        let name = if self.has_room(now) { name } else { OVERFLOW };
        self.buckets.entry(name.to_owned()).or_insert_with(|| Bucket::full(self.rate, now)).take(self.rate, now)
    }

    /// Puts back one into the bucket of this name; one that was forgotten is full.
    pub(super) fn give_back(&self, name: &str) {
        let name = if self.buckets.contains_key(name) { name } else { OVERFLOW };
        if let Some(mut bucket) = self.buckets.get_mut(name) {
            bucket.give_back(self.rate);
        }
    }

    fn has_room(&self, now: Instant) -> bool {
        if self.buckets.len() < self.most {
            return true;
        }
        self.buckets.retain(|_, bucket| !bucket.is_full(self.rate, now));
        self.buckets.len() < self.most
    }
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::{ports::Clock, testing::TestClock};

    use super::*;

    const ONE: Rate = Rate { per_second: 1.0, burst: 1.0 };

    #[test]
    fn each_name_has_a_bucket_of_its_own() {
        let (buckets, now) = (Buckets::new(ONE), TestClock::default().now());
        assert!(buckets.take("ada", now).is_ok());
        assert!(buckets.take("ada", now).is_err());
        assert!(buckets.take("bob", now).is_ok());
    }

    #[test]
    fn without_a_rate_there_is_no_limit_and_nothing_is_kept() {
        let buckets = Buckets::new(Rate { per_second: 0.0, burst: 1.0 });
        let now = TestClock::default().now();
        assert!((0..100).all(|_| buckets.take("ada", now).is_ok()));
        assert!(buckets.buckets.is_empty());
    }

    #[test]
    fn a_flood_of_names_takes_no_more_memory_than_there_is_room_for() {
        let (mut buckets, now) = (Buckets::new(ONE), TestClock::default().now());
        buckets.most = 10;
        let passed = (0..100).filter(|name| buckets.take(&name.to_string(), now).is_ok()).count();
        assert_eq!(passed, 11, "ten of their own and one for all others");
        assert!(buckets.buckets.len() <= 11);
        assert!(buckets.take("late", now + Duration::from_secs(5)).is_ok(), "full ones are forgotten");
        assert!(buckets.buckets.len() <= 2);
    }
}
