//! Silences.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::{
    failure::Failure,
    silences::StoredSilence,
    statement::{Connection, Row, Text, statement},
};

const ALL: &str = "SELECT id, comment, label_selector, cluster_ids, scope, starts_at, ends_at, rrule, time_zone, created_by, \
    created_at, ended_by, ended_at FROM silences ORDER BY created_at, id";

pub(in crate::store) async fn all(connection: &mut impl Connection) -> Result<Vec<StoredSilence>, Failure> {
    statement(ALL).fetch_all(connection, silence).await
}

const INSERT: &str = "INSERT INTO silences (id, comment, label_selector, cluster_ids, scope, starts_at, ends_at, rrule, \
    time_zone, created_by, created_at, ended_by, ended_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

pub(in crate::store) async fn insert(connection: &mut impl Connection, silence: &StoredSilence) -> Result<(), Failure> {
    statement(INSERT)
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

const END: &str = "UPDATE silences SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL";

pub(in crate::store) async fn end(
    connection: &mut impl Connection,
    id: Uuid,
    at: DateTime<Utc>,
    by: Option<&str>,
) -> Result<bool, Failure> {
    Ok(statement(END).bind(id).bind(at).bind(by).execute(connection).await? > 0)
}

const FORGET: Text = Text {
    postgres: "DELETE FROM silences WHERE id = ANY($1)",
    sqlite: "DELETE FROM silences WHERE id IN (SELECT value FROM json_each($1))",
};

pub(in crate::store) async fn forget(connection: &mut impl Connection, ids: &[Uuid]) -> Result<u64, Failure> {
    statement(FORGET).bind(ids).execute(connection).await
}

fn silence(row: &impl Row) -> Result<StoredSilence, Failure> {
    Ok(StoredSilence {
        id: row.get("id")?,
        comment: row.get("comment")?,
        label_selector: row.get("label_selector")?,
        cluster_ids: row.get("cluster_ids")?,
        scope: row.get("scope")?,
        starts_at: row.get("starts_at")?,
        ends_at: row.get("ends_at")?,
        rrule: row.get("rrule")?,
        time_zone: row.get("time_zone")?,
        created_by: row.get("created_by")?,
        created_at: row.get("created_at")?,
        ended_by: row.get("ended_by")?,
        ended_at: row.get("ended_at")?,
    })
}
