//! `/metrics` of the monitor: the text format read, and figures taken from the difference of two readings.

mod histogram;
mod text;

pub use histogram::Buckets;
pub use text::{Sample, parse};

use std::collections::BTreeMap;

use crate::clock::WallMs;

/// One reading of `/metrics`: the engine's part, and a digest of the clusters'.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// When.
    pub at: WallMs,
    /// How long the answer took, in seconds.
    pub took_seconds: f64,
    /// Its size.
    pub bytes: usize,
    /// Checks so far by outcome.
    pub checks: BTreeMap<String, f64>,
    /// Lateness of checks so far, by cluster type.
    pub lag: BTreeMap<String, Buckets>,
    /// Duration of API-server probes so far, by cluster type.
    pub durations: BTreeMap<String, Buckets>,
    /// Permits of the prober that are taken, by kind.
    pub permits: BTreeMap<String, f64>,
    /// Gauges and counters without labels.
    pub plain: BTreeMap<String, f64>,
    /// When each cluster was last checked, in seconds since the epoch; ascending, unchecked ones left out.
    pub last_checks: Vec<f64>,
}

const LAST_CHECK: &str = "fleetbeat_cluster_last_check_timestamp_seconds";

/// Whether a line may hold what a reading keeps: of the clusters' own series, nearly all of the text, only one does.
fn is_wanted(line: &str) -> bool {
    !(line.starts_with("fleetbeat_cluster_") || line.starts_with("fleetbeat_probe_")) || line.starts_with(LAST_CHECK)
}

impl Reading {
    /// Reads the text of one answer.
    pub fn of(text: &str, at: WallMs, took_seconds: f64) -> Self {
        Self::noting(text, at, took_seconds, |_, _| ())
    }

    /// Reads the text of one answer, and hands out every cluster's name with the time of its last check on the way.
    pub fn noting(text: &str, at: WallMs, took_seconds: f64, mut checked: impl FnMut(&str, f64)) -> Self {
        let mut reading = Self { at, took_seconds, bytes: text.len(), ..Self::default() };
        for sample in text.lines().filter(|line| is_wanted(line)).filter_map(parse) {
            if sample.name == LAST_CHECK {
                checked(sample.label("cluster").unwrap_or_default(), sample.value);
            }
            reading.take(&sample);
        }
        reading.last_checks.sort_by(f64::total_cmp);
        reading
    }

    fn take(&mut self, sample: &Sample<'_>) {
        match sample.name {
            "fleetbeat_checks_total" => {
                let outcome = sample.label("outcome").unwrap_or_default();
                *self.checks.entry(outcome.to_owned()).or_default() += sample.value;
            }
            "fleetbeat_schedule_lag_seconds_bucket" => put_bucket(&mut self.lag, sample),
            "fleetbeat_check_duration_seconds_bucket" => put_bucket(&mut self.durations, sample),
            "fleetbeat_permits_in_use" => {
                let kind = sample.label("kind").unwrap_or_default();
                self.permits.insert(kind.to_owned(), sample.value);
            }
            LAST_CHECK => self.last_checks.push(sample.value),
            name if sample.labels.is_empty() => {
                self.plain.insert(name.to_owned(), sample.value);
            }
            _ => {}
        }
    }

    /// How many clusters were checked at or after a time, in seconds since the epoch.
    pub fn checked_since(&self, seconds: f64) -> usize {
        self.last_checks.len() - self.last_checks.partition_point(|at| *at < seconds)
    }

    /// Checks made so far, whatever they found.
    pub fn all_checks(&self) -> f64 {
        self.checks.values().sum::<f64>() - self.checks_not_run()
    }

    /// Checks so far that were due and not made, for want of a permit or of time.
    pub fn checks_not_run(&self) -> f64 {
        self.checks.get("not_run").copied().unwrap_or(0.0)
    }

    /// What a histogram saw between an earlier reading and this one, by cluster type. A monitor started in between begins anew.
    pub fn since(
        &self,
        earlier: &Reading,
        of: impl Fn(&Reading) -> &BTreeMap<String, Buckets>,
    ) -> BTreeMap<String, Buckets> {
        let restarted = self.all_checks() < earlier.all_checks();
        of(self)
            .iter()
            .map(|(kind, now)| {
                let before = of(earlier).get(kind).filter(|_| !restarted);
                (kind.clone(), before.map_or_else(|| now.clone(), |before| now.minus(before)))
            })
            .collect()
    }
}

fn put_bucket(histograms: &mut BTreeMap<String, Buckets>, sample: &Sample<'_>) {
    let kind = sample.label("cluster_type").unwrap_or_default();
    let bound = sample.label("le").and_then(|bound| bound.parse().ok()).unwrap_or(f64::INFINITY);
    histograms.entry(kind.to_owned()).or_default().put(bound, sample.value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE fleetbeat_checks_total counter
fleetbeat_checks_total{cluster_type=\"HUB\",outcome=\"healthy\",cause=\"\"} 10
fleetbeat_checks_total{cluster_type=\"HUB\",outcome=\"failed\",cause=\"refused\"} 3
fleetbeat_checks_total{cluster_type=\"EDGE\",outcome=\"healthy\",cause=\"\"} 5
fleetbeat_checks_total{cluster_type=\"EDGE\",outcome=\"not_run\",cause=\"no_permit\"} 4
fleetbeat_permits_in_use{kind=\"kept_connections\"} 12
fleetbeat_events_waiting 7
fleetbeat_schedule_lag_seconds_bucket{cluster_type=\"HUB\",le=\"0.01\"} 8
fleetbeat_schedule_lag_seconds_bucket{cluster_type=\"HUB\",le=\"+Inf\"} 10
fleetbeat_cluster_last_check_timestamp_seconds{cluster=\"b\"} 200.5
fleetbeat_cluster_last_check_timestamp_seconds{cluster=\"a\"} 100
";

    #[test]
    fn a_reading_holds_checks_gauges_lateness_and_last_checks() {
        let mut noted = Vec::new();
        let reading = Reading::noting(TEXT, 1, 0.01, |name, at| noted.push((name.to_owned(), at)));
        assert_eq!(noted, [("b".to_owned(), 200.5), ("a".to_owned(), 100.0)]);
        assert_eq!((reading.checks["healthy"], reading.all_checks()), (15.0, 18.0));
        assert_eq!((reading.checks_not_run(), reading.permits["kept_connections"]), (4.0, 12.0));
        assert_eq!(reading.plain["fleetbeat_events_waiting"], 7.0);
        assert_eq!(reading.last_checks, [100.0, 200.5]);
        assert_eq!([0.0, 100.5, 200.5, 300.0].map(|since| reading.checked_since(since)), [2, 1, 1, 0]);
        assert_eq!(reading.lag["HUB"].count(), 10.0);
    }

    #[test]
    fn lateness_is_taken_between_two_readings_and_begins_anew_with_the_process() {
        let (first, later) = (Reading::of(TEXT, 1, 0.0), Reading::of(&TEXT.replace("} 10", "} 30"), 2, 0.0));
        assert_eq!(later.since(&first, |reading| &reading.lag)["HUB"].count(), 20.0);
        assert_eq!(first.since(&later, |reading| &reading.lag)["HUB"].count(), 10.0);
    }
}
