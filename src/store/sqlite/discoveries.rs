//! When clusters were asked what they can do, in SQLite.

use std::sync::Arc;

use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow, types::Json};

use super::{events, moment, uuid_of};
use crate::store::{contract::StoredDiscovery, failure::Failure};

const ALL: &str = "SELECT * FROM discoveries";

pub(super) async fn all(readers: &SqlitePool) -> Result<Vec<StoredDiscovery>, Failure> {
    sqlx::query(ALL).fetch_all(readers).await?.iter().map(discovery).collect()
}

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM clusters WHERE id = ?1)";
const PUT: &str = "INSERT INTO discoveries (cluster_id, attempted_at, outcome) VALUES (?1, ?2, ?3) \
    ON CONFLICT (cluster_id) DO UPDATE SET attempted_at = excluded.attempted_at, outcome = excluded.outcome";
const FOUND: &str = "UPDATE clusters SET capabilities = ?2 WHERE id = ?1";

pub(super) async fn write(
    writer: &mut SqliteConnection,
    discovery: &StoredDiscovery,
    capabilities: Option<&serde_json::Value>,
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    let id = discovery.cluster_id.to_string();
    let exists: bool = sqlx::query_scalar(EXISTS).bind(&id).fetch_one(&mut *writer).await?;
    if !exists {
        return Err(StoreError::NotFound.into());
    }
    let put = sqlx::query(PUT).bind(&id).bind(discovery.attempted_at.timestamp_micros()).bind(&discovery.outcome);
    put.execute(&mut *writer).await?;
    if let Some(capabilities) = capabilities {
        sqlx::query(FOUND).bind(&id).bind(Json(capabilities)).execute(&mut *writer).await?;
    }
    events::insert(writer, log).await
}

fn discovery(row: &SqliteRow) -> Result<StoredDiscovery, Failure> {
    Ok(StoredDiscovery {
        cluster_id: ClusterId(uuid_of(row, "cluster_id")?),
        attempted_at: moment(row, "attempted_at")?,
        outcome: row.try_get("outcome")?,
    })
}
