//! Sealed credentials in PostgreSQL.

use std::sync::Arc;

use fleetbeat_actors::{event::Event, health::Endpoint, ports::StoreError, roll::ClusterId};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::events;
use crate::store::{
    contract::SealedRow,
    failure::{Failure, kind},
};

const AFTER: &str = "SELECT * FROM clusters.credentials WHERE (cluster_id, kind) > ($1, $2) \
    ORDER BY cluster_id, kind LIMIT $3";

pub(super) async fn after(
    connection: &mut PgConnection,
    after: Option<(ClusterId, Endpoint)>,
    limit: u32,
) -> Result<Vec<SealedRow>, Failure> {
    let (id, kind) = after.map_or((Uuid::nil(), ""), |(id, kind)| (id.0, kind.as_str()));
    let rows = sqlx::query(AFTER).bind(id).bind(kind).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.iter().map(sealed).collect()
}

// Locked, so that nobody deletes the cluster before the end of the transaction.
const EXISTS: &str = "SELECT id FROM clusters.clusters WHERE id = $1 FOR KEY SHARE";
const PUT: &str = "INSERT INTO clusters.credentials \
    (cluster_id, kind, auth_type, bound_to, key_id, nonce, sealed, expires_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (cluster_id, kind) DO UPDATE SET \
    auth_type = excluded.auth_type, bound_to = excluded.bound_to, key_id = excluded.key_id, nonce = excluded.nonce, \
    sealed = excluded.sealed, expires_at = excluded.expires_at, updated_at = excluded.updated_at";

pub(super) async fn write(
    connection: &mut PgConnection,
    id: ClusterId,
    put: &[SealedRow],
    gone: &[Endpoint],
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    if sqlx::query(EXISTS).bind(id.0).fetch_optional(&mut *connection).await?.is_none() {
        return Err(StoreError::NotFound.into());
    }
    remove(connection, id, gone).await?;
    for row in put {
        sqlx::query(PUT)
            .bind(id.0)
            .bind(row.kind.as_str())
            .bind(&row.auth_type)
            .bind(&row.bound_to)
            .bind(&row.key_id)
            .bind(&row.nonce)
            .bind(&row.sealed)
            .bind(row.expires_at)
            .bind(row.updated_at)
            .execute(&mut *connection)
            .await?;
    }
    events::insert(connection, log).await
}

const REMOVE: &str = "DELETE FROM clusters.credentials WHERE cluster_id = $1 AND kind = ANY($2)";

pub(super) async fn remove(connection: &mut PgConnection, id: ClusterId, kinds: &[Endpoint]) -> Result<(), Failure> {
    if kinds.is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    sqlx::query(REMOVE).bind(id.0).bind(kinds).execute(connection).await?;
    Ok(())
}

const RESEAL: &str = "UPDATE clusters.credentials SET key_id = $4, nonce = $5, sealed = $6 \
    WHERE cluster_id = $1 AND kind = $2 AND nonce = $3";

pub(super) async fn reseal(connection: &mut PgConnection, rows: &[(Vec<u8>, SealedRow)]) -> Result<u64, Failure> {
    let mut replaced = 0;
    for (nonce, row) in rows {
        let done = sqlx::query(RESEAL)
            .bind(row.cluster_id.0)
            .bind(row.kind.as_str())
            .bind(nonce)
            .bind(&row.key_id)
            .bind(&row.nonce)
            .bind(&row.sealed)
            .execute(&mut *connection)
            .await?;
        replaced += done.rows_affected();
    }
    Ok(replaced)
}

fn sealed(row: &PgRow) -> Result<SealedRow, Failure> {
    Ok(SealedRow {
        cluster_id: ClusterId(row.try_get("cluster_id")?),
        kind: kind(row.try_get("kind")?)?,
        auth_type: row.try_get("auth_type")?,
        bound_to: row.try_get("bound_to")?,
        key_id: row.try_get("key_id")?,
        nonce: row.try_get("nonce")?,
        sealed: row.try_get("sealed")?,
        expires_at: row.try_get("expires_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
