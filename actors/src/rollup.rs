//! Rollups: what the checks of one cluster in one five-minute window add up to.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::roll::ClusterId;

/// Width of a rollup's window.
pub const WINDOW_SECONDS: i64 = 300;

/// The checks of one cluster in one window, as far as one run of the process saw them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// Which cluster.
    pub cluster_id: ClusterId,
    /// Start of the window: a multiple of five minutes.
    pub start: DateTime<Utc>,
    /// Which run of the process wrote it (microseconds of the epoch at its start); a reader adds runs up.
    pub run: i64,
    /// Checks that ran.
    pub checks: u32,
    /// Checks whose API-server probe failed.
    pub failures: u32,
    /// Shortest API-server probe, milliseconds.
    pub latency_min_ms: u32,
    /// Mean API-server probe, milliseconds.
    pub latency_mean_ms: f64,
    /// Longest API-server probe, milliseconds.
    pub latency_max_ms: u32,
    /// 95th percentile of the API-server probes, milliseconds, within 7 % (upper bound of a histogram bucket).
    pub latency_p95_ms: u32,
}

/// Start of the window that `at` falls into.
pub fn window_start(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::seconds(WINDOW_SECONDS)).unwrap_or(at)
}

/// Adds up checks into rollups: the open window of one cluster.
///
/// The latencies are kept as counts in buckets that grow by a fifth, so that one cluster costs under 200 bytes.
#[derive(Clone, Debug)]
pub struct Accumulator {
    start: DateTime<Utc>,
    checks: u32,
    failures: u32,
    min_ms: u32,
    max_ms: u32,
    sum_ms: u64,
    buckets: [u16; BUCKETS],
}

const BUCKETS: usize = 72;

/// Upper bound of bucket `i`, milliseconds: 1, 2, 3, … and then a fifth more each.
fn bound_ms(index: usize) -> u32 {
    let mut bound: u32 = 1;
    for _ in 0..index {
        bound += (bound / 7).max(1);
    }
    bound
}

impl Accumulator {
    /// An empty window around `at`.
    pub fn new(at: DateTime<Utc>) -> Self {
        let start = window_start(at);
        Self { start, checks: 0, failures: 0, min_ms: u32::MAX, max_ms: 0, sum_ms: 0, buckets: [0; BUCKETS] }
    }

    /// Adds one check that ran. When it opens a new window, the finished one comes back.
    pub fn add(&mut self, at: DateTime<Utc>, healthy: bool, latency_ms: u32) -> Option<Self> {
        let finished = (window_start(at) != self.start && self.checks > 0).then(|| self.clone());
        if window_start(at) != self.start {
            *self = Self::new(at);
        }
        self.checks += 1;
        self.failures += u32::from(!healthy);
        self.min_ms = self.min_ms.min(latency_ms);
        self.max_ms = self.max_ms.max(latency_ms);
        self.sum_ms += u64::from(latency_ms);
        let bucket = &mut self.buckets[bucket_of(latency_ms)];
        *bucket = bucket.saturating_add(1);
        finished
    }

    /// What it adds up to; `None` while nothing was added.
    pub fn rollup(&self, cluster_id: ClusterId, run: i64) -> Option<Rollup> {
        (self.checks > 0).then(|| Rollup {
            cluster_id,
            start: self.start,
            run,
            checks: self.checks,
            failures: self.failures,
            latency_min_ms: self.min_ms,
            latency_mean_ms: self.sum_ms as f64 / f64::from(self.checks),
            latency_max_ms: self.max_ms,
            latency_p95_ms: self.percentile_ms(95).clamp(self.min_ms, self.max_ms),
        })
    }

    fn percentile_ms(&self, percent: u64) -> u32 {
        let total: u64 = self.buckets.iter().map(|&n| u64::from(n)).sum();
        let rank = (total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return bound_ms(index);
            }
        }
        self.max_ms
    }
}

fn bucket_of(latency_ms: u32) -> usize {
    let mut bound: u32 = 1;
    let mut index = 0;
    while bound < latency_ms && index < BUCKETS - 1 {
        bound += (bound / 7).max(1);
        index += 1;
    }
    index
}
