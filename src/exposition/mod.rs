//! Per-cluster series in the text format of Prometheus, straight from the board.
//!
//! The text is made chunk by chunk while it is sent: a fleet of 10,000 needs no string of 20 MB. A deleted cluster's
//! series are gone with the next scrape.

mod collector;
mod families;
mod text;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};

pub use collector::Collector;
pub use text::Exposition;

/// Buckets of durations and lags, in seconds: from a fast probe on a local network to the longest deadline.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The recorder for the engine's own metrics. Install it before the engine starts; its handle goes to the API.
///
/// # Errors
/// Never with these bounds.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let builder = PrometheusBuilder::new();
    Ok(builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?.build_recorder())
}
