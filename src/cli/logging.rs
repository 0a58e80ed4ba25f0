//! Where log lines go: to standard error, as text or JSON.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::config::{Log, LogFormat};

/// What libraries say about themselves is worth a line only when it is a warning.
const LIBRARIES: &str = "ractor=warn,sqlx=warn,fred=warn,hyper=warn,rustls=warn";

/// Never heard, whatever the level: it writes whole answers of the hub, in which secrets stand.
const SILENCED: &str = "kube_client=off,kube_client::client=off";

/// Begins to log as the settings say.
///
/// # Errors
/// When the level is none, or somebody logs already.
pub fn begin(log: &Log) -> Result<(), CliError> {
    let filter = format!("{LIBRARIES},{},{SILENCED}", log.level);
    let filter = EnvFilter::try_new(filter).map_err(CliError::failed("log.level"))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    let begun = match (log.format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => builder.json().flatten_event(true).try_init(),
        (LogFormat::Text, _) | (LogFormat::Auto, true) => builder.try_init(),
    };
    begun.map_err(|error| CliError::Failed(anyhow!("cannot begin to log: {error}")))
}
