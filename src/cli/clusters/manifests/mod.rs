//! Clusters as files: `fleetbeat apply`, `diff` and `export`. A file says what it says: fields that it leaves out stay as they are.

mod apply;
mod export;
mod files;
mod plan;

pub use apply::{ApplyArguments, DiffArguments, apply, diff};
pub use export::{ExportArguments, export};

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use serde_json::Value;

use super::super::client::Client;
use super::super::error::CliError;

/// Clusters that are read in full at once.
const AT_ONCE: usize = 16;

/// Every one of some clusters in full: lists leave the CA bundle out. In the order given.
pub(super) async fn in_full(client: &Client, ids: &[String], bar: &ProgressBar) -> Result<Vec<Value>, CliError> {
    let reads = ids.iter().map(|id| async move {
        let found = client.get(&format!("/api/v1/clusters/{id}")).await;
        bar.inc(1);
        found.map(|answer| answer.json)
    });
    let found = stream::iter(reads).buffered(AT_ONCE).try_collect().await;
    bar.finish_and_clear();
    found
}
