//! The roll: clusters with their statuses.

use std::sync::Arc;

use fleetbeat_actors::{
    event::Event,
    health::{Endpoint, Status},
    ports::{Enrolled, StoreError},
    roll::{Cluster, ClusterId},
};

use super::{credentials, events};
use crate::store::{
    bulk::Bulk,
    failure::{Failure, document, number},
    statement::{Connection, Row, Statement, Text, statement},
};

const REVISIONS: &str = "SELECT id, generation FROM clusters";

pub(in crate::store) async fn revisions(connection: &mut impl Connection) -> Result<Vec<(ClusterId, i64)>, Failure> {
    statement(REVISIONS).fetch_all(connection, |row| Ok((row.get("id")?, row.get("generation")?))).await
}

const FETCH_ALL: &str = "SELECT * FROM clusters AS c JOIN cluster_status AS s ON s.cluster_id = c.id";
const FETCH_SOME: Text = Text {
    postgres: "SELECT * FROM clusters AS c JOIN cluster_status AS s ON s.cluster_id = c.id WHERE c.id = ANY($1)",
    sqlite: "SELECT * FROM clusters AS c JOIN cluster_status AS s ON s.cluster_id = c.id \
        WHERE c.id IN (SELECT value FROM json_each($1))",
};

pub(in crate::store) async fn fetch(
    connection: &mut impl Connection,
    ids: Option<&[ClusterId]>,
) -> Result<Vec<Enrolled>, Failure> {
    let read = match ids {
        None => statement(FETCH_ALL),
        Some(ids) => statement(FETCH_SOME).bind(ids),
    };
    read.fetch_all(connection, enrolled).await
}

pub(in crate::store) async fn insert(
    connection: &mut impl Bulk,
    clusters: &[(Arc<Cluster>, Status)],
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    connection.insert_clusters(clusters).await?;
    events::insert(connection, log).await
}

const UPDATE: &str = "UPDATE clusters SET display_name = $3, api_server_url = $4, cluster_type = $5, platform = $6, \
    platform_version = $7, region = $8, environment = $9, labels = $10, endpoints = $11, ca_bundle = $12, \
    tls_server_name = $13, health_check = $14, capabilities = $15, generation = $16, updated_at = $17, \
    source = $18 WHERE id = $1 AND generation = $2";

pub(in crate::store) async fn update(
    connection: &mut impl Bulk,
    cluster: &Cluster,
    expected: i64,
    log: &[Arc<Event>],
    unbound: &[Endpoint],
) -> Result<(), Failure> {
    let update = described(statement(UPDATE).bind(cluster.id).bind(expected), cluster)?;
    let touched = update.bind(cluster.updated_at).bind(&cluster.source).execute(connection).await?;
    if touched == 0 {
        return Err(stale_or_gone(connection, cluster.id).await?);
    }
    credentials::remove(connection, cluster.id, unbound).await?;
    events::insert(connection, log).await
}

/// A statement with what clusters are described by, from the name for people to the generation.
pub(in crate::store) fn described<'q>(
    statement: Statement<'q>,
    cluster: &'q Cluster,
) -> Result<Statement<'q>, Failure> {
    Ok(statement
        .bind(&cluster.display_name)
        .bind(&cluster.api_server_url)
        .bind(cluster.cluster_type.as_str())
        .bind(cluster.platform.as_str())
        .bind(&cluster.platform_version)
        .bind(&cluster.region)
        .bind(cluster.environment.as_str())
        .bind(document(&cluster.labels)?)
        .bind(document(&cluster.endpoints)?)
        .bind(&cluster.ca_bundle)
        .bind(&cluster.tls_server_name)
        .bind(document(&cluster.health_check)?)
        .bind(cluster.capabilities.clone())
        .bind(cluster.generation))
}

const DELETE: &str = "DELETE FROM clusters WHERE id = $1 AND (generation = $2 OR $2 IS NULL)";
const DELETE_GAPS: &str = "DELETE FROM gaps WHERE cluster_id = $1";

pub(in crate::store) async fn delete(
    connection: &mut impl Bulk,
    id: ClusterId,
    expected: Option<i64>,
    event: &Arc<Event>,
) -> Result<(), Failure> {
    if statement(DELETE).bind(id).bind(expected).execute(connection).await? == 0 {
        return Err(stale_or_gone(connection, id).await?);
    }
    statement(DELETE_GAPS).bind(id).execute(connection).await?;
    events::insert(connection, std::slice::from_ref(event)).await
}

const FIND: &str = "SELECT id FROM clusters WHERE id = $1";

/// Why a write that names id and generation met no row.
async fn stale_or_gone(connection: &mut impl Connection, id: ClusterId) -> Result<Failure, Failure> {
    let found: Option<ClusterId> = statement(FIND).bind(id).fetch_optional(connection, |row| row.get("id")).await?;
    Ok(if found.is_some() { StoreError::Stale } else { StoreError::NotFound }.into())
}

// PostgreSQL locks the row, so that nobody deletes the cluster before the end of the transaction; SQLite has one writer.
const HOLD: Text = Text { postgres: "SELECT id FROM clusters WHERE id = $1 FOR KEY SHARE", sqlite: FIND };

/// Keeps a cluster registered until the end of the transaction.
pub(super) async fn must_stay(connection: &mut impl Connection, id: ClusterId) -> Result<(), Failure> {
    let found: Option<ClusterId> = statement(HOLD).bind(id).fetch_optional(connection, |row| row.get("id")).await?;
    found.map(|_| ()).ok_or_else(|| StoreError::NotFound.into())
}

fn enrolled(row: &impl Row) -> Result<Enrolled, Failure> {
    let cluster = Arc::new(cluster(row)?);
    Ok(Enrolled { cluster, status: status(row)?, sequence: row.get("event_sequence")? })
}

fn cluster(row: &impl Row) -> Result<Cluster, Failure> {
    Ok(Cluster {
        id: row.get("id")?,
        name: row.get("name")?,
        display_name: row.get("display_name")?,
        api_server_url: row.get("api_server_url")?,
        cluster_type: row.word("cluster_type", "cluster type")?,
        platform: row.word("platform", "platform")?,
        platform_version: row.get("platform_version")?,
        region: row.get("region")?,
        environment: row.word("environment", "environment")?,
        labels: row.json("labels")?,
        endpoints: row.json("endpoints")?,
        ca_bundle: row.get("ca_bundle")?,
        tls_server_name: row.get("tls_server_name")?,
        health_check: row.json("health_check")?,
        source: row.get("source")?,
        capabilities: row.get("capabilities")?,
        generation: row.get("generation")?,
        created_by: row.get("created_by")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn status(row: &impl Row) -> Result<Status, Failure> {
    let latency: Option<i64> = row.get("latency_ms")?;
    Ok(Status {
        version: row.get("version")?,
        state: row.word("state", "state")?,
        since: row.get("since")?,
        health_score: row.get("health_score")?,
        findings: row.json("findings")?,
        connected: row.get("connected")?,
        flapping: row.get("flapping")?,
        held: row.get("held")?,
        last_check_at: row.get("last_check_at")?,
        last_success_at: row.get("last_success_at")?,
        latency_ms: latency.map(|ms| number(ms, "latency")).transpose()?,
        observed_generation: row.get("observed_generation")?,
        memory: row.json("memory")?,
    })
}
