//! Figures read off the monitor's own `/metrics`: checks so far, and how late they start. Pure.

use std::collections::BTreeMap;

/// What was read at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Checks so far.
    pub checks: f64,
    /// Scheduled checks so far by the bucket of their lag; the key is the bucket's upper bound in microseconds.
    lags: BTreeMap<u64, f64>,
}

impl Reading {
    /// Reads the text of `/metrics`.
    pub fn of(text: &str) -> Self {
        let mut reading = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            if series.starts_with("fleetbeat_checks_total") {
                reading.checks += value;
            } else if series.starts_with("fleetbeat_schedule_lag_seconds_bucket")
                && let Some(bound) = bound_micros(series)
            {
                *reading.lags.entry(bound).or_default() += value;
            }
        }
        reading
    }

    /// The 99th percentile of the lag since an earlier reading: the upper bound of its bucket, in words.
    pub fn lag_p99_since(&self, before: &Self) -> String {
        let since = |bound: &u64, count: &f64| count - before.lags.get(bound).copied().unwrap_or(0.0);
        let all = self.lags.last_key_value().map_or(0.0, |(bound, count)| since(bound, count));
        let found = self.lags.iter().find(|(bound, count)| all > 0.0 && since(bound, count) >= all * 0.99);
        match found {
            None => "-".to_owned(),
            Some((&u64::MAX, _)) => "more than a minute".to_owned(),
            Some((bound, _)) if *bound < 1_000_000 => format!("{} ms", *bound as f64 / 1_000.0),
            Some((bound, _)) => format!("{} s", *bound as f64 / 1_000_000.0),
        }
    }
}

fn bound_micros(series: &str) -> Option<u64> {
    let bound = series.split("le=\"").nth(1)?.split('"').next()?;
    match bound {
        "+Inf" => Some(u64::MAX),
        seconds => seconds.parse::<f64>().ok().map(|seconds| (seconds * 1e6).round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP fleetbeat_checks_total Checks.
fleetbeat_checks_total{cluster_type=\"HUB\",outcome=\"healthy\",cause=\"\"} 90
fleetbeat_checks_total{cluster_type=\"SPOKE\",outcome=\"failed\",cause=\"dns\"} 10
fleetbeat_schedule_lag_seconds_bucket{cluster_type=\"HUB\",le=\"0.001\"} 50
fleetbeat_schedule_lag_seconds_bucket{cluster_type=\"HUB\",le=\"0.01\"} 100
fleetbeat_schedule_lag_seconds_bucket{cluster_type=\"HUB\",le=\"+Inf\"} 100
";

    #[test]
    fn checks_are_added_up_and_the_lag_is_a_bucket_s_bound() {
        let reading = Reading::of(TEXT);
        assert_eq!(reading.checks, 100.0);
        assert_eq!(reading.lag_p99_since(&Reading::default()), "10 ms");
        assert_eq!(reading.lag_p99_since(&reading), "-");
    }
}
