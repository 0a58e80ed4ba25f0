//! `clusters rm`: removes clusters, after asking.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::Value;

use super::{Desk, find};
use crate::cli::error::CliError;
use crate::cli::output::Format;
use crate::cli::{look, output};

/// Remove clusters; their events stay in the log
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat clusters rm lab-1
  fleetbeat clusters rm lab-1 lab-2 --yes
  fleetbeat clusters list -l team=old -o name | xargs fleetbeat clusters rm --yes

On a terminal it asks first; elsewhere it wants --yes.")]
pub struct RmArguments {
    /// Names or ids
    #[arg(required = true)]
    clusters: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// May these clusters be removed? Asks on a terminal, unless told not to.
///
/// # Errors
/// When the answer is no, or there is nobody to ask.
pub fn permitted<'a>(names: impl Iterator<Item = &'a str>, yes: bool) -> Result<(), CliError> {
    let names: Vec<_> = names.collect();
    if names.is_empty() || yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Usage(format!(
            "this removes {}: say --yes (there is no terminal to ask)",
            names.join(", ")
        )));
    }
    if agreed(&names)? { Ok(()) } else { Err(CliError::Partly("nothing was done".to_owned())) }
}

/// Does it.
pub async fn run(desk: &Desk, arguments: &RmArguments) -> Result<(), CliError> {
    if !arguments.yes && !std::io::stdin().is_terminal() {
        return Err(CliError::Usage("this removes clusters: say --yes (there is no terminal to ask)".to_owned()));
    }
    let (mut found, mut missing) = (Vec::new(), None);
    for wanted in &arguments.clusters {
        match find(&desk.client, wanted).await {
            Ok(cluster) => found.push(cluster.json),
            Err(error) if error.exit_code() == 3 => {
                eprintln!("{error}");
                missing = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let names: Vec<_> = found.iter().map(|cluster| look::text(cluster, "/name")).collect();
    permitted(names.iter().map(String::as_str), arguments.yes)?;
    for cluster in &found {
        remove(desk, cluster).await?;
    }
    let lacking = arguments.clusters.len() - found.len();
    missing.map_or(Ok(()), |_| {
        Err(CliError::NotFound(format!("{lacking} of {} were not there", arguments.clusters.len())))
    })
}

async fn remove(desk: &Desk, cluster: &Value) -> Result<(), CliError> {
    let (name, id) = (look::text(cluster, "/name"), look::text(cluster, "/id"));
    desk.client.delete(&format!("/api/v1/clusters/{id}")).await?;
    match desk.format {
        Format::Table | Format::Wide => {
            output::line(&format!("{} {}", desk.paint.warn("removed"), desk.paint.strong(&name)))
        }
        Format::Name => output::line(&name),
        Format::Json => output::line(&serde_json::json!({"id": id, "name": name, "result": "removed"}).to_string()),
        Format::Yaml => output::yaml(&serde_json::json!([{"id": id, "name": name, "result": "removed"}])),
    }
}

fn agreed(names: &[&str]) -> Result<bool, CliError> {
    eprint!("Remove {}? [y/N] ", names.join(", "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
