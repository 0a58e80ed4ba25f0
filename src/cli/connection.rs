//! Which server a client's command talks to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::contexts;
use super::error::CliError;

/// Where a server on this machine is, unless told otherwise.
const HERE: &str = "http://127.0.0.1:8080";

/// Flags of every command that asks a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct Connection {
    /// Where fleetbeat serves its API [default: the chosen context's, else http://127.0.0.1:8080]
    #[arg(long, global = true, env = "FLEETBEAT_SERVER", hide_env_values = true, value_name = "URL")]
    pub server: Option<String>,
    /// Ask the server of this context (`fleetbeat context`) in place of the chosen one's
    #[arg(long = "at", global = true, env = "FLEETBEAT_CONTEXT", hide_env_values = true, value_name = "CONTEXT")]
    pub context: Option<String>,
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

/// A server, and what it is shown.
pub struct Place {
    /// Its URL.
    pub server: String,
    /// The authorities to trust for it, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The token to send.
    pub token: Option<SecretString>,
}

impl Connection {
    /// The server to ask: what the flags and the environment say, else the chosen context.
    ///
    /// # Errors
    /// When both name one, there is no such context, or the token's file cannot be read.
    pub fn place(&self) -> Result<Place, CliError> {
        let context = match (&self.server, &self.context) {
            (Some(_), Some(_)) => {
                let two = "--server (FLEETBEAT_SERVER) and --at (FLEETBEAT_CONTEXT) name two servers: give one";
                return Err(CliError::Usage(two.to_owned()));
            }
            // A token is for its own server only.
            (Some(_), None) => None,
            (None, name) => contexts::chosen(name.as_deref())?,
        };
        let file = self.token_file.as_ref().or(context.as_ref().and_then(|context| context.token_file.as_ref()));
        let variable = context.as_ref().and_then(|context| context.token_variable.as_deref());
        let text = match file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| CliError::Usage(format!("the token's file {}: {error}", file.display())))?,
            None => std::env::var(variable.unwrap_or("FLEETBEAT_TOKEN")).unwrap_or_default(),
        };
        let token = text.trim();
        Ok(Place {
            server: self.server.clone().or(context.as_ref().map(|c| c.server.clone())).unwrap_or(HERE.to_owned()),
            ca: self.server_ca.clone().or(context.and_then(|context| context.server_ca)),
            token: (!token.is_empty()).then(|| token.into()),
        })
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
