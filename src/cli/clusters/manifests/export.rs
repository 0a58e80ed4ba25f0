//! `fleetbeat export`: the fleet as files that `apply` takes.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::list::{Filter, select};
use super::super::sending;
use super::in_full;
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use crate::cli::error::CliError;
use crate::cli::{look, output};
use crate::registration::Spec;

/// Write clusters as YAML that `apply` and `clusters import` take; no status and no secrets
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat export > fleet.yaml
  fleetbeat export -l team=core --directory fleet/      a file for each")]
pub struct ExportArguments {
    #[command(flatten)]
    filter: Filter,
    /// Write a file for each cluster into this folder, which is made when missing
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Does it.
///
/// # Errors
/// Those of the client and of the files.
pub async fn export(arguments: ExportArguments) -> Result<(), CliError> {
    let client = Client::new(&arguments.connection)?;
    let listed = select(&client, &arguments.filter, None).await?.clusters;
    let ids: Vec<String> = listed.iter().map(|cluster| look::text(cluster, "/id")).collect();
    let specs = in_full(&client, &ids, &sending::bar(ids.len())).await?;
    let specs = specs.iter().map(spec).collect::<Result<Vec<_>, _>>()?;
    let Some(directory) = &arguments.directory else {
        return output::yaml(&json!({ "clusters": specs }));
    };
    std::fs::create_dir_all(directory).map_err(CliError::failed(directory.display().to_string()))?;
    for spec in &specs {
        let file = directory.join(format!("{}.yaml", look::text(spec, "/name")));
        let text = serde_saphyr::to_string(spec).map_err(CliError::failed("the cluster cannot be written as YAML"))?;
        std::fs::write(&file, text).map_err(CliError::failed(file.display().to_string()))?;
    }
    eprintln!("{} written to {}", output::clusters(&specs.len().to_string()), directory.display());
    Ok(())
}

/// What callers decide of a cluster, without what is empty.
fn spec(cluster: &Value) -> Result<Value, CliError> {
    let spec = Spec::told(cluster.as_object().unwrap_or(&Map::new()));
    let spec =
        spec.map_err(|invalid| CliError::Failed(anyhow::anyhow!("{}: {invalid}", look::text(cluster, "/name"))))?;
    Ok(without_nothing(spec.to_map().into()))
}

fn without_nothing(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let kept = map.into_iter().map(|(key, value)| (key, without_nothing(value)));
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    kept.filter(|(_, value)| !empty(value)).collect::<Map<_, _>>().into()
}
