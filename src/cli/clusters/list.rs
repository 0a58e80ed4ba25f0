//! `clusters list`: every cluster that matches, however many pages that takes.

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use super::{Desk, rows};
use crate::cli::client::{Client, with_query};
use crate::cli::error::CliError;
use crate::cli::output::{self, Format};
use crate::cli::{look, words};

/// Clusters of one request.
const PAGE: &str = "500";

/// Which clusters.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Label selector as in Kubernetes: `team=core`, `env in (prod,lab),!legacy`
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Clusters in this state; repeat it for several
    #[arg(long, value_parser = words::state(), ignore_case = true, value_delimiter = ',')]
    pub state: Vec<String>,
    /// Clusters of this type; repeat it for several
    #[arg(long = "type", value_parser = words::cluster_type(), ignore_case = true, value_delimiter = ',', value_name = "TYPE")]
    pub cluster_type: Vec<String>,
    /// Clusters of this environment; repeat it for several
    #[arg(long, value_parser = words::environment(), ignore_case = true, value_delimiter = ',')]
    pub environment: Vec<String>,
    /// Clusters of this platform; repeat it for several
    #[arg(long, value_parser = words::platform(), ignore_case = true, value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Clusters of this region
    #[arg(long)]
    pub region: Option<String>,
    /// Clusters with this in their names
    #[arg(long, value_name = "PART")]
    pub name: Option<String>,
    /// Clusters with GPU nodes
    #[arg(long)]
    pub has_gpu: bool,
    /// Clusters with network functions
    #[arg(long)]
    pub has_cnf: bool,
    /// Clusters whose status is overdue
    #[arg(long)]
    pub stale: bool,
}

/// List clusters
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat clusters list --state offline,degraded --sort health_score
  fleetbeat clusters list -l 'team=core,env in (prod,lab)' -o wide
  fleetbeat clusters list --type hub -o json | jq -r '.items[].api_server_url'
  fleetbeat clusters list --state offline -o name")]
pub struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    /// Order; `-` before it reverses
    #[arg(long, value_parser = PossibleValuesParser::new(words::SORT), allow_hyphen_values = true, value_name = "KEY")]
    sort: Option<String>,
}

impl Filter {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let mut pairs = Vec::new();
        let many = [
            ("state", &self.state),
            ("cluster_type", &self.cluster_type),
            ("environment", &self.environment),
            ("platform", &self.platform),
        ];
        for (name, values) in many {
            pairs.extend(values.iter().map(|value| (name, value.as_str())));
        }
        let one = [("label_selector", &self.selector), ("region", &self.region), ("name", &self.name)];
        for (name, value) in one {
            pairs.extend(value.iter().map(|value| (name, value.as_str())));
        }
        let flags = [("has_gpu", self.has_gpu), ("has_cnf", self.has_cnf), ("stale", self.stale)];
        pairs.extend(flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name, "true")));
        pairs
    }
}

/// Clusters, and the server's time when the last of them were read.
pub struct Selection {
    /// The clusters as the API lists them.
    pub clusters: Vec<Value>,
    /// The server's time.
    pub now: Option<DateTime<Utc>>,
}

/// Every cluster that a filter lets through.
///
/// # Errors
/// Those of the client.
pub async fn select(client: &Client, filter: &Filter, sort: Option<&str>) -> Result<Selection, CliError> {
    let mut selection = Selection { clusters: Vec::new(), now: None };
    let mut token: Option<String> = None;
    loop {
        let mut pairs = filter.pairs();
        pairs.push(("limit", PAGE));
        pairs.extend(sort.map(|key| ("sort", key)));
        pairs.extend(token.as_deref().map(|token| ("continue", token)));
        let mut page = client.get(&with_query("/api/v1/clusters", &pairs)).await?;
        selection.now = page.now;
        if let Some(Value::Array(items)) = page.json.get_mut("items").map(Value::take) {
            selection.clusters.extend(items);
        }
        match page.json.get("continue").and_then(Value::as_str) {
            Some(next) => token = Some(next.to_owned()),
            None => return Ok(selection),
        }
    }
}

/// Does it.
pub async fn run(desk: &Desk, arguments: &ListArguments) -> Result<(), CliError> {
    let found = select(&desk.client, &arguments.filter, arguments.sort.as_deref()).await?;
    match desk.format {
        Format::Json => output::json(&json!({ "items": found.clusters, "total": found.clusters.len() })),
        Format::Yaml => output::yaml(&json!({ "items": found.clusters, "total": found.clusters.len() })),
        Format::Name => found.clusters.iter().try_for_each(|cluster| output::line(&look::text(cluster, "/name"))),
        Format::Table | Format::Wide if found.clusters.is_empty() => {
            eprintln!("no clusters");
            Ok(())
        }
        Format::Table | Format::Wide => {
            output::say(&rows::render(&found.clusters, found.now, desk.format == Format::Wide, desk.paint))
        }
    }
}
