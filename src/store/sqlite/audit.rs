//! The audit log in SQLite.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use crate::store::{
    audit::{AuditEntry, AuditLink, AuditRow, stored_hash},
    contract::{AuditEnds, AuditFilter, AuditOrder},
    failure::Failure,
};

// The newest row counts, too: whatever somebody wrote into the table of ends, the log goes on.
const LAST: &str = "SELECT position, hash FROM (SELECT position, hash FROM audit_ends WHERE which = 'head' \
    UNION ALL SELECT * FROM (SELECT position, hash FROM audit ORDER BY position DESC LIMIT 1)) \
    ORDER BY position DESC LIMIT 1";
const INSERT: &str = "INSERT INTO audit (position, occurred_at, actor, actor_name, method, action, outcome, cause, \
    cluster_id, object, address, request_id, details, previous, hash) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const SET_END: &str = "INSERT INTO audit_ends (which, position, hash) VALUES (?1, ?2, ?3) \
    ON CONFLICT (which) DO UPDATE SET position = excluded.position, hash = excluded.hash";

/// Appends entries to the chain, in the transaction of what they tell of.
pub(super) async fn append(writer: &mut SqliteConnection, entries: &[AuditEntry]) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut last = sqlx::query(LAST).fetch_optional(&mut *writer).await?.as_ref().map_or(Ok(AuditLink::START), link)?;
    for entry in entries {
        let row = last.next(entry.clone());
        last = row.link();
        insert(writer, &row).await?;
    }
    set_end(writer, "head", &last).await
}

async fn insert(writer: &mut SqliteConnection, row: &AuditRow) -> Result<(), Failure> {
    let entry = &row.entry;
    sqlx::query(INSERT)
        .bind(row.position)
        .bind(entry.at.timestamp_micros())
        .bind(&entry.actor)
        .bind(&entry.actor_name)
        .bind(&*entry.method)
        .bind(&*entry.action)
        .bind(&*entry.outcome)
        .bind(&entry.cause)
        .bind(&entry.cluster_id)
        .bind(&entry.object)
        .bind(&entry.address)
        .bind(&entry.request_id)
        .bind(&entry.details)
        .bind(row.previous.as_slice())
        .bind(row.hash.as_slice())
        .execute(writer)
        .await?;
    Ok(())
}

async fn set_end(writer: &mut SqliteConnection, which: &str, link: &AuditLink) -> Result<(), Failure> {
    sqlx::query(SET_END).bind(which).bind(link.position).bind(link.hash.as_slice()).execute(writer).await?;
    Ok(())
}

/// The two statements differ in their order only.
macro_rules! filtered {
    ($order:literal) => {
        concat!(
            "SELECT * FROM audit WHERE position > ?1 AND position < ?2 AND (?3 IS NULL OR actor = ?3) \
             AND (?4 IS NULL OR action = ?4) AND (?5 IS NULL OR outcome = ?5) AND (?6 IS NULL OR cluster_id = ?6) \
             AND (?7 IS NULL OR request_id = ?7) AND (?8 IS NULL OR occurred_at >= ?8) \
             AND (?9 IS NULL OR occurred_at < ?9) ORDER BY position ",
            $order,
            " LIMIT ?10"
        )
    };
}
const OLDEST_FIRST: &str = filtered!("ASC");
const NEWEST_FIRST: &str = filtered!("DESC");

pub(super) async fn filtered(readers: &SqlitePool, filter: &AuditFilter) -> Result<Vec<AuditRow>, Failure> {
    let statement = match filter.order {
        AuditOrder::OldestFirst => OLDEST_FIRST,
        AuditOrder::NewestFirst => NEWEST_FIRST,
    };
    let rows = sqlx::query(statement)
        .bind(filter.after.unwrap_or(i64::MIN))
        .bind(filter.before.unwrap_or(i64::MAX))
        .bind(&filter.actor)
        .bind(&filter.action)
        .bind(filter.outcome.map(|outcome| outcome.as_str()))
        .bind(filter.cluster_id.map(|id| id.to_string()))
        .bind(&filter.request_id)
        .bind(filter.from.map(|at| at.timestamp_micros()))
        .bind(filter.to.map(|at| at.timestamp_micros()))
        .bind(filter.limit)
        .fetch_all(readers)
        .await?;
    rows.iter().map(row).collect()
}

// In one statement: the two belong to one moment.
const ENDS: &str = "SELECT which, position, hash FROM audit_ends";

pub(super) async fn ends(readers: &SqlitePool) -> Result<AuditEnds, Failure> {
    let mut ends = AuditEnds { anchor: None, head: None };
    for row in sqlx::query(ENDS).fetch_all(readers).await? {
        match row.try_get("which")? {
            "anchor" => ends.anchor = Some(link(&row)?),
            _ => ends.head = Some(link(&row)?),
        }
    }
    Ok(ends)
}

const FIRST: &str = "SELECT min(position) FROM audit";
const FIRST_KEPT: &str = "SELECT position FROM audit WHERE occurred_at >= ?1 ORDER BY position LIMIT 1";
const LAST_GONE: &str = "SELECT position, hash FROM audit WHERE position < ?1 ORDER BY position DESC LIMIT 1";
const REMOVE: &str = "DELETE FROM audit WHERE position <= ?1";

/// Removes rows from the chain's beginning, and tells so at its end.
pub(super) async fn prune(
    writer: &mut SqliteConnection,
    before: DateTime<Utc>,
    batch: u32,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    let first: Option<i64> = sqlx::query_scalar(FIRST).fetch_one(&mut *writer).await?;
    let kept = sqlx::query_scalar(FIRST_KEPT).bind(before.timestamp_micros()).fetch_optional(&mut *writer).await?;
    let Some(first) = first else { return Ok(0) };
    let bound = first.saturating_add(i64::from(batch)).min(kept.unwrap_or(i64::MAX));
    let last = sqlx::query(LAST_GONE).bind(bound).fetch_optional(&mut *writer).await?;
    let Some(last) = last.as_ref().map(link).transpose()? else { return Ok(0) };
    let gone = sqlx::query(REMOVE).bind(last.position).execute(&mut *writer).await?.rows_affected();
    append(writer, &[AuditEntry::pruned(now, &last, gone)]).await?;
    set_end(writer, "anchor", &last).await?;
    Ok(gone)
}

fn link(row: &SqliteRow) -> Result<AuditLink, Failure> {
    Ok(AuditLink::stored(row.try_get("position")?, row.try_get("hash")?))
}

fn row(row: &SqliteRow) -> Result<AuditRow, Failure> {
    let text = |column| row.try_get::<String, _>(column);
    let entry = AuditEntry {
        // A time that is none was not written by us: the row's hash will not fit whatever stands here.
        at: DateTime::from_timestamp_micros(row.try_get("occurred_at")?).unwrap_or_default(),
        actor: text("actor")?,
        actor_name: row.try_get("actor_name")?,
        method: text("method")?.into(),
        action: text("action")?.into(),
        outcome: text("outcome")?.into(),
        cause: row.try_get("cause")?,
        cluster_id: row.try_get("cluster_id")?,
        object: row.try_get("object")?,
        address: row.try_get("address")?,
        request_id: row.try_get("request_id")?,
        details: text("details")?,
    };
    let hash = |column| row.try_get::<&[u8], _>(column).map(stored_hash);
    Ok(AuditRow { position: row.try_get("position")?, entry, previous: hash("previous")?, hash: hash("hash")? })
}
