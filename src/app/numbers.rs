//! The engine's metrics: the process's recorder, and gauges that somebody has to read off.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{api::Vitals, exposition, probes::HttpProber};

const PULSE_EVERY: Duration = Duration::from_secs(2);

/// Installs the process's metrics recorder; a second application in one process shares it.
pub(super) fn install() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: parking_lot::Mutex<Option<PrometheusHandle>> = parking_lot::Mutex::new(None);
    let mut installed = HANDLE.lock();
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let recorder = exposition::recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("a metrics recorder is installed already")?;
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Asks the dependencies how they are, again and again: a gauge for each, and a line in the log when that changes.
pub(super) async fn feel_pulses(vitals: Arc<Vitals>) {
    describe_gauge!("fleetbeat_dependency_up", "1 while a dependency (database, Redis) answers.");
    loop {
        for pulse in vitals.pulses().await {
            gauge!("fleetbeat_dependency_up", "dependency" => pulse.name).set(f64::from(u8::from(pulse.healthy)));
        }
        tokio::time::sleep(PULSE_EVERY).await;
    }
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
