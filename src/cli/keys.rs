//! `fleetbeat keys`: the key that seals stored credentials.

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{error::CliError, output, settings::SettingsArguments};
use crate::{app, audit::Origin};

/// Look after the key that seals stored credentials
#[derive(Args)]
pub struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Replace the key and seal everything anew; broken off, it goes on where it was when it is run again
    ///
    /// With SQLite the monitor must be stopped meanwhile; with PostgreSQL it may run, if it reads the same key file. A key given by
    /// the environment is replaced there: set the new one as FLEETBEAT__CREDENTIALS__KEY, the old one as
    /// FLEETBEAT__CREDENTIALS__PREVIOUS_KEY, and run this.
    Rotate,
}

/// Does what is asked.
///
/// # Errors
/// When the store or the key cannot be used.
pub async fn run(arguments: KeysArguments) -> Result<(), CliError> {
    let settings = arguments.settings.load()?;
    match arguments.command {
        KeysCommand::Rotate => {
            let sealed = app::sealed_credentials(&settings).await.map_err(CliError::Failed)?;
            let moved = Arc::new(sealed)
                .rotate_keys(&Origin::console())
                .await
                .map_err(CliError::failed("the key was not replaced"))?;
            output::say(&format!("Credentials of {moved} endpoints are sealed with a new key.\n"))
        }
    }
}
