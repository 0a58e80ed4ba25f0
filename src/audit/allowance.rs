//! How many refusals are kept: so many a second in all, and a share of that for one address, each with a reserve for bursts.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Seconds of the allowance that may be used at once.
const RESERVE_SECONDS: f64 = 60.0;
/// One address may use this share of the whole.
const SHARE: f64 = 0.25;
/// Most addresses that are told apart; those beyond share one allowance.
const MAX_ADDRESSES: usize = 4_096;
/// Addresses are looked through for idle ones not more often than this.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: f64, now: Instant) -> Self {
        Self { left: rate * RESERVE_SECONDS, at: now }
    }

    fn refill(&mut self, rate: f64, now: Instant) {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.left = (self.left + grown).min(rate * RESERVE_SECONDS);
        self.at = now;
    }

    fn has_one(&self) -> bool {
        self.left >= 1.0
    }
}

/// Decides which refusals are kept.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: f64,
    all: Bucket,
    /// `None` stands for everybody whom there is no room to tell apart.
    by_address: HashMap<Option<IpAddr>, Bucket>,
    swept: Instant,
}

impl Allowance {
    /// So many a second.
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate);
        Self { rate, all: Bucket::full(rate, now), by_address: HashMap::new(), swept: now }
    }

    /// May one more of this address be kept?
    pub(super) fn take(&mut self, address: Option<IpAddr>, now: Instant) -> bool {
        self.all.refill(self.rate, now);
        let share = self.rate * SHARE;
        let address = self.known(address, share, now);
        let own = self.by_address.entry(address).or_insert_with(|| Bucket::full(share, now));
        own.refill(share, now);
        let granted = own.has_one() && self.all.has_one();
        if granted {
            own.left -= 1.0;
            self.all.left -= 1.0;
        }
        granted
    }

    /// The address, if there is room for it. Those whose allowance is whole again need no room.
    fn known(&mut self, address: Option<IpAddr>, share: f64, now: Instant) -> Option<IpAddr> {
        if self.by_address.contains_key(&address) || self.by_address.len() < MAX_ADDRESSES {
            return address;
        }
        if now.saturating_duration_since(self.swept) >= SWEEP_EVERY {
            self.swept = now;
            self.by_address.retain(|_, bucket| {
                bucket.refill(share, now);
                bucket.left < share * RESERVE_SECONDS
            });
        }
        address.filter(|_| self.by_address.len() < MAX_ADDRESSES)
    }
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::testing::instant;

    use super::*;

    fn address(last: u32) -> Option<IpAddr> {
        Some(IpAddr::from(last.to_be_bytes()))
    }

    #[test]
    fn one_address_cannot_use_up_what_is_for_all() {
        let now = instant();
        let mut allowance = Allowance::new(8, now);
        let kept = (0..1_000).filter(|_| allowance.take(address(1), now)).count();
        assert_eq!(kept, 120);
        assert!(allowance.take(address(2), now));
    }

    #[test]
    fn all_together_get_no_more_than_the_whole() {
        let now = instant();
        let mut allowance = Allowance::new(8, now);
        let kept = (0..10_000).filter(|n| allowance.take(address(n % 100), now)).count();
        assert_eq!(kept, 480);
        let later = now + Duration::from_secs(2);
        let kept = (0..10_000).filter(|n| allowance.take(address(n % 100), later)).count();
        assert_eq!(kept, 16);
    }

    #[test]
    fn ever_new_addresses_need_bounded_room() {
        let now = instant();
        let mut allowance = Allowance::new(1_000, now);
        for n in 0..100_000 {
            allowance.take(address(n), now);
        }
        assert!(allowance.by_address.len() <= MAX_ADDRESSES + 1);
        let later = now + Duration::from_secs(3_600);
        assert!(allowance.take(address(200_000), later));
        assert!(allowance.by_address.len() < 10);
    }
}
