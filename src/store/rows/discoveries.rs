//! When clusters were asked what they can do.

use std::sync::Arc;

use fleetbeat_actors::event::Event;

use super::{clusters, events};
use crate::store::{
    bulk::Bulk,
    contract::StoredDiscovery,
    failure::Failure,
    statement::{Connection, Row, statement},
};

const ALL: &str = "SELECT * FROM discoveries";

pub(in crate::store) async fn all(connection: &mut impl Connection) -> Result<Vec<StoredDiscovery>, Failure> {
    statement(ALL).fetch_all(connection, discovery).await
}

const PUT: &str = "INSERT INTO discoveries (cluster_id, attempted_at, outcome) VALUES ($1, $2, $3) \
    ON CONFLICT (cluster_id) DO UPDATE SET attempted_at = excluded.attempted_at, outcome = excluded.outcome";
const FOUND: &str = "UPDATE clusters SET capabilities = $2 WHERE id = $1";

pub(in crate::store) async fn write(
    connection: &mut impl Bulk,
    discovery: &StoredDiscovery,
    capabilities: Option<&serde_json::Value>,
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    let id = discovery.cluster_id;
    clusters::must_stay(connection, id).await?;
    let put = statement(PUT).bind(id).bind(discovery.attempted_at).bind(&discovery.outcome);
    put.execute(connection).await?;
    if let Some(capabilities) = capabilities {
        statement(FOUND).bind(id).bind(capabilities.clone()).execute(connection).await?;
    }
    events::insert(connection, log).await
}

fn discovery(row: &impl Row) -> Result<StoredDiscovery, Failure> {
    Ok(StoredDiscovery {
        cluster_id: row.get("cluster_id")?,
        attempted_at: row.get("attempted_at")?,
        outcome: row.get("outcome")?,
    })
}
