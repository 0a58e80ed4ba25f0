//! The fleet as a whole: summary, health overview, capabilities. Counted on the board at every request.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use fleetbeat_actors::{
    board::Entry,
    health::State as Health,
    roll::{ClusterType, Environment},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    listing::capability,
    query::NoQuery,
    schema::{self, Always},
    view::{Now, reason},
};
use crate::discovery::Capabilities;

/// Most troubled clusters named in the overview.
const MAX_TROUBLED: usize = 100;
/// Most products or versions told apart.
const MAX_WORDS: usize = 200;

/// The routes.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(fleet_summary)).viewer(routes!(fleet_health)).viewer(routes!(fleet_capabilities))
}

type Counts = BTreeMap<&'static str, usize>;

/// The fleet in numbers.
#[derive(Default, Serialize, ToSchema)]
struct FleetSummary {
    /// Clusters registered.
    total_clusters: usize,
    /// By state.
    #[schema(value_type = BTreeMap<String, usize>)]
    by_state: Counts,
    /// By type.
    #[schema(value_type = BTreeMap<String, usize>)]
    by_type: Counts,
    /// By environment.
    #[schema(value_type = BTreeMap<String, usize>)]
    by_environment: Counts,
    /// GPUs of all clusters, as far as discovered.
    total_gpu_count: u64,
    /// Clusters with GPU nodes.
    clusters_with_gpu: usize,
    /// Clusters with CNF workloads.
    clusters_with_cnf: usize,
    /// Clusters whose capabilities are known, at least in part.
    discovered_clusters: usize,
    /// Mean score of the clusters that were checked; 0 when none was.
    avg_health_score: f64,
}

/// The fleet in numbers.
#[utoipa::path(get, path = "/api/v1/fleet/summary", tag = "fleet", responses(
    (status = 200, description = "Counts over all clusters", body = FleetSummary), Always))]
async fn fleet_summary(seen: Seen, _query: NoQuery) -> Json<FleetSummary> {
    let mut summary = FleetSummary {
        by_state: zeroes(Health::ALL.iter().map(|word| word.as_str())),
        by_type: zeroes(ClusterType::ALL.iter().map(|word| word.as_str())),
        by_environment: zeroes(Environment::ALL.iter().map(|word| word.as_str())),
        ..FleetSummary::default()
    };
    let mut score = Mean::default();
    seen.each(|entry| {
        summary.total_clusters += 1;
        count(&mut summary.by_state, entry.status.state.as_str());
        count(&mut summary.by_type, entry.cluster.cluster_type.as_str());
        count(&mut summary.by_environment, entry.cluster.environment.as_str());
        summary.total_gpu_count += gpus(entry);
        summary.clusters_with_gpu += usize::from(capability(entry, "has_gpu_nodes"));
        summary.clusters_with_cnf += usize::from(capability(entry, "has_cnf_workloads"));
        summary.discovered_clusters += usize::from(entry.cluster.capabilities.is_some());
        score.add(entry);
    });
    summary.avg_health_score = score.value();
    Json(summary)
}

/// How healthy the fleet is.
#[derive(Serialize, ToSchema)]
struct FleetHealth {
    /// Clusters registered.
    total_clusters: usize,
    /// By state.
    #[schema(value_type = BTreeMap<String, usize>)]
    by_state: Counts,
    /// Share of the checked clusters that are ONLINE, percent; null when none was checked.
    online_percent: Option<f64>,
    /// Mean score of the clusters that were checked.
    avg_health_score: f64,
    /// Clusters whose status is overdue.
    stale: usize,
    /// Clusters that change too often.
    flapping: usize,
    /// Clusters whose worsening is held back because the monitor doubts itself.
    held: usize,
    /// Clusters that are not ONLINE, by the word of what failed first.
    #[schema(value_type = BTreeMap<String, usize>)]
    by_reason: Counts,
    /// States by region; clusters without one under the empty name.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, usize>>)]
    by_region: BTreeMap<String, Counts>,
    /// States by type.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, usize>>)]
    by_type: BTreeMap<&'static str, Counts>,
    /// OFFLINE and DEGRADED clusters, the worst first, at most 100.
    troubled: Vec<Troubled>,
}

/// A cluster in trouble.
#[derive(Serialize, ToSchema)]
struct Troubled {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// Its state.
    #[schema(schema_with = schema::state)]
    state: Health,
    /// Its score.
    health_score: u8,
    /// What failed first, in one word.
    #[schema(value_type = String)]
    reason: &'static str,
    /// In words.
    error_message: Option<String>,
    /// Since when.
    since: chrono::DateTime<chrono::Utc>,
    /// Is the status overdue?
    stale: bool,
}

/// How healthy the fleet is, and where it is not.
#[utoipa::path(get, path = "/api/v1/fleet/health", tag = "fleet", responses(
    (status = 200, description = "Overview of health", body = FleetHealth), Always))]
async fn fleet_health(State(api): State<ApiState>, seen: Seen, _query: NoQuery) -> Json<FleetHealth> {
    let now = api.now();
    let mut overview = Overview::default();
    seen.each(|entry| overview.add(entry, now));
    Json(overview.conclude(now))
}

#[derive(Default)]
struct Overview {
    total: usize,
    by_state: Counts,
    by_reason: Counts,
    by_region: BTreeMap<String, Counts>,
    by_type: BTreeMap<&'static str, Counts>,
    stale: usize,
    flapping: usize,
    held: usize,
    score: Mean,
    troubled: Vec<Entry>,
}

impl Overview {
    fn add(&mut self, entry: &Entry, now: Now<'_>) {
        let (status, state) = (&entry.status, entry.status.state);
        self.total += 1;
        count(&mut self.by_state, state.as_str());
        let region = entry.cluster.region.clone().unwrap_or_default();
        count(self.by_region.entry(region).or_default(), state.as_str());
        count(self.by_type.entry(entry.cluster.cluster_type.as_str()).or_default(), state.as_str());
        self.stale += usize::from(entry.is_stale(now.instant));
        self.flapping += usize::from(status.flapping);
        self.held += usize::from(status.held);
        self.score.add(entry);
        if matches!(state, Health::Degraded | Health::Offline) {
            count(&mut self.by_reason, reason(status));
            self.troubled.push(entry.clone());
        }
    }

    fn conclude(mut self, now: Now<'_>) -> FleetHealth {
        let worst = |entry: &Entry| (entry.status.health_score, entry.status.since, entry.cluster.id);
        self.troubled.sort_by_cached_key(|entry| (std::cmp::Reverse(entry.status.state), worst(entry)));
        self.troubled.truncate(MAX_TROUBLED);
        let mut by_state = zeroes(Health::ALL.iter().map(|word| word.as_str()));
        by_state.extend(self.by_state);
        let online = by_state.get(Health::Online.as_str()).copied().unwrap_or(0);
        let checked = self.score.count;
        FleetHealth {
            total_clusters: self.total,
            online_percent: (checked > 0).then(|| round(online as f64 * 100.0 / checked as f64)),
            avg_health_score: self.score.value(),
            by_state,
            stale: self.stale,
            flapping: self.flapping,
            held: self.held,
            by_reason: self.by_reason,
            by_region: self.by_region,
            by_type: self.by_type,
            troubled: self.troubled.iter().map(|entry| Troubled::of(entry, now)).collect(),
        }
    }
}

impl Troubled {
    fn of(entry: &Entry, now: Now<'_>) -> Self {
        let status = &entry.status;
        Self {
            id: entry.cluster.id.0,
            name: entry.cluster.name.clone(),
            state: status.state,
            health_score: status.health_score,
            reason: reason(status),
            error_message: status.error_message(),
            since: status.since,
            stale: entry.is_stale(now.instant),
        }
    }
}

/// What the fleet can do.
#[derive(Default, Serialize, ToSchema)]
struct FleetCapabilities {
    /// Clusters registered.
    total_clusters: usize,
    /// Clusters whose capabilities are known.
    discovered_clusters: usize,
    /// Clusters with GPU nodes.
    clusters_with_gpu: usize,
    /// GPUs of all clusters.
    total_gpu_count: u64,
    /// Clusters with CNF workloads.
    clusters_with_cnf: usize,
    /// Clusters with a Prometheus endpoint.
    clusters_with_prometheus: usize,
    /// Clusters with a Tempo endpoint.
    clusters_with_tempo: usize,
    /// Clusters with a Loki endpoint.
    clusters_with_loki: usize,
    /// Clusters by platform.
    #[schema(value_type = BTreeMap<String, usize>)]
    by_platform: Counts,
    /// Nodes of all clusters.
    total_node_count: u64,
    /// GPUs by product, at most 200 of them.
    gpus_by_type: BTreeMap<String, u64>,
    /// Clusters by kind of network function.
    by_cnf_type: BTreeMap<String, u64>,
    /// Clusters by service mesh.
    by_service_mesh: BTreeMap<String, u64>,
    /// Clusters by version of Kubernetes, at most 200 of them.
    by_kubernetes_version: BTreeMap<String, u64>,
    /// Clusters in which each of these was seen to run, configured or not: `prometheus`, `thanos`, `tempo`, `loki`.
    detected: BTreeMap<String, u64>,
    /// Clusters of which each capability is not known: `gpu`, `cnf`, `nodes`, `observability`.
    unknown: BTreeMap<String, u64>,
}

/// What the fleet can do, as far as known.
#[utoipa::path(get, path = "/api/v1/fleet/capabilities", tag = "fleet", responses(
    (status = 200, description = "Capabilities of all clusters together", body = FleetCapabilities), Always))]
async fn fleet_capabilities(seen: Seen, _query: NoQuery) -> Json<FleetCapabilities> {
    let mut all = FleetCapabilities::default();
    seen.each(|entry| {
        let (cluster, urls) = (&entry.cluster, &entry.cluster.endpoints);
        all.total_clusters += 1;
        all.discovered_clusters += usize::from(cluster.capabilities.is_some());
        all.clusters_with_gpu += usize::from(capability(entry, "has_gpu_nodes"));
        all.total_gpu_count += gpus(entry);
        all.clusters_with_cnf += usize::from(capability(entry, "has_cnf_workloads"));
        all.clusters_with_prometheus += usize::from(urls.prometheus_url.is_some());
        all.clusters_with_tempo += usize::from(urls.tempo_url.is_some());
        all.clusters_with_loki += usize::from(urls.loki_url.is_some());
        count(&mut all.by_platform, cluster.platform.as_str());
        all.add(cluster.capabilities.as_ref().map(Capabilities::read));
    });
    Json(all)
}

impl FleetCapabilities {
    fn add(&mut self, found: Option<Capabilities>) {
        let found = found.unwrap_or_default();
        self.total_node_count += found.node_count.unwrap_or(0);
        for (product, gpus) in found.gpu_types.iter().flatten() {
            tally(&mut self.gpus_by_type, product, *gpus);
        }
        found.cnf_types.iter().flatten().for_each(|kind| tally(&mut self.by_cnf_type, kind, 1));
        found.service_meshes.iter().flatten().for_each(|mesh| tally(&mut self.by_service_mesh, mesh, 1));
        found.kubernetes_version.iter().for_each(|version| tally(&mut self.by_kubernetes_version, version, 1));
        let detected = [
            ("prometheus", found.has_prometheus),
            ("thanos", found.has_thanos),
            ("tempo", found.has_tempo),
            ("loki", found.has_loki),
        ];
        for (word, runs) in detected {
            tally(&mut self.detected, word, u64::from(runs == Some(true)));
        }
        let unknown = [
            ("gpu", found.has_gpu_nodes.is_none()),
            ("cnf", found.has_cnf_workloads.is_none()),
            ("nodes", found.node_count.is_none()),
            ("observability", detected.iter().any(|(_, runs)| runs.is_none())),
        ];
        for (word, unknown) in unknown {
            tally(&mut self.unknown, word, u64::from(unknown));
        }
    }
}

/// Adds under a word that a cluster may have made up: at most so many words.
fn tally(counts: &mut BTreeMap<String, u64>, word: &str, by: u64) {
    if let Some(count) = counts.get_mut(word) {
        *count = count.saturating_add(by);
    } else if counts.len() < MAX_WORDS {
        counts.insert(word.to_owned(), by);
    }
}

fn zeroes(words: impl Iterator<Item = &'static str>) -> Counts {
    words.map(|word| (word, 0)).collect()
}

fn count(counts: &mut Counts, word: &'static str) {
    *counts.entry(word).or_default() += 1;
}

fn gpus(entry: &Entry) -> u64 {
    entry.cluster.capabilities.as_ref().and_then(|all| all.get("gpu_count")?.as_u64()).unwrap_or(0)
}

/// Mean score of the clusters that were checked.
#[derive(Default)]
struct Mean {
    sum: u64,
    count: usize,
}

impl Mean {
    fn add(&mut self, entry: &Entry) {
        if entry.status.state != Health::Unknown {
            self.sum += u64::from(entry.status.health_score);
            self.count += 1;
        }
    }

    fn value(&self) -> f64 {
        if self.count == 0 { 0.0 } else { round(self.sum as f64 / self.count as f64) }
    }
}

/// Two decimals are enough for people.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
