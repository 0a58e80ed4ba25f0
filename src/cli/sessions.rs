//! `fleetbeat sessions`: lists and ends the sessions of browsers that signed in.

use clap::{Args, Subcommand};
use serde_json::Value;
use uuid::Uuid;

use super::client::Client;
use super::connection::Connection;
use super::error::CliError;
use super::output::PlainFormat;
use super::paint::Paint;
use super::table::{self, Cell};

/// List and end the sessions of browsers that signed in
#[derive(Args)]
#[command(after_help = "\
Asks the server, with the token of an administrator of the whole fleet (FLEETBEAT_TOKEN or --token-file); with --own, for the
sessions of whoever the token belongs to at the issuer.

Examples:
  fleetbeat sessions list
  fleetbeat sessions end 4ad0c1f2-9d1f-8a63-9a2e-8f0f5bb3a1c7")]
pub struct SessionsArguments {
    #[command(flatten)]
    connection: Connection,
    /// Only your own
    #[arg(long, global = true)]
    own: bool,
    /// How to write the answer
    #[arg(short, long, value_enum, global = true, default_value_t, value_name = "FORMAT")]
    output: PlainFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the sessions that last
    #[command(visible_alias = "ls")]
    List,
    /// End a session, at once
    End {
        /// The session's id, as `list` shows it
        id: Uuid,
    },
}

/// Does one of the commands.
///
/// # Errors
/// Those of the server.
pub async fn run(arguments: SessionsArguments, paint: Paint) -> Result<(), CliError> {
    let client = Client::new(&arguments.connection)?;
    let path = if arguments.own { "/api/v1/whoami/sessions" } else { "/api/v1/sessions" };
    match arguments.command {
        Command::List => {
            let answer = client.get(path).await?.json;
            arguments.output.tell(&answer, || listed(&answer, paint))
        }
        Command::End { id } => client.delete(&format!("{path}/{id}")).await,
    }
}

fn listed(answer: &Value, paint: Paint) -> String {
    table::of_items(answer, &["ID", "CALLER", "NAME", "SIGNED IN", "ENDS"], row, paint)
}

fn row(session: &Value) -> Vec<Cell> {
    let text = |field: &str| Cell::text(session[field].as_str().unwrap_or("-").chars().take(60).collect::<String>());
    ["id", "caller", "name", "created_at", "expires_at"].map(text).into()
}
