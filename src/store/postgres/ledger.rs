//! Statuses, transitions and rollups, written to PostgreSQL by the thousand.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    health::{Status, Transition},
    roll::ClusterId,
    rollup::Rollup,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::{CHUNK, Statuses, columns};
use crate::store::{
    bulk::BulkLedger,
    failure::{Failure, json},
    newest::{newest_rollups, newest_statuses},
};

const UPDATE_STATUSES: &str = "UPDATE clusters.cluster_status AS s SET version = n.version, state = n.state, \
    since = n.since, health_score = n.health_score, connected = n.connected, flapping = n.flapping, held = n.held, \
    last_check_at = n.last_check_at, last_success_at = n.last_success_at, latency_ms = n.latency_ms, \
    observed_generation = n.observed_generation, findings = n.findings::jsonb, memory = n.memory::jsonb \
    FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::smallint[], $6::bool[], $7::bool[], \
    $8::bool[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::bigint[], $13::text[], $14::text[]) \
    AS n (cluster_id, version, state, since, health_score, connected, flapping, held, last_check_at, \
    last_success_at, latency_ms, observed_generation, findings, memory) \
    WHERE s.cluster_id = n.cluster_id AND s.version < n.version";

columns! {
    /// Transitions by column.
    Transitions {
        event_id: Uuid,
        cluster_id: Uuid,
        occurred_at: DateTime<Utc>,
        health_score: i16,
        old_state: &'static str,
        new_state: &'static str,
        reason: &'static str,
        message: Option<String>,
        evidence: String,
    }
}

impl Transitions {
    fn push(&mut self, transition: &Transition) -> Result<(), Failure> {
        self.event_id.push(transition.event_id);
        self.cluster_id.push(transition.cluster_id.0);
        self.occurred_at.push(transition.at);
        self.health_score.push(transition.health_score.into());
        self.old_state.push(transition.old_state.as_str());
        self.new_state.push(transition.new_state.as_str());
        self.reason.push(transition.reason());
        self.message.push(transition.cause.map(|(endpoint, failure)| format!("{}: {failure}", endpoint.title())));
        self.evidence.push(json(&transition.evidence)?);
        Ok(())
    }
}

const INSERT_TRANSITIONS: &str = "INSERT INTO clusters.transitions (event_id, cluster_id, occurred_at, health_score, \
    old_state, new_state, reason, message, evidence) \
    SELECT n.event_id, c.id, n.occurred_at, n.health_score, n.old_state, n.new_state, n.reason, n.message, \
    n.evidence::jsonb \
    FROM UNNEST($1::uuid[], $2::uuid[], $3::timestamptz[], $4::smallint[], $5::text[], $6::text[], $7::text[], \
    $8::text[], $9::text[]) AS n (event_id, cluster_id, occurred_at, health_score, old_state, new_state, reason, \
    message, evidence) JOIN clusters.clusters AS c ON c.id = n.cluster_id ON CONFLICT (event_id) DO NOTHING";

columns! {
    /// Rollups by column.
    Rollups {
        cluster_id: Uuid,
        started_at: DateTime<Utc>,
        run: i64,
        checks: i64,
        failures: i64,
        latency_min_ms: i64,
        latency_mean_ms: f64,
        latency_max_ms: i64,
        latency_p95_ms: i64,
    }
}

impl Rollups {
    fn push(&mut self, rollup: &Rollup) {
        self.cluster_id.push(rollup.cluster_id.0);
        self.started_at.push(rollup.start);
        self.run.push(rollup.run);
        self.checks.push(rollup.checks.into());
        self.failures.push(rollup.failures.into());
        self.latency_min_ms.push(rollup.latency_min_ms.into());
        self.latency_mean_ms.push(rollup.latency_mean_ms);
        self.latency_max_ms.push(rollup.latency_max_ms.into());
        self.latency_p95_ms.push(rollup.latency_p95_ms.into());
    }
}

const UPSERT_ROLLUPS: &str = "INSERT INTO clusters.rollups (cluster_id, started_at, run, checks, failures, \
    latency_min_ms, latency_mean_ms, latency_max_ms, latency_p95_ms) \
    SELECT c.id, n.started_at, n.run, n.checks, n.failures, n.latency_min_ms, n.latency_mean_ms, n.latency_max_ms, \
    n.latency_p95_ms \
    FROM UNNEST($1::uuid[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::float8[], \
    $8::bigint[], $9::bigint[]) AS n (cluster_id, started_at, run, checks, failures, latency_min_ms, \
    latency_mean_ms, latency_max_ms, latency_p95_ms) JOIN clusters.clusters AS c ON c.id = n.cluster_id \
    ON CONFLICT (cluster_id, started_at, run) DO UPDATE SET checks = excluded.checks, failures = excluded.failures, \
    latency_min_ms = excluded.latency_min_ms, latency_mean_ms = excluded.latency_mean_ms, \
    latency_max_ms = excluded.latency_max_ms, latency_p95_ms = excluded.latency_p95_ms";

impl BulkLedger for PgConnection {
    async fn update_statuses(&mut self, statuses: &[(ClusterId, Arc<Status>)]) -> Result<(), Failure> {
        for chunk in newest_statuses(statuses).chunks(CHUNK) {
            let mut rows = Statuses::default();
            for (id, status) in chunk {
                rows.push(*id, status)?;
            }
            rows.bind(sqlx::query(UPDATE_STATUSES)).execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn insert_transitions(&mut self, transitions: &[Arc<Transition>]) -> Result<(), Failure> {
        for chunk in transitions.chunks(CHUNK) {
            let mut rows = Transitions::default();
            for transition in chunk {
                rows.push(transition)?;
            }
            rows.bind(sqlx::query(INSERT_TRANSITIONS)).execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn upsert_rollups(&mut self, rollups: &[Rollup]) -> Result<(), Failure> {
        for chunk in newest_rollups(rollups).chunks(CHUNK) {
            let mut rows = Rollups::default();
            chunk.iter().for_each(|rollup| rows.push(rollup));
            rows.bind(sqlx::query(UPSERT_ROLLUPS)).execute(&mut *self).await?;
        }
        Ok(())
    }
}
