//! What is remembered of Secrets on the hub, in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use super::{PostgresStore, audit, events};
use crate::store::{
    audit::AuditEntry,
    failure::Failure,
    secrets::{BegunWrite, SecretMark, SecretRows},
};

#[async_trait]
impl SecretRows for PostgresStore {
    async fn secret_marks(&self, of: Option<ClusterId>) -> Result<Vec<SecretMark>, StoreError> {
        call!(self, |connection| marks(connection, of))
    }

    async fn begin_secret(&self, id: ClusterId, begun: Option<&BegunWrite>) -> Result<(), StoreError> {
        write!(self, |connection| begin(connection, id, begun))
    }

    async fn settle_secret(
        &self,
        id: ClusterId,
        version: Option<&str>,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |connection| async {
            settle(connection, id, version).await?;
            events::insert(connection, events).await?;
            audit::append(connection, audit).await
        })
    }
}

const MARKS: &str = "SELECT * FROM clusters.secret_marks WHERE $1::uuid IS NULL OR cluster_id = $1";

async fn marks(connection: &mut PgConnection, of: Option<ClusterId>) -> Result<Vec<SecretMark>, Failure> {
    sqlx::query(MARKS).bind(of.map(|id| id.0)).fetch_all(connection).await?.iter().map(mark).collect()
}

// Locked, so that nobody deletes the cluster before the end of the transaction.
const EXISTS: &str = "SELECT id FROM clusters.clusters WHERE id = $1 FOR KEY SHARE";

async fn exists(connection: &mut PgConnection, id: ClusterId) -> Result<(), Failure> {
    match sqlx::query(EXISTS).bind(id.0).fetch_optional(&mut *connection).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound.into()),
    }
}

const BEGIN: &str = "INSERT INTO clusters.secret_marks (cluster_id, begun) VALUES ($1, $2) \
    ON CONFLICT (cluster_id) DO UPDATE SET begun = excluded.begun";

async fn begin(connection: &mut PgConnection, id: ClusterId, begun: Option<&BegunWrite>) -> Result<(), Failure> {
    exists(connection, id).await?;
    sqlx::query(BEGIN).bind(id.0).bind(begun.map(Json)).execute(&mut *connection).await?;
    Ok(())
}

const SETTLE: &str = "INSERT INTO clusters.secret_marks (cluster_id, version) VALUES ($1, $2) \
    ON CONFLICT (cluster_id) DO UPDATE SET version = excluded.version, begun = NULL";

async fn settle(connection: &mut PgConnection, id: ClusterId, version: Option<&str>) -> Result<(), Failure> {
    exists(connection, id).await?;
    sqlx::query(SETTLE).bind(id.0).bind(version).execute(&mut *connection).await?;
    Ok(())
}

fn mark(row: &PgRow) -> Result<SecretMark, Failure> {
    Ok(SecretMark {
        cluster_id: ClusterId(row.try_get("cluster_id")?),
        version: row.try_get("version")?,
        begun: row.try_get::<Option<Json<BegunWrite>>, _>("begun")?.map(|json| json.0),
    })
}
