//! Clusters, statuses, events and the like to store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat::store::Store;
use fleetbeat_actors::{
    event::{Event, EventDraft, EventType},
    health::{Cause, Endpoint, Evidence, Failure, Finding, Findings, Memory, State, Status, Transition},
    roll::{CheckOverrides, Cluster, ClusterId, ClusterType, Endpoints, Environment, Platform},
    rollup::Rollup,
};
use serde_json::json;
use uuid::Uuid;

/// A moment to count from, with microseconds.
pub fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_750_000_000_123_456).unwrap()
}

/// So many seconds after [`epoch`].
pub fn at(seconds: i64) -> DateTime<Utc> {
    epoch() + TimeDelta::seconds(seconds)
}

/// A cluster with every field set.
pub fn cluster(name: &str) -> Arc<Cluster> {
    let url = |port: u16| Some(format!("https://127.0.0.1:{port}/x"));
    Arc::new(Cluster {
        id: ClusterId::generate(),
        name: name.to_owned(),
        display_name: Some(format!("Cluster {name}")),
        api_server_url: "https://127.0.0.1:6443".to_owned(),
        cluster_type: ClusterType::FarEdge,
        platform: Platform::Microshift,
        platform_version: Some("4.16.0-0.nightly-2024-05-01-111315".to_owned()),
        region: Some("eu-central".to_owned()),
        environment: Environment::Staging,
        labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned()), ("a.b/c".to_owned(), String::new())]),
        endpoints: Endpoints { prometheus_url: url(9090), tempo_url: url(3200), loki_url: None },
        ca_bundle: Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        tls_server_name: Some("api.example.test".to_owned()),
        health_check: CheckOverrides { interval_seconds: Some(7), failure_threshold: Some(3), ..Default::default() },
        source: Some(format!("argocd:hub.example.test/argocd/{name}")),
        capabilities: Some(json!({"has_gpu_nodes": true, "gpu_count": 8, "cnf_types": ["vdu"], "share": 0.25})),
        generation: 1,
        created_by: Some("ops@example.test".to_owned()),
        created_at: at(0),
        updated_at: at(0),
    })
}

/// A cluster with nothing set that may be absent.
pub fn bare_cluster(name: &str) -> Arc<Cluster> {
    let full = cluster(name);
    Arc::new(Cluster {
        display_name: None,
        platform_version: None,
        region: None,
        labels: BTreeMap::new(),
        endpoints: Endpoints::default(),
        ca_bundle: None,
        tls_server_name: None,
        health_check: CheckOverrides::default(),
        source: None,
        capabilities: None,
        created_by: None,
        ..(*full).clone()
    })
}

/// A status with every field set.
pub fn status(version: i64, state: State) -> Status {
    let finding = |healthy, failure| Some(Finding { healthy, failure, latency_ms: 12 });
    Status {
        version,
        state,
        since: at(version),
        health_score: 65,
        findings: Findings {
            api_server: finding(true, None),
            prometheus: finding(false, Some(Failure::status(Cause::HttpStatus, 503))),
            tempo: finding(false, Some(Failure::of(Cause::Timeout))),
            loki: None,
        },
        connected: true,
        flapping: true,
        held: true,
        last_check_at: Some(at(version)),
        last_success_at: Some(at(version - 1)),
        latency_ms: Some(u32::MAX),
        observed_generation: 3,
        memory: Memory { worse: 1, better: 2, leaning: Some(State::Offline), changes: vec![at(1), at(2)] },
    }
}

/// An event with its place.
pub fn event(cluster_id: ClusterId, position: i64, sequence: i64) -> Arc<Event> {
    event_of(EventType::ClusterUpdated, cluster_id, position, sequence)
}

/// An event of a type with its place.
pub fn event_of(event_type: EventType, cluster_id: ClusterId, position: i64, sequence: i64) -> Arc<Event> {
    let payload = json!({"cluster_id": cluster_id, "n": position, "text": "ä\u{0}\u{1F4A5}'\";--"});
    Arc::new(Event::place(EventDraft::new(event_type, cluster_id, at(sequence), payload), position, sequence))
}

/// A change of state.
pub fn transition(cluster_id: ClusterId, seconds: i64, old_state: State, new_state: State) -> Arc<Transition> {
    Arc::new(Transition {
        event_id: Uuid::now_v7(),
        cluster_id,
        cluster_name: "spoke".to_owned(),
        old_state,
        new_state,
        at: at(seconds),
        health_score: 50,
        cause: (new_state != State::Online).then_some((Endpoint::ApiServer, Failure::of(Cause::Refused))),
        evidence: Evidence { check: 17, reports: 2, findings: status(1, new_state).findings },
    })
}

/// A rollup of the window that starts so many windows after a round moment.
pub fn rollup(cluster_id: ClusterId, window: i64, run: i64) -> Rollup {
    Rollup {
        cluster_id,
        start: window_start(window),
        run,
        checks: 10,
        failures: 3,
        latency_min_ms: 1,
        latency_mean_ms: 12.345_678_9,
        latency_max_ms: u32::MAX,
        latency_p95_ms: 400,
    }
}

/// Start of the window of that number.
pub fn window_start(window: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_749_999_900 + window * 300, 0).unwrap()
}

/// Registers clusters by name, each with a first event; positions count from `position`.
pub async fn register(store: &dyn Store, names: &[&str], position: i64) -> Vec<Arc<Cluster>> {
    let clusters: Vec<_> = names.iter().map(|name| cluster(name)).collect();
    let events: Vec<_> = clusters
        .iter()
        .zip(position..)
        .map(|(cluster, position)| event_of(EventType::ClusterRegistered, cluster.id, position, 1))
        .collect();
    let rows: Vec<_> = clusters.iter().map(|cluster| (Arc::clone(cluster), Status::unknown(at(0)))).collect();
    store.insert(&rows, &events, &[]).await.unwrap();
    clusters
}

/// How long something took, printed with its name.
pub async fn timed<T>(what: &str, backend: &str, work: impl Future<Output = T>) -> T {
    let began = tokio::time::Instant::now();
    let value = work.await;
    let took: Duration = began.elapsed();
    println!("{backend}: {what}: {:.1} ms", took.as_secs_f64() * 1e3);
    value
}
