//! Which server a client's command talks to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::error::CliError;

/// Flags of every command that asks a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct Connection {
    /// Where fleetbeat serves its API
    #[arg(
        long,
        global = true,
        env = "FLEETBEAT_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub server: String,
    /// PEM file of the authorities to trust for an https server, in place of the system's
    #[arg(long, global = true, env = "FLEETBEAT_SERVER_CA", hide_env_values = true, value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
    /// File that holds the API token to send; without it FLEETBEAT_TOKEN is sent, where set
    #[arg(long, global = true, env = "FLEETBEAT_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Longest time for one request, in seconds
    #[arg(long = "timeout", global = true, default_value_t = 30.0, value_name = "SECONDS", value_parser = seconds)]
    pub timeout_seconds: f64,
}

impl Connection {
    /// The token to send, where one is set.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn token(&self) -> Result<Option<SecretString>, CliError> {
        let text = match &self.token_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| CliError::Usage(format!("--token-file {}: {error}", file.display())))?,
            None => std::env::var("FLEETBEAT_TOKEN").unwrap_or_default(),
        };
        let token = text.trim();
        Ok((!token.is_empty()).then(|| token.into()))
    }

    /// Longest time for one request.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_seconds)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.001..=3_600.0).contains(&seconds) { Ok(seconds) } else { Err("must be from 0.001 to 3600".to_owned()) }
}
