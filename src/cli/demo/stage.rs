//! Sets up what the demo needs, and takes it down: simulated clusters, a monitor in front of them, a client of its API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use fleetbeat_loadtest::spokes::{ClusterType, Fleet, FleetOptions, Ports, Script, ScriptOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{DemoArguments, SPOKE_THREADS};
use crate::app::App;
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use crate::cli::error::CliError;
use crate::cli::logging;
use crate::config::{Inputs, Settings};

const USUAL_LISTEN: &str = "127.0.0.1:8080";
/// Clusters registered with one request.
const BATCH: usize = 200;
/// Second look at a failure.
const RECHECK_MS: u64 = 500;
/// What scheduling on a busy machine may add before a change is late.
const MARGIN_MS: u64 = 2_000;
/// Troubles of the whole fleet in an hour when it is small.
const TROUBLES_PER_HOUR: f64 = 1_800.0;
/// Troubles of one cluster in an hour when the fleet is large.
const LEAST_TROUBLES_PER_HOUR: f64 = 9.0;
/// The script's first change comes this long after its start.
const FIRST_TROUBLE_MS: u64 = 2_000;

/// Period and deadline of each type's checks, in milliseconds: short, so that something is to be seen.
pub const PACE: [(ClusterType, &str, u64, u64); 4] = [
    (ClusterType::Hub, "hub", 2_000, 2_000),
    (ClusterType::Spoke, "spoke", 3_000, 2_500),
    (ClusterType::Edge, "edge", 4_000, 3_000),
    (ClusterType::FarEdge, "far_edge", 5_000, 4_000),
];

/// Everything that runs.
pub struct Stage {
    /// The simulated clusters.
    pub fleet: Fleet,
    /// A client of the monitor.
    pub client: Client,
    app: App,
    data: TempDir,
}

impl Stage {
    /// Starts the monitor. Nothing is registered yet.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn set_up(fleet: Fleet, arguments: &DemoArguments) -> Result<Self, CliError> {
        let data = tempfile::Builder::new().prefix("fleetbeat-demo-").tempdir().context("no temporary directory")?;
        let settings = settings(arguments, &data)?;
        logging::begin(&settings.log, None)?;
        let app = App::start(&settings).await?;
        let server = format!("http://{}", app.address().context("the demo listens on no address")?);
        let client = Client::new(&Connection {
            server: Some(server),
            context: None,
            server_ca: None,
            token_file: None,
            timeout_seconds: 30.0,
        })?;
        Ok(Self { fleet, client, app, data })
    }

    /// Registers every cluster through the API.
    ///
    /// # Errors
    /// When the monitor does not take them all.
    pub async fn register(&self) -> Result<(), CliError> {
        let file = serde_json::to_value(self.fleet.registrations()).context("the fleet cannot be written down")?;
        let clusters = file.get("clusters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for batch in clusters.chunks(BATCH) {
            let body = json!({ "clusters": batch });
            let report = self.client.post("/api/v1/clusters:import", Some(&body), self.client.timeout()).await?.json;
            if report.get("failed").and_then(Value::as_u64) != Some(0) {
                return Err(CliError::Failed(anyhow!("not every cluster was registered: {report}")));
            }
        }
        Ok(())
    }

    /// The troubles to come.
    pub fn script(&self, seed: u64, duration: Duration) -> Script {
        let spokes = self.fleet.spokes();
        let per_spoke = (TROUBLES_PER_HOUR / spokes.len() as f64).clamp(LEAST_TROUBLES_PER_HOUR, 60.0);
        let mut script = Script::generate(
            spokes,
            &ScriptOptions {
                seed,
                duration_ms: duration.as_millis() as u64,
                troubles_per_hour: per_spoke,
                min_hold_ms: Some(certain_after_ms()),
                max_hold_factor: 3.0,
                max_share: 0.25,
                clean: true,
                ..ScriptOptions::default()
            },
        );
        let early = script.changes.first().map_or(0, |first| first.at_ms.saturating_sub(FIRST_TROUBLE_MS));
        script.changes.iter_mut().for_each(|change| change.at_ms -= early);
        script
    }

    /// Ends everything in order and removes the data.
    pub async fn tear_down(self) {
        let Self { fleet, app, data, client: _ } = self;
        app.stop().await;
        drop(fleet);
        if let Err(error) = data.close() {
            tracing::warn!(%error, "the temporary directory could not be removed");
        }
    }
}

/// How long a change must last for the monitor to be sure to have announced it, for any type.
pub fn certain_after_ms() -> u64 {
    let slowest = PACE.iter().map(|(_, _, period, deadline)| period + 2 * deadline).max().unwrap_or(0);
    slowest + RECHECK_MS + MARGIN_MS
}

/// Starts the simulated clusters: on the usual ports where they are free, else on any, since another fleet may be running.
/// Not to be called in a runtime: a fleet that does not start ends the runtime it brought.
///
/// # Errors
/// When addresses or descriptors are missing.
pub fn start_fleet(arguments: &DemoArguments) -> Result<Fleet, CliError> {
    let usual = FleetOptions { count: arguments.spokes.into(), seed: arguments.seed, ..FleetOptions::default() };
    let any = FleetOptions { ports: Ports::ANY, ..usual.clone() };
    Fleet::start_on_own_threads(&usual, SPOKE_THREADS)
        .or_else(|_| Fleet::start_on_own_threads(&any, SPOKE_THREADS))
        .map_err(CliError::failed("the simulated clusters cannot be started"))
}

/// Settings of the demo alone: no file, nothing from the environment.
fn settings(arguments: &DemoArguments, data: &TempDir) -> Result<Settings, CliError> {
    let seconds = |milliseconds: u64| (milliseconds as f64 / 1_000.0).to_string();
    let mut inputs = Inputs { file: None, environment: BTreeMap::new(), flags: Vec::new() }
        .flag("server.listen", Some(listen(arguments)))
        .flag("data_dir", Some(data.path().display()))
        .flag("health_check.recheck_delay_seconds", Some(seconds(RECHECK_MS)))
        .flag("log.level", Some("error"))
        .flag("log.format", Some("text"));
    for (_, name, period, deadline) in PACE {
        inputs = inputs
            .flag(&format!("health_check.{name}_interval_seconds"), Some(seconds(period)))
            .flag(&format!("health_check.{name}_timeout_seconds"), Some(seconds(deadline)));
    }
    Settings::load(&inputs).map_err(|error| CliError::Failed(anyhow!("{error}")))
}

fn listen(arguments: &DemoArguments) -> String {
    let any = |taken: SocketAddr| SocketAddr::new(taken.ip(), 0).to_string();
    match (arguments.listen, USUAL_LISTEN.parse::<SocketAddr>()) {
        (Some(address), _) => address.to_string(),
        (None, Ok(usual)) if std::net::TcpListener::bind(usual).is_err() => any(usual),
        (None, _) => USUAL_LISTEN.to_owned(),
    }
}
