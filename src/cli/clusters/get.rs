//! `clusters get`, `clusters status` and `clusters refresh`: one cluster in full.

use std::time::Duration;

use clap::Args;

use super::{Desk, find, find_id};
use crate::cli::card;
use crate::cli::error::CliError;
use crate::cli::output::Format;

/// A check takes as long as its cluster's deadline lets it, and it may have to be made twice.
const CHECK_WITHIN: Duration = Duration::from_secs(630);

/// Show one cluster in full
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat clusters get prod-east-1
  fleetbeat clusters get prod-east-1 -o wide      with its conditions
  fleetbeat clusters get 0192f7f0-1c1c-7d2e-9df0-5a3d5cbb7a11 -o yaml")]
pub struct GetArguments {
    /// Name or id
    cluster: String,
}

/// Show the status of one cluster, with its conditions
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat clusters status prod-east-1
  fleetbeat clusters status prod-east-1 -o json | jq -r .state")]
pub struct StatusArguments {
    /// Name or id
    cluster: String,
}

/// Check one cluster now and show what was found
#[derive(Args)]
#[command(after_help = "\
Example:
  fleetbeat clusters refresh prod-east-1

A check that finds the cluster in trouble is still a success (exit code 0).")]
pub struct RefreshArguments {
    /// Name or id
    cluster: String,
}

/// Does `get`.
pub async fn run(desk: &Desk, arguments: &GetArguments) -> Result<(), CliError> {
    let found = find(&desk.client, &arguments.cluster).await?;
    desk.show(&found.json, || {
        let mut text = card::cluster(&found.json, found.now, desk.paint);
        if desk.format == Format::Wide {
            let status = found.json.get("status").map(|status| card::conditions(status, found.now, desk.paint));
            text = format!("{text}\n{}", status.unwrap_or_default());
        }
        text
    })
}

/// Does `status`.
pub async fn status(desk: &Desk, arguments: &StatusArguments) -> Result<(), CliError> {
    if desk.format == Format::Name {
        return run(desk, &GetArguments { cluster: arguments.cluster.clone() }).await;
    }
    let id = find_id(&desk.client, &arguments.cluster).await?;
    let found = desk.client.get(&format!("/api/v1/clusters/{id}/status")).await?;
    desk.show(&found.json, || {
        let conditions = card::conditions(&found.json, found.now, desk.paint);
        format!("{}\n{conditions}", card::status(&found.json, found.now, desk.paint))
    })
}

/// Does `refresh`.
pub async fn refresh(desk: &Desk, arguments: &RefreshArguments) -> Result<(), CliError> {
    let id = find_id(&desk.client, &arguments.cluster).await?;
    let within = CHECK_WITHIN.max(desk.client.timeout());
    let found = desk.client.post(&format!("/api/v1/clusters/{id}/refresh"), None, within).await?;
    desk.show(&found.json, || {
        let part = |key| found.json.get(key).cloned().unwrap_or_default();
        let status = card::status(&part("status"), found.now, desk.paint);
        format!("{status}\n{}", card::probes(&part("check"), desk.paint))
    })
}
