//! Cumulative buckets of a histogram, and percentiles from them.

/// Buckets: upper bounds, ascending, each with how many observations lie at or below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    /// Adds a bucket.
    pub fn put(&mut self, bound: f64, count: f64) {
        let at = self.0.partition_point(|(other, _)| *other < bound);
        self.0.insert(at, (bound, count));
    }

    /// How many observations there are.
    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The observations made since `earlier`.
    pub fn minus(&self, earlier: &Buckets) -> Buckets {
        let before = |bound: f64| earlier.0.iter().find(|(other, _)| *other == bound).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().map(|(bound, count)| (*bound, (count - before(*bound)).max(0.0))).collect())
    }

    /// Adds the observations of another histogram with the same bounds.
    pub fn add(&mut self, other: &Buckets) {
        for (bound, count) in &other.0 {
            match self.0.iter_mut().find(|(own, _)| own == bound) {
                Some((_, own)) => *own += count,
                None => self.put(*bound, *count),
            }
        }
    }

    /// The value below which the share lies, interpolated in its bucket; the last finite bound for what lies above.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let wanted = self.count() * share;
        if wanted <= 0.0 {
            return None;
        }
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted {
                let inside = if *count > below { (wanted - below) / (count - below) } else { 1.0 };
                return Some(if bound.is_finite() { low + (bound - low) * inside } else { low });
            }
            (low, below) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Buckets {
        let mut buckets = Buckets::default();
        pairs.iter().rev().for_each(|(bound, count)| buckets.put(*bound, *count));
        buckets
    }

    #[test]
    fn percentiles_are_interpolated() {
        let some = buckets(&[(0.01, 50.0), (0.1, 99.0), (f64::INFINITY, 100.0)]);
        assert_eq!(some.percentile(0.5), Some(0.01));
        assert_eq!(some.percentile(0.25), Some(0.005));
        assert_eq!(some.percentile(0.99), Some(0.1));
        assert_eq!(some.percentile(1.0), Some(0.1));
        assert_eq!(Buckets::default().percentile(0.5), None);
    }

    #[test]
    fn only_what_came_in_between_counts() {
        let (earlier, later) = (buckets(&[(1.0, 5.0), (2.0, 5.0)]), buckets(&[(1.0, 5.0), (2.0, 9.0)]));
        assert_eq!(later.minus(&earlier).percentile(0.5), Some(1.5));
    }

    #[test]
    fn histograms_add_up() {
        let mut one = buckets(&[(1.0, 5.0), (2.0, 6.0)]);
        one.add(&buckets(&[(1.0, 1.0), (2.0, 4.0)]));
        assert_eq!(one, buckets(&[(1.0, 6.0), (2.0, 10.0)]));
    }
}
