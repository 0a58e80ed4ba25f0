//! Silences in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::store::{contract::StoredSilence, failure::Failure};

const ALL: &str = "SELECT id, comment, label_selector, cluster_ids, scope, starts_at, ends_at, rrule, time_zone, created_by, \
    created_at, ended_by, ended_at FROM clusters.silences ORDER BY created_at, id";

pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<StoredSilence>, Failure> {
    sqlx::query(ALL).fetch_all(connection).await?.iter().map(silence).collect()
}

const INSERT: &str = "INSERT INTO clusters.silences (id, comment, label_selector, cluster_ids, scope, starts_at, ends_at, \
    rrule, time_zone, created_by, created_at, ended_by, ended_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

pub(super) async fn insert(connection: &mut PgConnection, silence: &StoredSilence) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(silence.id)
        .bind(&silence.comment)
        .bind(&silence.label_selector)
        .bind(&silence.cluster_ids)
        .bind(&silence.scope)
        .bind(silence.starts_at)
        .bind(silence.ends_at)
        .bind(&silence.rrule)
        .bind(&silence.time_zone)
        .bind(&silence.created_by)
        .bind(silence.created_at)
        .bind(&silence.ended_by)
        .bind(silence.ended_at)
        .execute(connection)
        .await?;
    Ok(())
}

const END: &str = "UPDATE clusters.silences SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL";

pub(super) async fn end(
    connection: &mut PgConnection,
    id: Uuid,
    at: DateTime<Utc>,
    by: Option<&str>,
) -> Result<bool, Failure> {
    Ok(sqlx::query(END).bind(id).bind(at).bind(by).execute(connection).await?.rows_affected() > 0)
}

const FORGET: &str = "DELETE FROM clusters.silences WHERE id = ANY($1)";

pub(super) async fn forget(connection: &mut PgConnection, ids: &[Uuid]) -> Result<u64, Failure> {
    Ok(sqlx::query(FORGET).bind(ids).execute(connection).await?.rows_affected())
}

fn silence(row: &PgRow) -> Result<StoredSilence, Failure> {
    Ok(StoredSilence {
        id: row.try_get("id")?,
        comment: row.try_get("comment")?,
        label_selector: row.try_get("label_selector")?,
        cluster_ids: row.try_get("cluster_ids")?,
        scope: row.try_get("scope")?,
        starts_at: row.try_get("starts_at")?,
        ends_at: row.try_get("ends_at")?,
        rrule: row.try_get("rrule")?,
        time_zone: row.try_get("time_zone")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        ended_by: row.try_get("ended_by")?,
        ended_at: row.try_get("ended_at")?,
    })
}
