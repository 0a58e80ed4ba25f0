//! The roll in PostgreSQL: clusters with their statuses.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::Event,
    health::{Endpoint, Findings, Memory, Status},
    ports::{Enrolled, StoreError},
    roll::{CheckOverrides, Cluster, ClusterId, Endpoints},
};
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{
    columns::{Statuses, columns},
    credentials, events,
};
use crate::store::failure::{Failure, json, number, word};

/// Rows per statement.
const CHUNK: usize = 1_000;

const REVISIONS: &str = "SELECT id, generation FROM clusters.clusters";

pub(super) async fn revisions(connection: &mut PgConnection) -> Result<Vec<(ClusterId, i64)>, Failure> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(REVISIONS).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(id, generation)| (ClusterId(id), generation)).collect())
}

const FETCH_ALL: &str = "SELECT * FROM clusters.clusters AS c JOIN clusters.cluster_status AS s ON s.cluster_id = c.id";
const FETCH_SOME: &str = "SELECT * FROM clusters.clusters AS c JOIN clusters.cluster_status AS s \
    ON s.cluster_id = c.id WHERE c.id = ANY($1)";

pub(super) async fn fetch(connection: &mut PgConnection, ids: Option<&[ClusterId]>) -> Result<Vec<Enrolled>, Failure> {
    let rows = match ids {
        None => sqlx::query(FETCH_ALL).fetch_all(connection).await?,
        Some(ids) => sqlx::query(FETCH_SOME).bind(uuids(ids)).fetch_all(connection).await?,
    };
    rows.iter().map(enrolled).collect()
}

pub(super) fn uuids(ids: &[ClusterId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}

columns! {
    /// Clusters by column.
    Clusters {
        id: Uuid,
        name: String,
        display_name: Option<String>,
        api_server_url: String,
        cluster_type: &'static str,
        platform: &'static str,
        platform_version: Option<String>,
        region: Option<String>,
        environment: &'static str,
        labels: String,
        endpoints: String,
        ca_bundle: Option<String>,
        tls_server_name: Option<String>,
        health_check: String,
        capabilities: Option<String>,
        generation: i64,
        created_by: Option<String>,
        created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
        source: Option<String>,
    }
}

impl Clusters {
    fn push(&mut self, cluster: &Cluster) -> Result<(), Failure> {
        self.id.push(cluster.id.0);
        self.name.push(cluster.name.clone());
        self.display_name.push(cluster.display_name.clone());
        self.api_server_url.push(cluster.api_server_url.clone());
        self.cluster_type.push(cluster.cluster_type.as_str());
        self.platform.push(cluster.platform.as_str());
        self.platform_version.push(cluster.platform_version.clone());
        self.region.push(cluster.region.clone());
        self.environment.push(cluster.environment.as_str());
        self.labels.push(json(&cluster.labels)?);
        self.endpoints.push(json(&cluster.endpoints)?);
        self.ca_bundle.push(cluster.ca_bundle.clone());
        self.tls_server_name.push(cluster.tls_server_name.clone());
        self.health_check.push(json(&cluster.health_check)?);
        self.capabilities.push(cluster.capabilities.as_ref().map(json).transpose()?);
        self.generation.push(cluster.generation);
        self.created_by.push(cluster.created_by.clone());
        self.created_at.push(cluster.created_at);
        self.updated_at.push(cluster.updated_at);
        self.source.push(cluster.source.clone());
        Ok(())
    }
}

// Ordered by name, so that two imports of the same names wait for each other instead of embracing.
const INSERT: &str = "INSERT INTO clusters.clusters (id, name, display_name, api_server_url, cluster_type, platform, \
    platform_version, region, environment, labels, endpoints, ca_bundle, tls_server_name, health_check, capabilities, \
    generation, created_by, created_at, updated_at, source) \
    SELECT id, name, display_name, api_server_url, cluster_type, platform, platform_version, region, environment, \
    labels::jsonb, endpoints::jsonb, ca_bundle, tls_server_name, health_check::jsonb, capabilities::jsonb, \
    generation, created_by, created_at, updated_at, source \
    FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
    $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], \
    $17::text[], $18::timestamptz[], $19::timestamptz[], $20::text[]) AS n (id, name, display_name, api_server_url, cluster_type, \
    platform, platform_version, region, environment, labels, endpoints, ca_bundle, tls_server_name, health_check, \
    capabilities, generation, created_by, created_at, updated_at, source) ORDER BY name \
    ON CONFLICT DO NOTHING RETURNING id";
const INSERT_STATUSES: &str = "INSERT INTO clusters.cluster_status (cluster_id, version, state, since, health_score, \
    connected, flapping, held, last_check_at, last_success_at, latency_ms, observed_generation, findings, memory) \
    SELECT cluster_id, version, state, since, health_score, connected, flapping, held, last_check_at, \
    last_success_at, latency_ms, observed_generation, findings::jsonb, memory::jsonb \
    FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::smallint[], $6::bool[], $7::bool[], \
    $8::bool[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::bigint[], $13::text[], $14::text[]) \
    AS n (cluster_id, version, state, since, health_score, connected, flapping, held, last_check_at, \
    last_success_at, latency_ms, observed_generation, findings, memory)";

pub(super) async fn insert(
    connection: &mut PgConnection,
    clusters: &[(Arc<Cluster>, Status)],
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    for chunk in clusters.chunks(CHUNK) {
        let (mut rows, mut statuses) = (Clusters::default(), Statuses::default());
        for (cluster, status) in chunk {
            rows.push(cluster)?;
            statuses.push(cluster.id, status)?;
        }
        let inserted = rows.bind(sqlx::query(INSERT)).fetch_all(&mut *connection).await?;
        let inserted = inserted.iter().map(|row| row.try_get("id")).collect::<Result<HashSet<Uuid>, _>>()?;
        if let Some((taken, _)) = chunk.iter().find(|(cluster, _)| !inserted.contains(&cluster.id.0)) {
            return Err(StoreError::NameTaken(taken.name.clone()).into());
        }
        statuses.bind(sqlx::query(INSERT_STATUSES)).execute(&mut *connection).await?;
    }
    events::insert(connection, log).await
}

const UPDATE: &str = "UPDATE clusters.clusters SET display_name = $3, api_server_url = $4, cluster_type = $5, \
    platform = $6, platform_version = $7, region = $8, environment = $9, labels = $10, endpoints = $11, \
    ca_bundle = $12, tls_server_name = $13, health_check = $14, capabilities = $15, generation = $16, \
    updated_at = $17, source = $18 WHERE id = $1 AND generation = $2";

pub(super) async fn update(
    connection: &mut PgConnection,
    cluster: &Cluster,
    expected: i64,
    log: &[Arc<Event>],
    unbound: &[Endpoint],
) -> Result<(), Failure> {
    let done = sqlx::query(UPDATE)
        .bind(cluster.id.0)
        .bind(expected)
        .bind(&cluster.display_name)
        .bind(&cluster.api_server_url)
        .bind(cluster.cluster_type.as_str())
        .bind(cluster.platform.as_str())
        .bind(&cluster.platform_version)
        .bind(&cluster.region)
        .bind(cluster.environment.as_str())
        .bind(Json(&cluster.labels))
        .bind(Json(&cluster.endpoints))
        .bind(&cluster.ca_bundle)
        .bind(&cluster.tls_server_name)
        .bind(Json(&cluster.health_check))
        .bind(cluster.capabilities.as_ref().map(Json))
        .bind(cluster.generation)
        .bind(cluster.updated_at)
        .bind(&cluster.source)
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() == 0 {
        return Err(stale_or_gone(connection, cluster.id).await?);
    }
    credentials::remove(connection, cluster.id, unbound).await?;
    events::insert(connection, log).await
}

const DELETE: &str = "DELETE FROM clusters.clusters WHERE id = $1 AND ($2::bigint IS NULL OR generation = $2)";
const DELETE_GAPS: &str = "DELETE FROM clusters.gaps WHERE cluster_id = $1";

pub(super) async fn delete(
    connection: &mut PgConnection,
    id: ClusterId,
    expected: Option<i64>,
    event: &Arc<Event>,
) -> Result<(), Failure> {
    let done = sqlx::query(DELETE).bind(id.0).bind(expected).execute(&mut *connection).await?;
    if done.rows_affected() == 0 {
        return Err(stale_or_gone(connection, id).await?);
    }
    sqlx::query(DELETE_GAPS).bind(id.0).execute(&mut *connection).await?;
    events::insert(connection, std::slice::from_ref(event)).await
}

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM clusters.clusters WHERE id = $1)";

/// Why a write that names id and generation met no row.
async fn stale_or_gone(connection: &mut PgConnection, id: ClusterId) -> Result<Failure, Failure> {
    let exists: bool = sqlx::query_scalar(EXISTS).bind(id.0).fetch_one(connection).await?;
    Ok(if exists { StoreError::Stale } else { StoreError::NotFound }.into())
}

fn enrolled(row: &PgRow) -> Result<Enrolled, Failure> {
    let cluster = Arc::new(cluster(row)?);
    Ok(Enrolled { cluster, status: status(row)?, sequence: row.try_get("event_sequence")? })
}

fn cluster(row: &PgRow) -> Result<Cluster, Failure> {
    Ok(Cluster {
        id: ClusterId(row.try_get("id")?),
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        api_server_url: row.try_get("api_server_url")?,
        cluster_type: word(row.try_get("cluster_type")?, "cluster type")?,
        platform: word(row.try_get("platform")?, "platform")?,
        platform_version: row.try_get("platform_version")?,
        region: row.try_get("region")?,
        environment: word(row.try_get("environment")?, "environment")?,
        labels: row.try_get::<Json<BTreeMap<String, String>>, _>("labels")?.0,
        endpoints: row.try_get::<Json<Endpoints>, _>("endpoints")?.0,
        ca_bundle: row.try_get("ca_bundle")?,
        tls_server_name: row.try_get("tls_server_name")?,
        health_check: row.try_get::<Json<CheckOverrides>, _>("health_check")?.0,
        source: row.try_get("source")?,
        capabilities: row.try_get::<Option<Json<serde_json::Value>>, _>("capabilities")?.map(|Json(value)| value),
        generation: row.try_get("generation")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn status(row: &PgRow) -> Result<Status, Failure> {
    let latency: Option<i64> = row.try_get("latency_ms")?;
    Ok(Status {
        version: row.try_get("version")?,
        state: word(row.try_get("state")?, "state")?,
        since: row.try_get("since")?,
        health_score: number(row.try_get::<i16, _>("health_score")?.into(), "score")?,
        findings: row.try_get::<Json<Findings>, _>("findings")?.0,
        connected: row.try_get("connected")?,
        flapping: row.try_get("flapping")?,
        held: row.try_get("held")?,
        last_check_at: row.try_get("last_check_at")?,
        last_success_at: row.try_get("last_success_at")?,
        latency_ms: latency.map(|ms| number(ms, "latency")).transpose()?,
        observed_generation: row.try_get("observed_generation")?,
        memory: row.try_get::<Json<Memory>, _>("memory")?.0,
    })
}
