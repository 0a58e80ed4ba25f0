//! When clusters were asked what they can do, in PostgreSQL.

use std::sync::Arc;

use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use super::events;
use crate::store::{contract::StoredDiscovery, failure::Failure};

const ALL: &str = "SELECT * FROM clusters.discoveries";

pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<StoredDiscovery>, Failure> {
    sqlx::query(ALL).fetch_all(connection).await?.iter().map(discovery).collect()
}

// Locked, so that nobody deletes the cluster before the end of the transaction.
const EXISTS: &str = "SELECT id FROM clusters.clusters WHERE id = $1 FOR KEY SHARE";
const PUT: &str = "INSERT INTO clusters.discoveries (cluster_id, attempted_at, outcome) VALUES ($1, $2, $3) \
    ON CONFLICT (cluster_id) DO UPDATE SET attempted_at = excluded.attempted_at, outcome = excluded.outcome";
const FOUND: &str = "UPDATE clusters.clusters SET capabilities = $2 WHERE id = $1";

pub(super) async fn write(
    connection: &mut PgConnection,
    discovery: &StoredDiscovery,
    capabilities: Option<&serde_json::Value>,
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    let id = discovery.cluster_id.0;
    if sqlx::query(EXISTS).bind(id).fetch_optional(&mut *connection).await?.is_none() {
        return Err(StoreError::NotFound.into());
    }
    let put = sqlx::query(PUT).bind(id).bind(discovery.attempted_at).bind(&discovery.outcome);
    put.execute(&mut *connection).await?;
    if let Some(capabilities) = capabilities {
        sqlx::query(FOUND).bind(id).bind(Json(capabilities)).execute(&mut *connection).await?;
    }
    events::insert(connection, log).await
}

fn discovery(row: &PgRow) -> Result<StoredDiscovery, Failure> {
    Ok(StoredDiscovery {
        cluster_id: ClusterId(row.try_get("cluster_id")?),
        attempted_at: row.try_get("attempted_at")?,
        outcome: row.try_get("outcome")?,
    })
}
