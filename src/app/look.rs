//! Looks at what fleetbeat would depend on, without starting it.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::Settings,
    probes::{AddressPolicy, Asked, Legs, Trust, take_apart},
    store::{self, Seen},
};

use super::{hub, parts};

const PAUSE: Duration = Duration::from_millis(50);

/// Looks at the database.
///
/// # Errors
/// Why it cannot be used.
pub async fn database(settings: &Settings, within: Duration) -> Result<Seen, String> {
    store::look(&parts::store_options(settings).place, within).await
}

/// Looks at Redis: how long it took to answer; `None` where none is set.
///
/// # Errors
/// Why it cannot be used.
pub async fn redis(settings: &Settings, within: Duration) -> Result<Option<Duration>, String> {
    let Some(bus) = parts::start_bus(settings).map_err(|error| format!("{error:#}"))? else { return Ok(None) };
    let answered = async {
        loop {
            let health = bus.health();
            if let (true, Some(latency)) = (health.connected, health.ping_latency) {
                return latency;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let answered = tokio::time::timeout(within, answered).await;
    let error = bus.health().last_error.unwrap_or_else(|| "no answer in time".to_owned());
    bus.close().await;
    answered.map(Some).map_err(|_| error)
}

/// Looks at the hub's Kubernetes API: its version; `None` where none is configured.
///
/// # Errors
/// Why it cannot be used.
pub async fn hub(settings: &Settings, within: Duration) -> Result<Option<String>, String> {
    if !hub::is_configured(settings) {
        return Ok(None);
    }
    let asked = async {
        let hub = hub::needed_by("doctor", settings, None).await.map_err(|error| format!("{error:#}"))?;
        hub.client().apiserver_version().await.map(|version| version.git_version).map_err(|error| error.to_string())
    };
    match tokio::time::timeout(within, asked).await {
        Ok(answer) => answer.map(Some),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Probes an API server once from this machine, by the rules of the settings, without credentials.
///
/// # Errors
/// When `probes.ca_file` cannot be used.
pub async fn cluster(settings: &Settings, asked: &Asked, within: Duration) -> Result<Legs, String> {
    let ca_file = &settings.probes.ca_file;
    let ca_file = (!ca_file.as_os_str().is_empty()).then_some(ca_file.as_path());
    let trust = Trust::load(ca_file).map_err(|error| format!("probes.ca_file: {error}"))?;
    Ok(take_apart(asked, &trust, policy_of(settings), within).await)
}

fn policy_of(settings: &Settings) -> AddressPolicy {
    parts::address_policy(settings, Vec::<SocketAddr>::new())
}
