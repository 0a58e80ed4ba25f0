//! Sealed credentials in SQLite.

use std::sync::Arc;

use fleetbeat_actors::{event::Event, health::Endpoint, ports::StoreError, roll::ClusterId};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{events, moment, moment_maybe, uuid_of};
use crate::store::{
    contract::SealedRow,
    failure::{Failure, kind},
};

const AFTER: &str = "SELECT * FROM credentials WHERE (cluster_id, kind) > (?1, ?2) ORDER BY cluster_id, kind LIMIT ?3";

pub(super) async fn after(
    readers: &SqlitePool,
    after: Option<(ClusterId, Endpoint)>,
    limit: u32,
) -> Result<Vec<SealedRow>, Failure> {
    let (id, kind) = after.map(|(id, kind)| (id.to_string(), kind.as_str())).unwrap_or_default();
    let rows = sqlx::query(AFTER).bind(id).bind(kind).bind(limit).fetch_all(readers).await?;
    rows.iter().map(sealed).collect()
}

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM clusters WHERE id = ?1)";
const PUT: &str = "INSERT INTO credentials \
    (cluster_id, kind, auth_type, bound_to, key_id, nonce, sealed, expires_at, updated_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (cluster_id, kind) DO UPDATE SET \
    auth_type = excluded.auth_type, bound_to = excluded.bound_to, key_id = excluded.key_id, nonce = excluded.nonce, \
    sealed = excluded.sealed, expires_at = excluded.expires_at, updated_at = excluded.updated_at";

pub(super) async fn write(
    writer: &mut SqliteConnection,
    id: ClusterId,
    put: &[SealedRow],
    gone: &[Endpoint],
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    let exists: bool = sqlx::query_scalar(EXISTS).bind(id.to_string()).fetch_one(&mut *writer).await?;
    if !exists {
        return Err(StoreError::NotFound.into());
    }
    remove(writer, id, gone).await?;
    for row in put {
        sqlx::query(PUT)
            .bind(id.to_string())
            .bind(row.kind.as_str())
            .bind(&row.auth_type)
            .bind(&row.bound_to)
            .bind(&row.key_id)
            .bind(&row.nonce)
            .bind(&row.sealed)
            .bind(row.expires_at.map(|at| at.timestamp_micros()))
            .bind(row.updated_at.timestamp_micros())
            .execute(&mut *writer)
            .await?;
    }
    events::insert(writer, log).await
}

const REMOVE: &str = "DELETE FROM credentials WHERE cluster_id = ?1 AND kind = ?2";

pub(super) async fn remove(writer: &mut SqliteConnection, id: ClusterId, kinds: &[Endpoint]) -> Result<(), Failure> {
    for kind in kinds {
        sqlx::query(REMOVE).bind(id.to_string()).bind(kind.as_str()).execute(&mut *writer).await?;
    }
    Ok(())
}

const RESEAL: &str = "UPDATE credentials SET key_id = ?4, nonce = ?5, sealed = ?6 \
    WHERE cluster_id = ?1 AND kind = ?2 AND nonce = ?3";

pub(super) async fn reseal(writer: &mut SqliteConnection, rows: &[(Vec<u8>, SealedRow)]) -> Result<u64, Failure> {
    let mut replaced = 0;
    for (nonce, row) in rows {
        let done = sqlx::query(RESEAL)
            .bind(row.cluster_id.to_string())
            .bind(row.kind.as_str())
            .bind(nonce)
            .bind(&row.key_id)
            .bind(&row.nonce)
            .bind(&row.sealed)
            .execute(&mut *writer)
            .await?;
        replaced += done.rows_affected();
    }
    Ok(replaced)
}

fn sealed(row: &SqliteRow) -> Result<SealedRow, Failure> {
    Ok(SealedRow {
        cluster_id: ClusterId(uuid_of(row, "cluster_id")?),
        kind: kind(row.try_get("kind")?)?,
        auth_type: row.try_get("auth_type")?,
        bound_to: row.try_get("bound_to")?,
        key_id: row.try_get("key_id")?,
        nonce: row.try_get("nonce")?,
        sealed: row.try_get("sealed")?,
        expires_at: moment_maybe(row, "expires_at")?,
        updated_at: moment(row, "updated_at")?,
    })
}
