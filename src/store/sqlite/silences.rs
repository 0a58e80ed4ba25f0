//! Silences in SQLite.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use uuid::Uuid;

use super::{moment, moment_maybe, uuid_of};
use crate::store::{contract::StoredSilence, failure::Failure};

const ALL: &str = "SELECT id, comment, label_selector, cluster_ids, scope, starts_at, ends_at, rrule, time_zone, created_by, \
    created_at, ended_by, ended_at FROM silences ORDER BY created_at, id";

pub(super) async fn all(readers: &SqlitePool) -> Result<Vec<StoredSilence>, Failure> {
    sqlx::query(ALL).fetch_all(readers).await?.iter().map(silence).collect()
}

const INSERT: &str = "INSERT INTO silences (id, comment, label_selector, cluster_ids, scope, starts_at, ends_at, rrule, \
    time_zone, created_by, created_at, ended_by, ended_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

pub(super) async fn insert(writer: &mut SqliteConnection, silence: &StoredSilence) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(silence.id.hyphenated().to_string())
        .bind(&silence.comment)
        .bind(&silence.label_selector)
        .bind(&silence.cluster_ids)
        .bind(&silence.scope)
        .bind(silence.starts_at.timestamp_micros())
        .bind(silence.ends_at.timestamp_micros())
        .bind(&silence.rrule)
        .bind(&silence.time_zone)
        .bind(&silence.created_by)
        .bind(silence.created_at.timestamp_micros())
        .bind(&silence.ended_by)
        .bind(silence.ended_at.map(|at| at.timestamp_micros()))
        .execute(writer)
        .await?;
    Ok(())
}

const END: &str = "UPDATE silences SET ended_at = ?2, ended_by = ?3 WHERE id = ?1 AND ended_at IS NULL";

pub(super) async fn end(
    writer: &mut SqliteConnection,
    id: Uuid,
    at: DateTime<Utc>,
    by: Option<&str>,
) -> Result<bool, Failure> {
    let query = sqlx::query(END).bind(id.hyphenated().to_string()).bind(at.timestamp_micros()).bind(by);
    Ok(query.execute(writer).await?.rows_affected() > 0)
}

const FORGET: &str = "DELETE FROM silences WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) async fn forget(writer: &mut SqliteConnection, ids: &[Uuid]) -> Result<u64, Failure> {
    let ids: Vec<_> = ids.iter().map(|id| id.hyphenated().to_string()).collect();
    let ids = serde_json::Value::from(ids).to_string();
    Ok(sqlx::query(FORGET).bind(ids).execute(writer).await?.rows_affected())
}

fn silence(row: &SqliteRow) -> Result<StoredSilence, Failure> {
    Ok(StoredSilence {
        id: uuid_of(row, "id")?,
        comment: row.try_get("comment")?,
        label_selector: row.try_get("label_selector")?,
        cluster_ids: row.try_get("cluster_ids")?,
        scope: row.try_get("scope")?,
        starts_at: moment(row, "starts_at")?,
        ends_at: moment(row, "ends_at")?,
        rrule: row.try_get("rrule")?,
        time_zone: row.try_get("time_zone")?,
        created_by: row.try_get("created_by")?,
        created_at: moment(row, "created_at")?,
        ended_by: row.try_get("ended_by")?,
        ended_at: moment_maybe(row, "ended_at")?,
    })
}
