//! The engine's metrics: the recorder, the buckets of its histograms, and gauges that somebody has to read off.

use std::time::Duration;

use anyhow::Context;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::probes::HttpProber;

/// Buckets of durations and lags, in seconds: from a fast probe on a local network to the longest deadline.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Installs the process's metrics recorder; a second application in one process shares it.
pub(super) fn install() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: parking_lot::Mutex<Option<PrometheusHandle>> = parking_lot::Mutex::new(None);
    let mut installed = HANDLE.lock();
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("a metrics recorder is installed already")?;
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Reads off gauges once a second and keeps the recorder tidy, for ever.
pub(super) async fn keep(handle: PrometheusHandle, prober: HttpProber) {
    describe_gauge!("fleetbeat_permits_in_use", "Permits of the prober that are taken, by kind.");
    let gauges = ["probes", "handshakes", "lookups", "kept_connections"]
        .map(|kind| gauge!("fleetbeat_permits_in_use", "kind" => kind));
    loop {
        let used = prober.permits_in_use();
        let counts = [used.in_flight, used.handshakes, used.lookups, used.kept];
        gauges.iter().zip(counts).for_each(|(gauge, count)| gauge.set(count as f64));
        handle.run_upkeep();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
