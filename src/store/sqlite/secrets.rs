//! What is remembered of Secrets on the hub, in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow, types::Json};

use super::{SqliteStore, audit, events, finish, uuid_of};
use crate::store::{
    audit::AuditEntry,
    failure::Failure,
    secrets::{BegunWrite, SecretMark, SecretRows},
};

#[async_trait]
impl SecretRows for SqliteStore {
    async fn secret_marks(&self, of: Option<ClusterId>) -> Result<Vec<SecretMark>, StoreError> {
        self.database.read(marks(&self.database.readers, of)).await
    }

    async fn begin_secret(&self, id: ClusterId, begun: Option<&BegunWrite>) -> Result<(), StoreError> {
        write!(self, |writer| begin(writer, id, begun))
    }

    async fn settle_secret(
        &self,
        id: ClusterId,
        version: Option<&str>,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |writer| async {
            settle(writer, id, version).await?;
            events::insert(writer, events).await?;
            audit::append(writer, audit).await
        })
    }
}

const MARKS: &str = "SELECT * FROM secret_marks WHERE ?1 IS NULL OR cluster_id = ?1";

async fn marks(readers: &SqlitePool, of: Option<ClusterId>) -> Result<Vec<SecretMark>, Failure> {
    let rows = sqlx::query(MARKS).bind(of.map(|id| id.to_string())).fetch_all(readers).await?;
    rows.iter().map(mark).collect()
}

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM clusters WHERE id = ?1)";

async fn exists(writer: &mut SqliteConnection, id: ClusterId) -> Result<(), Failure> {
    let exists: bool = sqlx::query_scalar(EXISTS).bind(id.to_string()).fetch_one(&mut *writer).await?;
    if exists { Ok(()) } else { Err(StoreError::NotFound.into()) }
}

const BEGIN: &str = "INSERT INTO secret_marks (cluster_id, begun) VALUES (?1, ?2) \
    ON CONFLICT (cluster_id) DO UPDATE SET begun = excluded.begun";

async fn begin(writer: &mut SqliteConnection, id: ClusterId, begun: Option<&BegunWrite>) -> Result<(), Failure> {
    exists(writer, id).await?;
    sqlx::query(BEGIN).bind(id.to_string()).bind(begun.map(Json)).execute(&mut *writer).await?;
    Ok(())
}

const SETTLE: &str = "INSERT INTO secret_marks (cluster_id, version) VALUES (?1, ?2) \
    ON CONFLICT (cluster_id) DO UPDATE SET version = excluded.version, begun = NULL";

async fn settle(writer: &mut SqliteConnection, id: ClusterId, version: Option<&str>) -> Result<(), Failure> {
    exists(writer, id).await?;
    sqlx::query(SETTLE).bind(id.to_string()).bind(version).execute(&mut *writer).await?;
    Ok(())
}

fn mark(row: &SqliteRow) -> Result<SecretMark, Failure> {
    Ok(SecretMark {
        cluster_id: ClusterId(uuid_of(row, "cluster_id")?),
        version: row.try_get("version")?,
        begun: row.try_get::<Option<Json<BegunWrite>>, _>("begun")?.map(|json| json.0),
    })
}
