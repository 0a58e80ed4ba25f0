//! Where log lines go: to standard error, as text or JSON.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::error::CliError;
use crate::{
    config::{Log, LogFormat},
    traces::{self, Traces},
};

/// What libraries say about themselves is worth a line only when it is a warning.
const LIBRARIES: &str = "ractor=warn,sqlx=warn,fred=error,hyper=warn,rustls=warn";

/// Never heard, whatever the level: it writes whole answers of the hub, in which secrets stand.
const SILENCED: &str = "kube_client=off,kube_client::client=off";

/// Begins to log as the settings say, and to send spans where they go anywhere.
///
/// # Errors
/// When the level is none, or somebody logs already.
pub fn begin(log: &Log, traces: Option<&Traces>) -> Result<(), CliError> {
    let filter = format!("{LIBRARIES},{},{SILENCED},{}=off", log.level, traces::CALLS);
    let filter = EnvFilter::try_new(filter).map_err(CliError::failed("log.level"))?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    let lines = match (log.format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => {
            lines.json().flatten_event(true).with_span_list(false).boxed()
        }
        (LogFormat::Text, _) | (LogFormat::Auto, true) => lines.boxed(),
    };
    let begun = match traces {
        Some(traces) => tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces.layer()).try_init(),
        // The filter for all: spans that no line shows, of every turn of every actor, are not even made.
        None => tracing_subscriber::registry().with(lines).with(filter).try_init(),
    };
    begun.map_err(|error| CliError::Failed(anyhow!("cannot begin to log: {error}")))
}
