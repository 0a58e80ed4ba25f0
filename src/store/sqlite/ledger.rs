//! Statuses, transitions and rollups, written to SQLite.

use std::sync::Arc;

use fleetbeat_actors::{
    health::{Status, Transition},
    roll::ClusterId,
    rollup::Rollup,
};
use serde_json::json;
use sqlx::{SqliteConnection, types::Json};

use crate::store::{
    bulk::BulkLedger,
    failure::{Failure, json},
    newest::{newest_rollups, newest_statuses},
};

/// Rows per statement.
const CHUNK: usize = 1_000;

const UPDATE_STATUSES: &str = "UPDATE cluster_status SET version = n.value ->> 1, state = n.value ->> 2, \
    since = n.value ->> 3, health_score = n.value ->> 4, connected = n.value ->> 5, flapping = n.value ->> 6, \
    held = n.value ->> 7, last_check_at = n.value ->> 8, last_success_at = n.value ->> 9, \
    latency_ms = n.value ->> 10, observed_generation = n.value ->> 11, findings = n.value ->> 12, \
    memory = n.value ->> 13 \
    FROM jsonb_each(?1) AS n WHERE cluster_id = n.value ->> 0 AND version < n.value ->> 1";

const INSERT_TRANSITION: &str = "INSERT INTO transitions (event_id, cluster_id, old_state, new_state, occurred_at, \
    reason, message, health_score, evidence) SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM clusters WHERE id = ?2 \
    ON CONFLICT (event_id) DO NOTHING";

// `WHERE true` tells the parser that ON belongs to the conflict and not to the join.
const UPSERT_ROLLUPS: &str = "INSERT INTO rollups (cluster_id, started_at, run, checks, failures, latency_min_ms, \
    latency_mean_ms, latency_max_ms, latency_p95_ms) \
    SELECT c.id, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5, n.value ->> 6, \
    n.value ->> 7, n.value ->> 8 FROM jsonb_each(?1) AS n CROSS JOIN clusters AS c ON c.id = n.value ->> 0 WHERE true \
    ON CONFLICT (cluster_id, started_at, run) DO UPDATE SET checks = excluded.checks, failures = excluded.failures, \
    latency_min_ms = excluded.latency_min_ms, latency_mean_ms = excluded.latency_mean_ms, \
    latency_max_ms = excluded.latency_max_ms, latency_p95_ms = excluded.latency_p95_ms";

impl BulkLedger for SqliteConnection {
    async fn update_statuses(&mut self, statuses: &[(ClusterId, Arc<Status>)]) -> Result<(), Failure> {
        for chunk in newest_statuses(statuses).chunks(CHUNK) {
            let rows: Vec<_> = chunk.iter().map(|(id, status)| status_row(*id, status)).collect();
            sqlx::query(UPDATE_STATUSES).bind(json(&rows)?).execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn insert_transitions(&mut self, transitions: &[Arc<Transition>]) -> Result<(), Failure> {
        for transition in transitions {
            insert_transition(self, transition).await?;
        }
        Ok(())
    }

    async fn upsert_rollups(&mut self, rollups: &[Rollup]) -> Result<(), Failure> {
        for chunk in newest_rollups(rollups).chunks(CHUNK) {
            let rows: Vec<_> = chunk.iter().map(|rollup| rollup_row(rollup)).collect();
            sqlx::query(UPSERT_ROLLUPS).bind(json(&rows)?).execute(&mut *self).await?;
        }
        Ok(())
    }
}

fn status_row(id: ClusterId, status: &Status) -> serde_json::Value {
    json!([
        id,
        status.version,
        status.state,
        status.since.timestamp_micros(),
        status.health_score,
        status.connected,
        status.flapping,
        status.held,
        status.last_check_at.map(|at| at.timestamp_micros()),
        status.last_success_at.map(|at| at.timestamp_micros()),
        status.latency_ms,
        status.observed_generation,
        status.findings,
        status.memory,
    ])
}

async fn insert_transition(writer: &mut SqliteConnection, transition: &Transition) -> Result<(), Failure> {
    sqlx::query(INSERT_TRANSITION)
        .bind(transition.event_id.hyphenated().to_string())
        .bind(transition.cluster_id.to_string())
        .bind(transition.old_state.as_str())
        .bind(transition.new_state.as_str())
        .bind(transition.at.timestamp_micros())
        .bind(transition.reason())
        .bind(transition.cause.map(|(endpoint, failure)| format!("{}: {failure}", endpoint.title())))
        .bind(transition.health_score)
        .bind(Json(&transition.evidence))
        .execute(writer)
        .await?;
    Ok(())
}

fn rollup_row(rollup: &Rollup) -> serde_json::Value {
    json!([
        rollup.cluster_id,
        rollup.start.timestamp_micros(),
        rollup.run,
        rollup.checks,
        rollup.failures,
        rollup.latency_min_ms,
        rollup.latency_mean_ms,
        rollup.latency_max_ms,
        rollup.latency_p95_ms,
    ])
}
