//! `fleetbeat serve`: the monitor itself.

use std::{num::NonZero, thread::available_parallelism};

use clap::Args;
use tokio::runtime::Builder;

use super::error::CliError;
use super::logging;
use super::settings::SettingsArguments;
use super::shutdown::Shutdown;
use crate::{app, traces::Traces};

/// Watch the fleet and serve the API
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat serve                                        SQLite in ~/.local/share/fleetbeat, http://127.0.0.1:8080
  fleetbeat serve --config fleetbeat.yaml
  fleetbeat serve --listen 127.0.0.1:9000 --data-dir /var/lib/fleetbeat
  FLEETBEAT__DATABASE_URL=postgresql://… fleetbeat serve

Ends in order with SIGTERM or Ctrl-C; a second one ends it at once.")]
pub struct ServeArguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Serves until told to end.
///
/// # Errors
/// When the settings are wrong, or something that they name cannot be used.
pub fn run(arguments: &ServeArguments) -> Result<(), CliError> {
    let settings = arguments.settings.load()?;
    let runtime = Builder::new_multi_thread().worker_threads(threads()).thread_name("engine").enable_all().build();
    let runtime = runtime.map_err(CliError::failed("cannot start a runtime"))?;
    let traces = Traces::begin(&settings.tracing, runtime.handle()).map_err(|error| CliError::Failed(error.into()))?;
    logging::begin(&settings.log, traces.as_ref())?;
    let served = runtime.block_on(async {
        let mut shutdown = Shutdown::listen()?;
        let asked = async move {
            shutdown.asked().await;
            shutdown.insist();
        };
        app::run(settings, asked).await.map_err(CliError::Failed)
    });
    if let Some(traces) = traces {
        traces.end();
    }
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}

/// Half of the cores: a check costs a sixth more where two threads wake each other for it, and callers have threads of their own.
fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}
