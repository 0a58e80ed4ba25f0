//! The history: transitions, rollups and gaps, read and pruned.

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    roll::ClusterId,
    rollup::{Rollup, WINDOW_SECONDS},
};

use crate::store::{
    contract::{Gap, Retention, StoredTransition},
    failure::Failure,
    statement::{Connection, Row, Text, statement},
};

type Window = (DateTime<Utc>, DateTime<Utc>);

const TRANSITIONS: &str = "SELECT * FROM transitions WHERE cluster_id = $1 AND occurred_at >= $2 AND occurred_at < $3 \
    ORDER BY occurred_at DESC, event_id DESC LIMIT $4";

pub(in crate::store) async fn transitions(
    connection: &mut impl Connection,
    id: ClusterId,
    (from, to): Window,
    limit: u32,
) -> Result<Vec<StoredTransition>, Failure> {
    let statement = statement(TRANSITIONS).bind(id).bind(from).bind(to).bind(limit);
    statement.fetch_all(connection, transition).await
}

const TRANSITION_BEFORE: &str = "SELECT * FROM transitions WHERE cluster_id = $1 AND occurred_at < $2 \
    ORDER BY occurred_at DESC, event_id DESC LIMIT 1";

pub(in crate::store) async fn transition_before(
    connection: &mut impl Connection,
    id: ClusterId,
    at: DateTime<Utc>,
) -> Result<Option<StoredTransition>, Failure> {
    statement(TRANSITION_BEFORE).bind(id).bind(at).fetch_optional(connection, transition).await
}

const ROLLUPS: &str = "SELECT * FROM rollups WHERE cluster_id = $1 AND started_at >= $2 AND started_at < $3 \
    ORDER BY started_at, run";

pub(in crate::store) async fn rollups(
    connection: &mut impl Connection,
    id: ClusterId,
    (from, to): Window,
) -> Result<Vec<Rollup>, Failure> {
    statement(ROLLUPS).bind(id).bind(from).bind(to).fetch_all(connection, rollup).await
}

const GAPS: &str = "SELECT * FROM gaps WHERE cluster_id IN ($1, $2) AND ended_at > $3 AND started_at < $4 \
    ORDER BY started_at, ended_at";

pub(in crate::store) async fn gaps(
    connection: &mut impl Connection,
    id: ClusterId,
    (from, to): Window,
) -> Result<Vec<Gap>, Failure> {
    statement(GAPS).bind(id).bind(ClusterId::FLEET).bind(from).bind(to).fetch_all(connection, gap).await
}

const PRUNE_ROLLUPS: Text = Text {
    postgres: "DELETE FROM rollups WHERE ctid = ANY (ARRAY(SELECT ctid FROM rollups WHERE started_at <= $1 LIMIT $2))",
    sqlite: "DELETE FROM rollups WHERE (cluster_id, started_at, run) IN \
        (SELECT cluster_id, started_at, run FROM rollups WHERE started_at <= $1 ORDER BY started_at LIMIT $2)",
};
const PRUNE_GAPS: Text = Text {
    postgres: "DELETE FROM gaps WHERE ctid = ANY (ARRAY(SELECT ctid FROM gaps WHERE ended_at < $1 LIMIT $2))",
    sqlite: "DELETE FROM gaps WHERE (cluster_id, started_at, ended_at, reason) IN \
        (SELECT cluster_id, started_at, ended_at, reason FROM gaps WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)",
};
const PRUNE_TRANSITIONS: Text = Text {
    postgres: "DELETE FROM transitions WHERE ctid = ANY (ARRAY(\
        SELECT ctid FROM transitions WHERE occurred_at < $1 LIMIT $2))",
    sqlite: "DELETE FROM transitions WHERE event_id IN \
        (SELECT event_id FROM transitions WHERE occurred_at < $1 ORDER BY occurred_at LIMIT $2)",
};
const PRUNE_EVENTS: Text = Text {
    postgres: "DELETE FROM events WHERE ctid = ANY (ARRAY(\
        SELECT ctid FROM events WHERE position < $1 ORDER BY position LIMIT $2))",
    sqlite: "DELETE FROM events WHERE position IN \
        (SELECT position FROM events WHERE position < $1 ORDER BY position LIMIT $2)",
};

/// One round of the janitor.
pub(in crate::store) async fn prune(connection: &mut impl Connection, retention: &Retention) -> Result<u64, Failure> {
    let last_rollup = retention.checks_before - TimeDelta::seconds(WINDOW_SECONDS);
    let statements = [
        statement(PRUNE_ROLLUPS).bind(last_rollup),
        statement(PRUNE_GAPS).bind(retention.checks_before),
        statement(PRUNE_TRANSITIONS).bind(retention.transitions_before),
        statement(PRUNE_EVENTS).bind(retention.events_before.timestamp_micros()),
    ];
    let mut removed = 0;
    for statement in statements {
        removed += statement.bind(retention.batch).execute(connection).await?;
    }
    Ok(removed)
}

const INSERT_GAP: &str =
    "INSERT INTO gaps (cluster_id, started_at, ended_at, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

pub(in crate::store) async fn insert_gaps(connection: &mut impl Connection, gaps: &[Gap]) -> Result<(), Failure> {
    for gap in gaps {
        let insert = statement(INSERT_GAP).bind(gap.cluster_id).bind(gap.from).bind(gap.to).bind(&gap.reason);
        insert.execute(connection).await?;
    }
    Ok(())
}

fn transition(row: &impl Row) -> Result<StoredTransition, Failure> {
    Ok(StoredTransition {
        event_id: row.get("event_id")?,
        old_state: row.word("old_state", "state")?,
        new_state: row.word("new_state", "state")?,
        at: row.get("occurred_at")?,
        reason: row.get("reason")?,
        message: row.get("message")?,
        health_score: row.get("health_score")?,
        evidence: row.json("evidence")?,
    })
}

fn rollup(row: &impl Row) -> Result<Rollup, Failure> {
    Ok(Rollup {
        cluster_id: row.get("cluster_id")?,
        start: row.get("started_at")?,
        run: row.get("run")?,
        checks: row.number("checks", "rollup")?,
        failures: row.number("failures", "rollup")?,
        latency_min_ms: row.number("latency_min_ms", "rollup")?,
        latency_mean_ms: row.get("latency_mean_ms")?,
        latency_max_ms: row.number("latency_max_ms", "rollup")?,
        latency_p95_ms: row.number("latency_p95_ms", "rollup")?,
    })
}

fn gap(row: &impl Row) -> Result<Gap, Failure> {
    Ok(Gap {
        cluster_id: row.get("cluster_id")?,
        from: row.get("started_at")?,
        to: row.get("ended_at")?,
        reason: row.get("reason")?,
    })
}
