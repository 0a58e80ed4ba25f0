//! A cluster as callers see it, made from its entry on the board and the time.

use std::{collections::BTreeMap, time::Instant};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::Entry,
    health::{CheckReport, Connectivity, Endpoint, Outcome, State, Status},
    roll::{Cluster, ClusterType, Environment, Platform},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    conditions::{Condition, conditions},
    schema,
};
use crate::{credentials::Foresight, discovery::Capabilities, silences::Calendar};

/// Now, both ways.
#[derive(Clone, Copy)]
pub struct Now<'a> {
    /// Monotonic: decides staleness.
    pub instant: Instant,
    /// Wall clock: stamps.
    pub wall: DateTime<Utc>,
    /// What ends when.
    pub foresight: &'a Foresight,
    /// Who is silenced when.
    pub calendar: &'a Calendar,
}

/// A cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cluster)]
pub struct ClusterView<'a> {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    pub name: &'a str,
    /// Name for people.
    pub display_name: Option<&'a str>,
    /// Its API server.
    pub api_server_url: &'a str,
    /// Part in the fleet.
    #[schema(schema_with = schema::cluster_type)]
    pub cluster_type: ClusterType,
    /// Distribution.
    #[schema(schema_with = schema::platform)]
    pub platform: Platform,
    /// Version of the distribution, as told or else as discovered.
    pub platform_version: Option<&'a str>,
    /// Region.
    pub region: Option<&'a str>,
    /// Use.
    #[schema(schema_with = schema::environment)]
    pub environment: Environment,
    /// What the engine found out.
    pub status: StatusView,
    /// What it can do, once discovered.
    #[schema(value_type = Option<Capabilities>)]
    pub capabilities: Option<&'a serde_json::Value>,
    /// Further endpoints, where configured.
    pub endpoints: EndpointsView<'a>,
    /// Labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Certificates trusted for its API server; left out in lists and where none are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<&'a str>,
    /// Name verified in place of the URL's host.
    pub tls_server_name: Option<&'a str>,
    /// Overrides of its type's cadence.
    pub health_check: OverridesView,
    /// Where it was imported from; left out where that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    /// Silences that hold now: nobody is notified, and nothing counts against its uptime. Left out where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub silenced_by: Vec<Uuid>,
    /// Version of its spec; the first part of its `ETag`.
    pub generation: i64,
    /// Who registered it.
    pub created_by: Option<&'a str>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When its spec last changed.
    pub updated_at: DateTime<Utc>,
}

/// Further endpoints of a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Endpoints)]
pub struct EndpointsView<'a> {
    /// Prometheus or a Thanos querier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus_url: Option<&'a str>,
    /// Tempo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tempo_url: Option<&'a str>,
    /// Loki.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loki_url: Option<&'a str>,
}

/// Overrides of a type's cadence.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthCheckOverrides)]
pub struct OverridesView {
    /// Period, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// Deadline of a probe, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Failures in a row before the state worsens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u8>,
    /// Successes in a row before it improves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u8>,
}

/// What the engine found out about a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterStatus)]
pub struct StatusView {
    /// Health state.
    #[schema(schema_with = schema::state)]
    pub state: State,
    /// 0 to 100; 0 while UNKNOWN.
    #[schema(minimum = 0, maximum = 100)]
    pub health_score: u8,
    /// Can its API server be talked to?
    #[schema(schema_with = schema::connectivity)]
    pub connectivity: Connectivity,
    /// When the last check ended.
    pub last_check_at: Option<DateTime<Utc>>,
    /// When the API server last passed.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Why the state is not better.
    pub error_message: Option<String>,
    /// Did the API server pass? Null while unknown.
    pub api_server_healthy: Option<bool>,
    /// Did Prometheus pass? Null where not configured.
    pub prometheus_healthy: Option<bool>,
    /// Did Tempo pass? Null where not configured.
    pub tempo_healthy: Option<bool>,
    /// Did Loki pass? Null where not configured.
    pub loki_healthy: Option<bool>,
    /// The cause in one word: what failed first, `healthy` or `not_checked`.
    #[schema(value_type = String)]
    pub reason: &'static str,
    /// When the state began.
    pub since: DateTime<Utc>,
    /// Duration of the last API-server probe, milliseconds.
    pub latency_ms: Option<u32>,
    /// Is all this overdue, or held back because the monitor doubts itself?
    pub stale: bool,
    /// Has the state changed too often lately?
    pub flapping: bool,
    /// The same as conditions in the shape of Kubernetes.
    pub conditions: Vec<Condition>,
}

impl<'a> ClusterView<'a> {
    /// The whole cluster.
    pub fn of(entry: &'a Entry, now: Now<'_>) -> Self {
        let cluster = &entry.cluster;
        Self { ca_bundle: cluster.ca_bundle.as_deref(), ..Self::listed(entry, now) }
    }

    /// The cluster as lists show it, without its CA bundle.
    pub fn listed(entry: &'a Entry, now: Now<'_>) -> Self {
        let cluster = &entry.cluster;
        let (own, urls) = (cluster.health_check, &cluster.endpoints);
        Self {
            id: cluster.id.0,
            name: &cluster.name,
            display_name: cluster.display_name.as_deref(),
            api_server_url: &cluster.api_server_url,
            cluster_type: cluster.cluster_type,
            platform: cluster.platform,
            platform_version: cluster.platform_version.as_deref().or_else(|| discovered_version(cluster)),
            region: cluster.region.as_deref(),
            environment: cluster.environment,
            status: StatusView::of(entry, now),
            capabilities: cluster.capabilities.as_ref(),
            endpoints: EndpointsView {
                prometheus_url: urls.prometheus_url.as_deref(),
                tempo_url: urls.tempo_url.as_deref(),
                loki_url: urls.loki_url.as_deref(),
            },
            labels: &cluster.labels,
            ca_bundle: None,
            tls_server_name: cluster.tls_server_name.as_deref(),
            health_check: OverridesView {
                interval_seconds: own.interval_seconds,
                timeout_seconds: own.timeout_seconds,
                failure_threshold: own.failure_threshold,
                success_threshold: own.success_threshold,
            },
            source: cluster.source.as_deref(),
            silenced_by: now.calendar.muting(cluster, now.wall),
            generation: cluster.generation,
            created_by: cluster.created_by.as_deref(),
            created_at: cluster.created_at,
            updated_at: cluster.updated_at,
        }
    }
}

impl StatusView {
    /// The status of an entry at a time.
    pub fn of(entry: &Entry, now: Now<'_>) -> Self {
        let status = &entry.status;
        let healthy = |endpoint| status.findings.of(endpoint).map(|finding| finding.healthy);
        Self {
            state: status.state,
            health_score: status.health_score,
            connectivity: status.connectivity(),
            last_check_at: status.last_check_at,
            last_success_at: status.last_success_at,
            error_message: status.error_message(),
            api_server_healthy: healthy(Endpoint::ApiServer),
            prometheus_healthy: healthy(Endpoint::Prometheus),
            tempo_healthy: healthy(Endpoint::Tempo),
            loki_healthy: healthy(Endpoint::Loki),
            reason: reason(status),
            since: status.since,
            latency_ms: status.latency_ms,
            stale: entry.is_stale(now.instant),
            flapping: status.flapping,
            conditions: conditions(entry, now),
        }
    }
}

/// The entity tag of a cluster as read now: it changes with whatever the body shows, and begins with the generation.
pub fn entity_tag(entry: &Entry, now: Now<'_>) -> String {
    let checked_ms = entry.status.last_check_at.map_or(0, |at| at.timestamp_millis());
    let freshness = if entry.is_stale(now.instant) { 's' } else { 'f' };
    let access = now.foresight.ends(&entry.cluster).first().map_or_else(String::new, |end| {
        format!("-{:x}{}", end.at.timestamp(), now.foresight.stage(end, now.wall) as u8)
    });
    let silences = now.calendar.muting(&entry.cluster, now.wall);
    let silenced = silences.iter().map(|id| id.as_u128() as u32).reduce(|a, b| a.rotate_left(1) ^ b);
    let silenced = silenced.map_or_else(String::new, |ids| format!("-{ids:x}"));
    let found = discovered_at(&entry.cluster).map_or_else(String::new, |at| format!("-{:x}", at.timestamp_millis()));
    format!(
        "\"{}-{}-{checked_ms:x}-{freshness}{access}{found}{silenced}\"",
        entry.cluster.generation, entry.status.version
    )
}

/// When the capabilities of a cluster were last confirmed.
fn discovered_at(cluster: &Cluster) -> Option<DateTime<Utc>> {
    let at = cluster.capabilities.as_ref()?.get("discovered_at")?.as_str()?;
    DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc())
}

/// The version that discovery found: of the platform, or of Kubernetes itself.
fn discovered_version(cluster: &Cluster) -> Option<&str> {
    let all = cluster.capabilities.as_ref()?;
    let version = |field| all.get(field).and_then(serde_json::Value::as_str);
    version("platform_version").or_else(|| version("kubernetes_version"))
}

/// The cause in one word.
pub fn reason(status: &Status) -> &'static str {
    match (status.findings.worst(), status.state) {
        (Some((_, failure)), _) => failure.cause.as_str(),
        (None, State::Unknown) => "not_checked",
        (None, _) => "healthy",
    }
}

/// What one probe of a check found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProbeResult)]
pub struct ProbeView {
    /// Which endpoint.
    #[schema(schema_with = schema::endpoint)]
    pub endpoint: &'static str,
    /// `healthy`, `failed` or `not_run`.
    #[schema(value_type = String)]
    pub result: &'static str,
    /// Why it failed or did not run.
    #[schema(schema_with = schema::cause)]
    pub cause: Option<&'static str>,
    /// The HTTP status, where it tells why.
    pub http_status: Option<u16>,
    /// How long it took, milliseconds.
    pub latency_ms: Option<u64>,
}

impl ProbeView {
    /// Every probe of a check.
    pub fn of(report: &CheckReport) -> Vec<Self> {
        let probes = Endpoint::ALL.into_iter().filter_map(|e| report.outcome(e).map(|outcome| (e, outcome)));
        probes.map(|(endpoint, outcome)| Self::of_one(endpoint, outcome)).collect()
    }

    fn of_one(endpoint: Endpoint, outcome: Outcome) -> Self {
        let millis = |latency: std::time::Duration| u64::try_from(latency.as_millis()).ok();
        let (result, cause, http_status, latency_ms) = match outcome {
            Outcome::Healthy { latency } => ("healthy", None, None, millis(latency)),
            Outcome::Failed { failure, latency } => {
                ("failed", Some(failure.cause.as_str()), failure.http_status, millis(latency))
            }
            Outcome::NotRun(why) => ("not_run", Some(why.as_str()), None, None),
        };
        Self { endpoint: endpoint.as_str(), result, cause, http_status, latency_ms }
    }
}
