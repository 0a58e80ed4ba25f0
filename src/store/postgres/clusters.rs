//! Clusters with their statuses, inserted into PostgreSQL by the thousand.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{health::Status, ports::StoreError, roll::Cluster};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::columns::{CHUNK, Statuses, columns};
use crate::store::{
    bulk::BulkClusters,
    failure::{Failure, json},
};

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

impl BulkClusters for PgConnection {
    async fn insert_clusters(&mut self, clusters: &[(Arc<Cluster>, Status)]) -> Result<(), Failure> {
        for chunk in clusters.chunks(CHUNK) {
            let (mut rows, mut statuses) = (Clusters::default(), Statuses::default());
            for (cluster, status) in chunk {
                rows.push(cluster)?;
                statuses.push(cluster.id, status)?;
            }
            let inserted = rows.bind(sqlx::query(INSERT)).fetch_all(&mut *self).await?;
            let inserted = inserted.iter().map(|row| row.try_get("id")).collect::<Result<HashSet<Uuid>, _>>()?;
            if let Some((taken, _)) = chunk.iter().find(|(cluster, _)| !inserted.contains(&cluster.id.0)) {
                return Err(StoreError::NameTaken(taken.name.clone()).into());
            }
            statuses.bind(sqlx::query(INSERT_STATUSES)).execute(&mut *self).await?;
        }
        Ok(())
    }
}
