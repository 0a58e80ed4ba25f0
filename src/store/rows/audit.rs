//! The audit log: a chain of rows, with its ends noted apart.

use chrono::{DateTime, Utc};

use crate::store::{
    audit::{AuditEntry, AuditLink, AuditRow, stored_hash},
    audit_log::{AuditEnds, AuditFilter, AuditOrder},
    bulk::Bulk,
    failure::Failure,
    statement::{Connection, Row, statement},
};

// The newest row counts, too: whatever somebody wrote into the table of ends, the log goes on.
const LAST: &str = "SELECT position, hash FROM (SELECT position, hash FROM audit_ends WHERE which = 'head' \
    UNION ALL SELECT * FROM (SELECT position, hash FROM audit ORDER BY position DESC LIMIT 1) AS newest) AS last \
    ORDER BY position DESC LIMIT 1";
const SET_END: &str = "INSERT INTO audit_ends (which, position, hash) VALUES ($1, $2, $3) \
    ON CONFLICT (which) DO UPDATE SET position = excluded.position, hash = excluded.hash";

/// Appends entries to the chain, in the transaction of what they tell of. Last of all, for its lock is everybody's.
pub(in crate::store) async fn append(connection: &mut impl Bulk, entries: &[AuditEntry]) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    connection.hold_audit().await?;
    let mut last = statement(LAST).fetch_optional(connection, link).await?.unwrap_or(AuditLink::START);
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let row = last.next(entry.clone());
        last = row.link();
        rows.push(row);
    }
    connection.insert_audit(rows).await?;
    set_end(connection, "head", &last).await
}

async fn set_end(connection: &mut impl Connection, which: &'static str, link: &AuditLink) -> Result<(), Failure> {
    statement(SET_END).bind(which).bind(link.position).bind(&link.hash).execute(connection).await?;
    Ok(())
}

/// The two statements differ in their order only.
macro_rules! filtered {
    ($order:literal) => {
        concat!(
            "SELECT * FROM audit WHERE position > $1 AND position < $2 AND (actor = $3 OR $3 IS NULL) \
             AND (action = $4 OR $4 IS NULL) AND (outcome = $5 OR $5 IS NULL) AND (cluster_id = $6 OR $6 IS NULL) \
             AND (request_id = $7 OR $7 IS NULL) AND (occurred_at >= $8 OR $8 IS NULL) \
             AND (occurred_at < $9 OR $9 IS NULL) ORDER BY position ",
            $order,
            " LIMIT $10"
        )
    };
}
const OLDEST_FIRST: &str = filtered!("ASC");
const NEWEST_FIRST: &str = filtered!("DESC");

pub(in crate::store) async fn filtered(
    connection: &mut impl Connection,
    filter: &AuditFilter,
) -> Result<Vec<AuditRow>, Failure> {
    let text = match filter.order {
        AuditOrder::OldestFirst => OLDEST_FIRST,
        AuditOrder::NewestFirst => NEWEST_FIRST,
    };
    let cluster_id = filter.cluster_id.map(|id| id.to_string());
    statement(text)
        .bind(filter.after.unwrap_or(i64::MIN))
        .bind(filter.before.unwrap_or(i64::MAX))
        .bind(&filter.actor)
        .bind(&filter.action)
        .bind(filter.outcome.map(|outcome| outcome.as_str()))
        .bind(&cluster_id)
        .bind(&filter.request_id)
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.limit)
        .fetch_all(connection, row)
        .await
}

// In one statement: the two belong to one moment.
const ENDS: &str = "SELECT which, position, hash FROM audit_ends";

pub(in crate::store) async fn ends(connection: &mut impl Connection) -> Result<AuditEnds, Failure> {
    let mut ends = AuditEnds { anchor: None, head: None };
    let noted = statement(ENDS).fetch_all(connection, |row| Ok((row.plain::<&str>("which")? == "anchor", link(row)?)));
    for (is_anchor, link) in noted.await? {
        let end = if is_anchor { &mut ends.anchor } else { &mut ends.head };
        *end = Some(link);
    }
    Ok(ends)
}

const FIRST: &str = "SELECT position FROM audit ORDER BY position LIMIT 1";
const FIRST_KEPT: &str = "SELECT position FROM audit WHERE occurred_at >= $1 ORDER BY position LIMIT 1";
const LAST_GONE: &str = "SELECT position, hash FROM audit WHERE position < $1 ORDER BY position DESC LIMIT 1";
const REMOVE: &str = "DELETE FROM audit WHERE position <= $1";

/// Removes rows from the chain's beginning, and tells so at its end.
pub(in crate::store) async fn prune(
    connection: &mut impl Bulk,
    before: DateTime<Utc>,
    batch: u32,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    connection.hold_audit().await?;
    let first: Option<i64> = statement(FIRST).fetch_optional(connection, |row| row.get("position")).await?;
    let kept = statement(FIRST_KEPT).bind(before).fetch_optional(connection, |row| row.get("position")).await?;
    let Some(first) = first else { return Ok(0) };
    let bound = first.saturating_add(i64::from(batch)).min(kept.unwrap_or(i64::MAX));
    let Some(last) = statement(LAST_GONE).bind(bound).fetch_optional(connection, link).await? else { return Ok(0) };
    let gone = statement(REMOVE).bind(last.position).execute(connection).await?;
    append(connection, &[AuditEntry::pruned(now, &last, gone)]).await?;
    set_end(connection, "anchor", &last).await?;
    Ok(gone)
}

fn link(row: &impl Row) -> Result<AuditLink, Failure> {
    Ok(AuditLink::stored(row.get("position")?, row.plain("hash")?))
}

fn row(row: &impl Row) -> Result<AuditRow, Failure> {
    let text = |column| row.get::<String>(column);
    let entry = AuditEntry {
        at: row.get("occurred_at").or_else(moment_of_others)?,
        actor: text("actor")?,
        actor_name: row.get("actor_name")?,
        method: text("method")?.into(),
        action: text("action")?.into(),
        outcome: text("outcome")?.into(),
        cause: row.get("cause")?,
        cluster_id: row.get("cluster_id")?,
        object: row.get("object")?,
        address: row.get("address")?,
        request_id: row.get("request_id")?,
        details: text("details")?,
    };
    let hash = |column| row.plain::<&[u8]>(column).map(stored_hash);
    Ok(AuditRow { position: row.get("position")?, entry, previous: hash("previous")?, hash: hash("hash")? })
}

/// A time that is none was not written by us: the row's hash will not fit whatever stands here.
fn moment_of_others(failure: Failure) -> Result<DateTime<Utc>, Failure> {
    match failure {
        Failure::Store(_) => Ok(DateTime::default()),
        Failure::Sql(_) => Err(failure),
    }
}
