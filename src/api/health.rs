//! Health of fleetbeat itself: alive, ready, and in detail.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    ApiState,
    access::{Routes, Seen},
    context::dressed,
    error::SERVICE,
    query::NoQuery,
    schema::Always,
    vitals::Pulse,
};

/// The routes.
pub fn routes() -> Routes {
    observed_routes().viewer(routes!(health_detailed)).open(routes!(version))
}

/// Those that are asked again and again by machines.
pub fn observed_routes() -> Routes {
    Routes::new().probe(routes!(health)).probe(routes!(ready))
}

/// The process is alive.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// Always `healthy`.
    #[schema(value_type = String)]
    status: &'static str,
    /// Always `cluster-registry`.
    #[schema(value_type = String)]
    service: &'static str,
    /// Version of the program.
    #[schema(value_type = String)]
    version: &'static str,
}

/// Is the process alive? Asks nobody.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "Alive", body = Alive), Always))]
async fn health(_query: NoQuery) -> Json<Alive> {
    Json(Alive { status: "healthy", service: SERVICE, version: env!("CARGO_PKG_VERSION") })
}

/// Is everything there that answers need?
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not_ready`.
    #[schema(value_type = String)]
    status: &'static str,
    /// Is the fleet loaded?
    loaded: bool,
    /// Each dependency.
    #[schema(value_type = BTreeMap<String, DependencyView>)]
    dependencies: BTreeMap<&'static str, DependencyView>,
}

/// How a dependency answered.
#[derive(Serialize, ToSchema)]
#[schema(as = Dependency)]
struct DependencyView {
    /// `healthy` or `unhealthy`.
    #[schema(value_type = String)]
    status: &'static str,
    /// How long the answer took, milliseconds.
    latency_ms: f64,
    /// Must it answer for the process to be ready?
    required: bool,
}

impl From<Pulse> for DependencyView {
    fn from(pulse: Pulse) -> Self {
        Self {
            status: healthy_or_not(pulse.healthy),
            latency_ms: (pulse.latency.as_secs_f64() * 1e6).round() / 1e3,
            required: pulse.required,
        }
    }
}

const fn healthy_or_not(healthy: bool) -> &'static str {
    if healthy { "healthy" } else { "unhealthy" }
}

/// Is the process ready to serve: the fleet loaded, the database answering?
#[utoipa::path(get, path = "/ready", tag = "health", responses(
    (status = 200, description = "Ready", body = Readiness),
    (status = 503, description = "Not ready, and why", body = Readiness), Always))]
async fn ready(State(api): State<ApiState>, _query: NoQuery) -> Response {
    let pulses = api.vitals.pulses().await;
    let loaded = api.vitals.is_loaded();
    let ready = loaded && pulses.iter().all(|pulse| pulse.healthy || !pulse.required);
    let report = Readiness {
        status: if ready { "ready" } else { "not_ready" },
        loaded,
        dependencies: pulses.into_iter().map(|pulse| (pulse.name, pulse.into())).collect(),
    };
    if ready { Json(report).into_response() } else { dressed(StatusCode::SERVICE_UNAVAILABLE, Json(report)) }
}

/// Health in detail.
#[derive(Serialize, ToSchema)]
struct Detailed {
    /// `healthy`, `degraded` (something not required is missing) or `unhealthy`.
    #[schema(value_type = String)]
    status: &'static str,
    /// This program, in the shape that a gateway adds up.
    #[schema(value_type = Object)]
    services: Value,
    /// Each dependency.
    #[schema(value_type = BTreeMap<String, DependencyView>)]
    dependencies: BTreeMap<&'static str, DependencyView>,
    /// Each circuit breaker: `closed`, `half_open` or `open`.
    #[schema(value_type = BTreeMap<String, String>)]
    circuit_breakers: BTreeMap<&'static str, &'static str>,
    /// Facts of the engine.
    #[schema(value_type = Object)]
    engine: Map<String, Value>,
    /// Version of the program.
    #[schema(value_type = String)]
    version: &'static str,
    /// How long it has run, seconds.
    uptime_seconds: f64,
}

/// Health in detail: dependencies and facts of the engine.
#[utoipa::path(get, path = "/health/detailed", tag = "health", responses(
    (status = 200, description = "In detail, good or bad", body = Detailed), Always))]
async fn health_detailed(State(api): State<ApiState>, seen: Seen, _query: NoQuery) -> Json<Detailed> {
    let began = api.clock.now();
    let pulses = api.vitals.pulses().await;
    let own = api.vitals.is_loaded() && pulses.iter().all(|pulse| pulse.healthy || !pulse.required);
    let all = pulses.iter().all(|pulse| pulse.healthy);
    let latency_ms = api.clock.now().saturating_duration_since(began).as_millis();
    Json(Detailed {
        status: match (own, all) {
            (true, true) => "healthy",
            (true, false) => "degraded",
            (false, _) => "unhealthy",
        },
        services: json!({ SERVICE: { "status": healthy_or_not(own), "latency_ms": latency_ms } }),
        dependencies: pulses.into_iter().map(|pulse| (pulse.name, pulse.into())).collect(),
        circuit_breakers: api.vitals.breakers(),
        engine: engine_facts(&api, &seen),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: api.vitals.uptime().as_secs_f64().round(),
    })
}

/// The engine's own numbers tell of all clusters: they are for those who may see all.
fn engine_facts(api: &ApiState, seen: &Seen) -> Map<String, Value> {
    let mut facts = if seen.is_everything() { api.vitals.facts() } else { Map::new() };
    facts.insert("clusters".to_owned(), json!(seen.count()));
    if seen.is_everything() {
        facts.insert("event_position".to_owned(), json!(*api.outbox.head().borrow()));
    }
    facts
}

/// Which program this is.
#[derive(Serialize, ToSchema)]
struct Version {
    /// Its name.
    #[schema(value_type = String)]
    name: &'static str,
    /// Its version.
    #[schema(value_type = String)]
    version: &'static str,
    /// Version of the API.
    #[schema(value_type = String)]
    api: &'static str,
}

/// Which program this is.
#[utoipa::path(get, path = "/api/v1/version", tag = "health", responses(
    (status = 200, description = "Name and version", body = Version), Always))]
async fn version(_query: NoQuery) -> Json<Version> {
    Json(Version { name: "fleetbeat", version: env!("CARGO_PKG_VERSION"), api: "v1" })
}
