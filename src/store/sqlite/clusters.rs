//! Clusters with their statuses, inserted into SQLite.

use std::sync::Arc;

use fleetbeat_actors::{
    health::Status,
    ports::StoreError,
    roll::{Cluster, ClusterId},
};
use sqlx::{SqliteConnection, types::Json};

use crate::store::{bulk::BulkClusters, failure::Failure, rows::clusters::described, statement::statement};

const INSERT: &str = "INSERT INTO clusters (id, name, display_name, api_server_url, cluster_type, platform, \
    platform_version, region, environment, labels, endpoints, ca_bundle, tls_server_name, health_check, capabilities, \
    generation, created_by, created_at, updated_at, source) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
    ON CONFLICT DO NOTHING";
const INSERT_STATUS: &str = "INSERT INTO cluster_status (cluster_id, version, state, since, health_score, connected, \
    flapping, held, last_check_at, last_success_at, latency_ms, observed_generation, findings, memory) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

impl BulkClusters for SqliteConnection {
    async fn insert_clusters(&mut self, clusters: &[(Arc<Cluster>, Status)]) -> Result<(), Failure> {
        for (cluster, status) in clusters {
            if !insert_cluster(self, cluster).await? {
                return Err(StoreError::NameTaken(cluster.name.clone()).into());
            }
            insert_status(self, cluster.id, status).await?;
        }
        Ok(())
    }
}

async fn insert_cluster(writer: &mut SqliteConnection, cluster: &Cluster) -> Result<bool, Failure> {
    let insert = described(statement(INSERT).bind(cluster.id).bind(&cluster.name), cluster)?;
    let insert = insert.bind(&cluster.created_by).bind(cluster.created_at).bind(cluster.updated_at);
    Ok(insert.bind(&cluster.source).execute(writer).await? == 1)
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
