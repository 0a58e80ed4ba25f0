//! `fleetbeat clusters`: the roll of the fleet. One file a command; here what they share: finding a cluster, showing clusters.

mod add;
mod contexts;
mod describe;
mod get;
mod hub;
mod import;
mod inline;
mod list;
pub mod manifests;
mod outcome;
mod rehearsal;
mod rm;
mod rows;
mod safe_name;
mod sending;
mod traits;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Answer, Client};
use super::connection::Connection;
use super::error::CliError;
use super::look;
use super::output::{self, Format};
use super::paint::Paint;

pub use list::{Filter, select};

/// Register, look at, import and remove clusters
#[derive(Args)]
pub struct ClustersArguments {
    /// How to write the answer
    #[arg(short, long, value_enum, global = true, default_value_t, value_name = "FORMAT")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(visible_alias = "ls")]
    List(list::ListArguments),
    Get(get::GetArguments),
    Describe(describe::DescribeArguments),
    Status(get::StatusArguments),
    Refresh(get::RefreshArguments),
    Add(Box<add::AddArguments>),
    Import(Box<import::ImportArguments>),
    #[command(visible_alias = "remove")]
    Rm(rm::RmArguments),
}

/// What every command here works with.
pub struct Desk {
    client: Client,
    paint: Paint,
    format: Format,
}

/// Does one of the commands.
///
/// # Errors
/// Those of the command.
pub async fn run(arguments: ClustersArguments, paint: Paint) -> Result<(), CliError> {
    let desk = Desk { client: Client::new(&arguments.connection)?, paint, format: arguments.output };
    match arguments.command {
        Command::List(list) => list::run(&desk, &list).await,
        Command::Get(get) => get::run(&desk, &get).await,
        Command::Describe(describe) => describe::run(&desk, &describe).await,
        Command::Status(status) => get::status(&desk, &status).await,
        Command::Refresh(refresh) => get::refresh(&desk, &refresh).await,
        Command::Add(add) => add::run(&desk, &add).await,
        Command::Import(import) => import::run(&desk, &import).await,
        Command::Rm(rm) => rm::run(&desk, &rm).await,
    }
}

impl Desk {
    /// Writes one cluster as asked; `card` is how people see it.
    fn show(&self, cluster: &Value, card: impl FnOnce() -> String) -> Result<(), CliError> {
        match self.format {
            Format::Table | Format::Wide => output::say(&card()),
            Format::Json => output::json(cluster),
            Format::Yaml => output::yaml(cluster),
            Format::Name => output::line(&super::look::text(cluster, "/name")),
        }
    }
}

/// A cluster by its name or its id.
///
/// # Errors
/// [`CliError::NotFound`] when there is none.
pub async fn find(client: &Client, wanted: &str) -> Result<Answer, CliError> {
    if wanted.parse::<uuid::Uuid>().is_ok() {
        match client.get(&format!("/api/v1/clusters/{wanted}")).await {
            Err(error) if error.exit_code() == 3 => {}
            found => return found,
        }
    }
    if crate::registration::validate::name(wanted).is_err() {
        return Err(CliError::NotFound(format!("no cluster `{wanted}`: that is neither a name nor an id")));
    }
    client.get(&format!("/api/v1/clusters/by-name/{wanted}")).await.map_err(|error| match error.exit_code() {
        3 => CliError::NotFound(format!("no cluster named `{wanted}`")),
        _ => error,
    })
}

/// The id of a cluster.
///
/// # Errors
/// [`CliError::NotFound`] when there is no such cluster.
pub async fn find_id(client: &Client, wanted: &str) -> Result<String, CliError> {
    Ok(super::look::text(&find(client, wanted).await?.json, "/id"))
}
