//! The roll in SQLite: clusters with their statuses.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::Event,
    health::{Endpoint, Findings, Memory, Status},
    ports::{Enrolled, StoreError},
    roll::{CheckOverrides, Cluster, ClusterId, Endpoints},
};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow, types::Json};

use super::{credentials, events, moment, moment_maybe, uuid_of};
use crate::store::failure::{Failure, json, number, word};

const REVISIONS: &str = "SELECT id, generation FROM clusters";

pub(super) async fn revisions(readers: &SqlitePool) -> Result<Vec<(ClusterId, i64)>, Failure> {
    let rows = sqlx::query(REVISIONS).fetch_all(readers).await?;
    rows.iter().map(|row| Ok((cluster_id(row, "id")?, row.try_get("generation")?))).collect()
}

const FETCH_ALL: &str = "SELECT * FROM clusters JOIN cluster_status ON cluster_id = id";
const FETCH_SOME: &str = "SELECT * FROM clusters JOIN cluster_status ON cluster_id = id \
                          WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) async fn fetch(readers: &SqlitePool, ids: Option<&[ClusterId]>) -> Result<Vec<Enrolled>, Failure> {
    let rows = match ids {
        None => sqlx::query(FETCH_ALL).fetch_all(readers).await?,
        Some(ids) => sqlx::query(FETCH_SOME).bind(json(&ids)?).fetch_all(readers).await?,
    };
    rows.iter().map(enrolled).collect()
}

const INSERT: &str = "INSERT INTO clusters (id, name, display_name, api_server_url, cluster_type, platform, \
    platform_version, region, environment, labels, endpoints, ca_bundle, tls_server_name, health_check, capabilities, \
    generation, created_by, created_at, updated_at, source) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
    ON CONFLICT DO NOTHING";
const INSERT_STATUS: &str = "INSERT INTO cluster_status (cluster_id, version, state, since, health_score, connected, \
    flapping, held, last_check_at, last_success_at, latency_ms, observed_generation, findings, memory) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

pub(super) async fn insert(
    writer: &mut SqliteConnection,
    clusters: &[(Arc<Cluster>, Status)],
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    for (cluster, status) in clusters {
        if !insert_cluster(writer, cluster).await? {
            return Err(StoreError::NameTaken(cluster.name.clone()).into());
        }
        insert_status(writer, cluster.id, status).await?;
    }
    events::insert(writer, log).await
}

async fn insert_cluster(writer: &mut SqliteConnection, cluster: &Cluster) -> Result<bool, Failure> {
    let done = sqlx::query(INSERT)
        .bind(cluster.id.to_string())
        .bind(&cluster.name)
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
        .bind(&cluster.created_by)
        .bind(cluster.created_at.timestamp_micros())
        .bind(cluster.updated_at.timestamp_micros())
        .bind(&cluster.source)
        .execute(writer)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_status(writer: &mut SqliteConnection, id: ClusterId, status: &Status) -> Result<(), Failure> {
    sqlx::query(INSERT_STATUS)
        .bind(id.to_string())
        .bind(status.version)
        .bind(status.state.as_str())
        .bind(status.since.timestamp_micros())
        .bind(status.health_score)
        .bind(status.connected)
        .bind(status.flapping)
        .bind(status.held)
        .bind(status.last_check_at.map(|at| at.timestamp_micros()))
        .bind(status.last_success_at.map(|at| at.timestamp_micros()))
        .bind(status.latency_ms)
        .bind(status.observed_generation)
        .bind(Json(&status.findings))
        .bind(Json(&status.memory))
        .execute(writer)
        .await?;
    Ok(())
}

const UPDATE: &str = "UPDATE clusters SET display_name = ?3, api_server_url = ?4, cluster_type = ?5, platform = ?6, \
    platform_version = ?7, region = ?8, environment = ?9, labels = ?10, endpoints = ?11, ca_bundle = ?12, \
    tls_server_name = ?13, health_check = ?14, capabilities = ?15, generation = ?16, updated_at = ?17, \
    source = ?18 WHERE id = ?1 AND generation = ?2";

pub(super) async fn update(
    writer: &mut SqliteConnection,
    cluster: &Cluster,
    expected: i64,
    log: &[Arc<Event>],
    unbound: &[Endpoint],
) -> Result<(), Failure> {
    let done = sqlx::query(UPDATE)
        .bind(cluster.id.to_string())
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
        .bind(cluster.updated_at.timestamp_micros())
        .bind(&cluster.source)
        .execute(&mut *writer)
        .await?;
    if done.rows_affected() == 0 {
        return Err(stale_or_gone(writer, cluster.id).await?);
    }
    credentials::remove(writer, cluster.id, unbound).await?;
    events::insert(writer, log).await
}

const DELETE: &str = "DELETE FROM clusters WHERE id = ?1 AND (?2 IS NULL OR generation = ?2)";
const DELETE_GAPS: &str = "DELETE FROM gaps WHERE cluster_id = ?1";

pub(super) async fn delete(
    writer: &mut SqliteConnection,
    id: ClusterId,
    expected: Option<i64>,
    event: &Arc<Event>,
) -> Result<(), Failure> {
    let done = sqlx::query(DELETE).bind(id.to_string()).bind(expected).execute(&mut *writer).await?;
    if done.rows_affected() == 0 {
        return Err(stale_or_gone(writer, id).await?);
    }
    sqlx::query(DELETE_GAPS).bind(id.to_string()).execute(&mut *writer).await?;
    events::insert(writer, std::slice::from_ref(event)).await
}

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM clusters WHERE id = ?1)";

/// Why a write that names id and generation met no row.
async fn stale_or_gone(writer: &mut SqliteConnection, id: ClusterId) -> Result<Failure, Failure> {
    let exists: bool = sqlx::query_scalar(EXISTS).bind(id.to_string()).fetch_one(writer).await?;
    Ok(if exists { StoreError::Stale } else { StoreError::NotFound }.into())
}

fn enrolled(row: &SqliteRow) -> Result<Enrolled, Failure> {
    let cluster = Arc::new(cluster(row)?);
    Ok(Enrolled { cluster, status: status(row)?, sequence: row.try_get("event_sequence")? })
}

fn cluster(row: &SqliteRow) -> Result<Cluster, Failure> {
    Ok(Cluster {
        id: cluster_id(row, "id")?,
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
        created_at: moment(row, "created_at")?,
        updated_at: moment(row, "updated_at")?,
    })
}

fn status(row: &SqliteRow) -> Result<Status, Failure> {
    let latency: Option<i64> = row.try_get("latency_ms")?;
    let at = |column| -> Result<Option<DateTime<Utc>>, Failure> { moment_maybe(row, column) };
    Ok(Status {
        version: row.try_get("version")?,
        state: word(row.try_get("state")?, "state")?,
        since: moment(row, "since")?,
        health_score: number(row.try_get("health_score")?, "score")?,
        findings: row.try_get::<Json<Findings>, _>("findings")?.0,
        connected: row.try_get("connected")?,
        flapping: row.try_get("flapping")?,
        held: row.try_get("held")?,
        last_check_at: at("last_check_at")?,
        last_success_at: at("last_success_at")?,
        latency_ms: latency.map(|ms| number(ms, "latency")).transpose()?,
        observed_generation: row.try_get("observed_generation")?,
        memory: row.try_get::<Json<Memory>, _>("memory")?.0,
    })
}

fn cluster_id(row: &SqliteRow, column: &'static str) -> Result<ClusterId, Failure> {
    uuid_of(row, column).map(ClusterId)
}
