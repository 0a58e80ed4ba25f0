//! The history in SQLite: transitions, rollups and gaps, read and pruned.

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    health::Evidence,
    roll::ClusterId,
    rollup::{Rollup, WINDOW_SECONDS},
};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow, types::Json};

use super::{moment, uuid_of};
use crate::store::{
    contract::{Gap, Retention, StoredTransition},
    failure::{Failure, number, word},
};

type Window = (DateTime<Utc>, DateTime<Utc>);

const TRANSITIONS: &str = "SELECT * FROM transitions WHERE cluster_id = ?1 AND occurred_at >= ?2 AND occurred_at < ?3 \
    ORDER BY occurred_at DESC, event_id DESC LIMIT ?4";

pub(super) async fn transitions(
    readers: &SqlitePool,
    id: ClusterId,
    (from, to): Window,
    limit: u32,
) -> Result<Vec<StoredTransition>, Failure> {
    let rows = sqlx::query(TRANSITIONS)
        .bind(id.to_string())
        .bind(from.timestamp_micros())
        .bind(to.timestamp_micros())
        .bind(limit)
        .fetch_all(readers)
        .await?;
    rows.iter().map(transition).collect()
}

const TRANSITION_BEFORE: &str = "SELECT * FROM transitions WHERE cluster_id = ?1 AND occurred_at < ?2 \
    ORDER BY occurred_at DESC, event_id DESC LIMIT 1";

pub(super) async fn transition_before(
    readers: &SqlitePool,
    id: ClusterId,
    at: DateTime<Utc>,
) -> Result<Option<StoredTransition>, Failure> {
    let query = sqlx::query(TRANSITION_BEFORE).bind(id.to_string()).bind(at.timestamp_micros());
    query.fetch_optional(readers).await?.as_ref().map(transition).transpose()
}

const ROLLUPS: &str = "SELECT * FROM rollups WHERE cluster_id = ?1 AND started_at >= ?2 AND started_at < ?3 \
    ORDER BY started_at, run";

pub(super) async fn rollups(readers: &SqlitePool, id: ClusterId, (from, to): Window) -> Result<Vec<Rollup>, Failure> {
    let query = sqlx::query(ROLLUPS).bind(id.to_string()).bind(from.timestamp_micros()).bind(to.timestamp_micros());
    query.fetch_all(readers).await?.iter().map(rollup).collect()
}

const GAPS: &str = "SELECT * FROM gaps WHERE cluster_id IN (?1, ?2) AND ended_at > ?3 AND started_at < ?4 \
    ORDER BY started_at, ended_at";

pub(super) async fn gaps(readers: &SqlitePool, id: ClusterId, (from, to): Window) -> Result<Vec<Gap>, Failure> {
    let query = sqlx::query(GAPS)
        .bind(id.to_string())
        .bind(ClusterId::FLEET.to_string())
        .bind(from.timestamp_micros())
        .bind(to.timestamp_micros());
    query.fetch_all(readers).await?.iter().map(gap).collect()
}

const PRUNE_ROLLUPS: &str = "DELETE FROM rollups WHERE (cluster_id, started_at, run) IN \
    (SELECT cluster_id, started_at, run FROM rollups WHERE started_at <= ?1 ORDER BY started_at LIMIT ?2)";
const PRUNE_GAPS: &str = "DELETE FROM gaps WHERE (cluster_id, started_at, ended_at, reason) IN \
    (SELECT cluster_id, started_at, ended_at, reason FROM gaps WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2)";
const PRUNE_TRANSITIONS: &str = "DELETE FROM transitions WHERE event_id IN \
    (SELECT event_id FROM transitions WHERE occurred_at < ?1 ORDER BY occurred_at LIMIT ?2)";
const PRUNE_EVENTS: &str =
    "DELETE FROM events WHERE position IN (SELECT position FROM events WHERE position < ?1 ORDER BY position LIMIT ?2)";

/// One round of the janitor.
pub(super) async fn prune(writer: &mut SqliteConnection, retention: &Retention) -> Result<u64, Failure> {
    let last_rollup = retention.checks_before - TimeDelta::seconds(WINDOW_SECONDS);
    let rounds = [
        (PRUNE_ROLLUPS, last_rollup),
        (PRUNE_GAPS, retention.checks_before),
        (PRUNE_TRANSITIONS, retention.transitions_before),
        (PRUNE_EVENTS, retention.events_before),
    ];
    let mut removed = 0;
    for (statement, before) in rounds {
        let query = sqlx::query(statement).bind(before.timestamp_micros()).bind(retention.batch);
        removed += query.execute(&mut *writer).await?.rows_affected();
    }
    Ok(removed)
}

fn transition(row: &SqliteRow) -> Result<StoredTransition, Failure> {
    Ok(StoredTransition {
        event_id: uuid_of(row, "event_id")?,
        old_state: word(row.try_get("old_state")?, "state")?,
        new_state: word(row.try_get("new_state")?, "state")?,
        at: moment(row, "occurred_at")?,
        reason: row.try_get("reason")?,
        message: row.try_get("message")?,
        health_score: number(row.try_get("health_score")?, "score")?,
        evidence: row.try_get::<Json<Evidence>, _>("evidence")?.0,
    })
}

fn rollup(row: &SqliteRow) -> Result<Rollup, Failure> {
    let count = |column| number(row.try_get(column)?, "rollup");
    Ok(Rollup {
        cluster_id: ClusterId(uuid_of(row, "cluster_id")?),
        start: moment(row, "started_at")?,
        run: row.try_get("run")?,
        checks: count("checks")?,
        failures: count("failures")?,
        latency_min_ms: count("latency_min_ms")?,
        latency_mean_ms: row.try_get("latency_mean_ms")?,
        latency_max_ms: count("latency_max_ms")?,
        latency_p95_ms: count("latency_p95_ms")?,
    })
}

fn gap(row: &SqliteRow) -> Result<Gap, Failure> {
    Ok(Gap {
        cluster_id: ClusterId(uuid_of(row, "cluster_id")?),
        from: moment(row, "started_at")?,
        to: moment(row, "ended_at")?,
        reason: row.try_get("reason")?,
    })
}
