//! The audit log in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::columns::columns;
use crate::store::{
    audit::{AuditEntry, AuditLink, AuditRow, stored_hash},
    contract::{AuditEnds, AuditFilter, AuditOrder},
    failure::Failure,
};

/// Rows per statement.
const CHUNK: usize = 1_000;

columns! {
    /// Rows by column.
    Rows {
        position: i64,
        occurred_at: DateTime<Utc>,
        actor: String,
        actor_name: Option<String>,
        method: String,
        action: String,
        outcome: String,
        cause: Option<String>,
        cluster_id: Option<String>,
        object: Option<String>,
        address: Option<String>,
        request_id: Option<String>,
        details: String,
        previous: Vec<u8>,
        hash: Vec<u8>,
    }
}

impl Rows {
    fn push(&mut self, row: AuditRow) {
        let AuditRow { position, entry, previous, hash } = row;
        self.position.push(position);
        self.occurred_at.push(entry.at);
        self.actor.push(entry.actor);
        self.actor_name.push(entry.actor_name);
        self.method.push(entry.method.into_owned());
        self.action.push(entry.action.into_owned());
        self.outcome.push(entry.outcome.into_owned());
        self.cause.push(entry.cause);
        self.cluster_id.push(entry.cluster_id);
        self.object.push(entry.object);
        self.address.push(entry.address);
        self.request_id.push(entry.request_id);
        self.details.push(entry.details);
        self.previous.push(previous.to_vec());
        self.hash.push(hash.to_vec());
    }
}

// One writer of the chain at a time, until the end of its transaction: "audit" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(418581342580)";
// The newest row counts, too: whatever somebody wrote into the table of ends, the log goes on.
const LAST: &str = "SELECT position, hash FROM (SELECT position, hash FROM clusters.audit_ends WHERE which = 'head' \
    UNION ALL (SELECT position, hash FROM clusters.audit ORDER BY position DESC LIMIT 1)) AS last \
    ORDER BY position DESC LIMIT 1";
const INSERT: &str = "INSERT INTO clusters.audit (position, occurred_at, actor, actor_name, method, action, outcome, \
    cause, cluster_id, object, address, request_id, details, previous, hash) \
    SELECT * FROM UNNEST($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
    $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[])";
const SET_END: &str = "INSERT INTO clusters.audit_ends (which, position, hash) VALUES ($1, $2, $3) \
    ON CONFLICT (which) DO UPDATE SET position = excluded.position, hash = excluded.hash";

/// Appends entries to the chain, in the transaction of what they tell of. Last of all, for its lock is everybody's.
pub(super) async fn append(connection: &mut PgConnection, entries: &[AuditEntry]) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let last = sqlx::query(LAST).fetch_optional(&mut *connection).await?;
    let mut last = last.as_ref().map_or(Ok(AuditLink::START), link)?;
    for chunk in entries.chunks(CHUNK) {
        let mut rows = Rows::default();
        for entry in chunk {
            let row = last.next(entry.clone());
            last = row.link();
            rows.push(row);
        }
        rows.bind(sqlx::query(INSERT)).execute(&mut *connection).await?;
    }
    set_end(connection, "head", &last).await
}

async fn set_end(connection: &mut PgConnection, which: &str, link: &AuditLink) -> Result<(), Failure> {
    sqlx::query(SET_END).bind(which).bind(link.position).bind(link.hash.as_slice()).execute(connection).await?;
    Ok(())
}

/// The two statements differ in their order only.
macro_rules! filtered {
    ($order:literal) => {
        concat!(
            "SELECT * FROM clusters.audit WHERE position > $1 AND position < $2 AND ($3::text IS NULL OR actor = $3) \
             AND ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR outcome = $5) \
             AND ($6::text IS NULL OR cluster_id = $6) AND ($7::text IS NULL OR request_id = $7) \
             AND ($8::timestamptz IS NULL OR occurred_at >= $8) AND ($9::timestamptz IS NULL OR occurred_at < $9) \
             ORDER BY position ",
            $order,
            " LIMIT $10"
        )
    };
}
const OLDEST_FIRST: &str = filtered!("ASC");
const NEWEST_FIRST: &str = filtered!("DESC");

pub(super) async fn filtered(connection: &mut PgConnection, filter: &AuditFilter) -> Result<Vec<AuditRow>, Failure> {
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
        .bind(filter.from)
        .bind(filter.to)
        .bind(i64::from(filter.limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(row).collect()
}

// In one statement: the two belong to one moment.
const ENDS: &str = "SELECT which, position, hash FROM clusters.audit_ends";

pub(super) async fn ends(connection: &mut PgConnection) -> Result<AuditEnds, Failure> {
    let mut ends = AuditEnds { anchor: None, head: None };
    for row in sqlx::query(ENDS).fetch_all(connection).await? {
        match row.try_get("which")? {
            "anchor" => ends.anchor = Some(link(&row)?),
            _ => ends.head = Some(link(&row)?),
        }
    }
    Ok(ends)
}

const FIRST: &str = "SELECT min(position) FROM clusters.audit";
const FIRST_KEPT: &str = "SELECT position FROM clusters.audit WHERE occurred_at >= $1 ORDER BY position LIMIT 1";
const LAST_GONE: &str = "SELECT position, hash FROM clusters.audit WHERE position < $1 ORDER BY position DESC LIMIT 1";
const REMOVE: &str = "DELETE FROM clusters.audit WHERE position <= $1";

/// Removes rows from the chain's beginning, and tells so at its end.
pub(super) async fn prune(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    batch: u32,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let first: Option<i64> = sqlx::query_scalar(FIRST).fetch_one(&mut *connection).await?;
    let kept = sqlx::query_scalar(FIRST_KEPT).bind(before).fetch_optional(&mut *connection).await?;
    let Some(first) = first else { return Ok(0) };
    let bound = first.saturating_add(i64::from(batch)).min(kept.unwrap_or(i64::MAX));
    let last = sqlx::query(LAST_GONE).bind(bound).fetch_optional(&mut *connection).await?;
    let Some(last) = last.as_ref().map(link).transpose()? else { return Ok(0) };
    let gone = sqlx::query(REMOVE).bind(last.position).execute(&mut *connection).await?.rows_affected();
    append(connection, &[AuditEntry::pruned(now, &last, gone)]).await?;
    set_end(connection, "anchor", &last).await?;
    Ok(gone)
}

fn link(row: &PgRow) -> Result<AuditLink, Failure> {
    Ok(AuditLink::stored(row.try_get("position")?, row.try_get("hash")?))
}

fn row(row: &PgRow) -> Result<AuditRow, Failure> {
    let text = |column| row.try_get::<String, _>(column);
    let entry = AuditEntry {
        at: row.try_get("occurred_at")?,
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
