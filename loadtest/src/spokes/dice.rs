//! Seeded chance: the same seed and salt always give the same numbers, on every machine.

/// A small deterministic generator (SplitMix64). Good enough for mixes and scripts, not for keys.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator for one purpose: `salt` keeps purposes with the same seed apart.
    pub fn new(seed: u64, salt: u64) -> Self {
        let mut dice = Self(seed ^ salt.wrapping_mul(0xA24B_AED4_963E_E407));
        dice.bits();
        dice
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in `0..bound` (0 when `bound` is 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.bits() % bound }
    }

    /// A number in `low..=high`; `low` when the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low { low } else { low + self.below(high - low + 1) }
    }

    /// A waiting time with the given mean, exponentially distributed.
    pub fn waiting(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// One of `items`, or nothing when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }
}

/// A fraction in `0.0..1.0` for item `index` of a low-discrepancy sequence: any run of neighbours
/// is spread evenly, so that shares come out nearly exact for small fleets as well.
pub fn spread(index: u64, seed: u64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let offset = Dice::new(seed, 0x5EED).unit();
    (offset + index as f64 * GOLDEN).fract()
}

/// The item whose share of the whole covers `fraction`; shares need not add up to one.
pub fn by_share<T: Copy>(shares: &[(T, f64)], fraction: f64) -> Option<T> {
    let total: f64 = shares.iter().map(|(_, share)| share).sum();
    let mut rest = fraction * total;
    for (item, share) in shares {
        if rest < *share {
            return Some(*item);
        }
        rest -= share;
    }
    shares.last().map(|(item, _)| *item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_salt_gives_others() {
        let draw = |seed, salt| {
            let mut dice = Dice::new(seed, salt);
            [dice.bits(), dice.bits(), dice.bits()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn shares_come_out_nearly_exact_for_a_small_fleet() {
        let shares = [("hub", 5.0), ("spoke", 70.0), ("edge", 20.0), ("far", 5.0)];
        let hubs = (0..200).filter(|i| by_share(&shares, spread(*i, 42)) == Some("hub")).count();
        assert!((8..=12).contains(&hubs), "{hubs} hubs of 200");
    }

    #[test]
    fn waiting_times_have_the_mean_asked_for() {
        let mut dice = Dice::new(1, 1);
        let mean = (0..10_000).map(|_| dice.waiting(50.0)).sum::<f64>() / 10_000.0;
        assert!((45.0..55.0).contains(&mean), "mean {mean}");
    }
}
