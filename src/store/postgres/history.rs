//! The history in PostgreSQL: transitions, rollups and gaps, read and pruned.

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    health::Evidence,
    roll::ClusterId,
    rollup::{Rollup, WINDOW_SECONDS},
};
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};

use crate::store::{
    contract::{Gap, Retention, StoredTransition},
    failure::{Failure, number, word},
};

type Window = (DateTime<Utc>, DateTime<Utc>);

const TRANSITIONS: &str = "SELECT * FROM clusters.transitions WHERE cluster_id = $1 AND occurred_at >= $2 \
    AND occurred_at < $3 ORDER BY occurred_at DESC, event_id DESC LIMIT $4";

pub(super) async fn transitions(
    connection: &mut PgConnection,
    id: ClusterId,
    (from, to): Window,
    limit: u32,
) -> Result<Vec<StoredTransition>, Failure> {
    let rows =
        sqlx::query(TRANSITIONS).bind(id.0).bind(from).bind(to).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.iter().map(transition).collect()
}

const TRANSITION_BEFORE: &str = "SELECT * FROM clusters.transitions WHERE cluster_id = $1 AND occurred_at < $2 \
    ORDER BY occurred_at DESC, event_id DESC LIMIT 1";

pub(super) async fn transition_before(
    connection: &mut PgConnection,
    id: ClusterId,
    at: DateTime<Utc>,
) -> Result<Option<StoredTransition>, Failure> {
    let query = sqlx::query(TRANSITION_BEFORE).bind(id.0).bind(at);
    query.fetch_optional(connection).await?.as_ref().map(transition).transpose()
}

const ROLLUPS: &str = "SELECT * FROM clusters.rollups WHERE cluster_id = $1 AND started_at >= $2 AND started_at < $3 \
    ORDER BY started_at, run";

pub(super) async fn rollups(
    connection: &mut PgConnection,
    id: ClusterId,
    (from, to): Window,
) -> Result<Vec<Rollup>, Failure> {
    let query = sqlx::query(ROLLUPS).bind(id.0).bind(from).bind(to);
    query.fetch_all(connection).await?.iter().map(rollup).collect()
}

const GAPS: &str = "SELECT * FROM clusters.gaps WHERE cluster_id IN ($1, $2) AND ended_at > $3 AND started_at < $4 \
    ORDER BY started_at, ended_at";

pub(super) async fn gaps(
    connection: &mut PgConnection,
    id: ClusterId,
    (from, to): Window,
) -> Result<Vec<Gap>, Failure> {
    let query = sqlx::query(GAPS).bind(id.0).bind(ClusterId::FLEET.0).bind(from).bind(to);
    query.fetch_all(connection).await?.iter().map(gap).collect()
}

const PRUNE_ROLLUPS: &str = "DELETE FROM clusters.rollups WHERE ctid = ANY (ARRAY(SELECT ctid FROM clusters.rollups \
    WHERE started_at <= $1 LIMIT $2))";
const PRUNE_GAPS: &str = "DELETE FROM clusters.gaps WHERE ctid = ANY (ARRAY(SELECT ctid FROM clusters.gaps \
    WHERE ended_at < $1 LIMIT $2))";
const PRUNE_TRANSITIONS: &str = "DELETE FROM clusters.transitions WHERE ctid = ANY (ARRAY(\
    SELECT ctid FROM clusters.transitions WHERE occurred_at < $1 LIMIT $2))";
const PRUNE_EVENTS: &str = "DELETE FROM clusters.events WHERE ctid = ANY (ARRAY(SELECT ctid FROM clusters.events \
    WHERE position < $1 ORDER BY position LIMIT $2))";

/// One round of the janitor, every statement for itself.
pub(super) async fn prune(connection: &mut PgConnection, retention: &Retention) -> Result<u64, Failure> {
    let last_rollup = retention.checks_before - TimeDelta::seconds(WINDOW_SECONDS);
    let batch = i64::from(retention.batch);
    let statements = [
        sqlx::query(PRUNE_ROLLUPS).bind(last_rollup),
        sqlx::query(PRUNE_GAPS).bind(retention.checks_before),
        sqlx::query(PRUNE_TRANSITIONS).bind(retention.transitions_before),
        sqlx::query(PRUNE_EVENTS).bind(retention.events_before.timestamp_micros()),
    ];
    let mut removed = 0;
    for statement in statements {
        removed += statement.bind(batch).execute(&mut *connection).await?.rows_affected();
    }
    Ok(removed)
}

fn transition(row: &PgRow) -> Result<StoredTransition, Failure> {
    Ok(StoredTransition {
        event_id: row.try_get("event_id")?,
        old_state: word(row.try_get("old_state")?, "state")?,
        new_state: word(row.try_get("new_state")?, "state")?,
        at: row.try_get("occurred_at")?,
        reason: row.try_get("reason")?,
        message: row.try_get("message")?,
        health_score: number(row.try_get::<i16, _>("health_score")?.into(), "score")?,
        evidence: row.try_get::<Json<Evidence>, _>("evidence")?.0,
    })
}

fn rollup(row: &PgRow) -> Result<Rollup, Failure> {
    let count = |column| number(row.try_get(column)?, "rollup");
    Ok(Rollup {
        cluster_id: ClusterId(row.try_get("cluster_id")?),
        start: row.try_get("started_at")?,
        run: row.try_get("run")?,
        checks: count("checks")?,
        failures: count("failures")?,
        latency_min_ms: count("latency_min_ms")?,
        latency_mean_ms: row.try_get("latency_mean_ms")?,
        latency_max_ms: count("latency_max_ms")?,
        latency_p95_ms: count("latency_p95_ms")?,
    })
}

fn gap(row: &PgRow) -> Result<Gap, Failure> {
    Ok(Gap {
        cluster_id: ClusterId(row.try_get("cluster_id")?),
        from: row.try_get("started_at")?,
        to: row.try_get("ended_at")?,
        reason: row.try_get("reason")?,
    })
}
