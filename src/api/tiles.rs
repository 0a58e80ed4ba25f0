//! The whole fleet in one answer, a small tile for each cluster: what a map or a table of thousands needs.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::Entry,
    health::State as Health,
    roll::{Cluster, ClusterType, Environment, Platform},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    query::{FromParameters, Parameters, Params},
    schema::{self, Always},
    view::{Now, reason},
};

/// The route.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(fleet_tiles))
}

/// Which tiles.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TileQuery {
    /// Only clusters checked after this time, and those whose status is overdue; their metadata is left out.
    checked_after: Option<DateTime<Utc>>,
}

impl FromParameters for TileQuery {
    fn read(parameters: &mut Parameters) -> Self {
        Self { checked_after: parameters.time("checked_after") }
    }
}

/// The fleet, small.
#[derive(Serialize, ToSchema)]
struct FleetTiles {
    /// Position of the event log that the tiles include at least; a stream that begins after it misses nothing.
    position: i64,
    /// When this was true.
    at: DateTime<Utc>,
    /// Clusters that the caller sees.
    total_clusters: usize,
    /// Does the monitor doubt its own network and hold states?
    held: bool,
    /// The tiles, in no particular order.
    tiles: Vec<Tile>,
}

/// A cluster, small.
#[derive(Serialize, ToSchema)]
struct Tile {
    /// Its id.
    id: Uuid,
    /// Its state.
    #[schema(schema_with = schema::state)]
    state: Health,
    /// 0 to 100; 0 while UNKNOWN.
    health_score: u8,
    /// Duration of the last API-server probe, milliseconds.
    latency_ms: Option<u32>,
    /// Is the status overdue, or held back?
    stale: bool,
    /// Has the state changed too often lately?
    flapping: bool,
    /// Is it silenced? Left out where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    silenced: bool,
    /// When the state began.
    since: DateTime<Utc>,
    /// When the last check ended.
    last_check_at: Option<DateTime<Utc>>,
    /// What failed first, `healthy` or `not_checked`.
    #[schema(value_type = String)]
    reason: &'static str,
    /// What callers decided about it; left out with `checked_after`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    spec: Option<TileSpec>,
}

/// What the tile of a cluster says of its spec.
#[derive(Serialize, ToSchema)]
struct TileSpec {
    /// Its name.
    #[schema(required = false)]
    name: String,
    /// Name for people.
    display_name: Option<String>,
    /// Part in the fleet.
    #[schema(schema_with = schema::cluster_type, required = false)]
    cluster_type: ClusterType,
    /// Distribution.
    #[schema(schema_with = schema::platform, required = false)]
    platform: Platform,
    /// Region.
    region: Option<String>,
    /// Use.
    #[schema(schema_with = schema::environment, required = false)]
    environment: Environment,
    /// Labels.
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    /// Version of its spec.
    #[schema(required = false)]
    generation: i64,
}

/// Every cluster of the fleet, small; or what was checked lately.
#[utoipa::path(get, path = "/api/v1/fleet/tiles", tag = "fleet", params(TileQuery), responses(
    (status = 200, description = "The tiles", body = FleetTiles), Always))]
async fn fleet_tiles(State(api): State<ApiState>, seen: Seen, Params(query): Params<TileQuery>) -> Json<FleetTiles> {
    let position = *api.outbox.head().borrow();
    let now = api.now();
    let (mut tiles, mut total_clusters, mut held) = (Vec::new(), 0, false);
    seen.each(|entry| {
        total_clusters += 1;
        held |= entry.status.held;
        if query.wants(entry, now) {
            tiles.push(Tile::of(entry, now, query.checked_after.is_none()));
        }
    });
    Json(FleetTiles { position, at: now.wall, total_clusters, held, tiles })
}

impl TileQuery {
    fn wants(&self, entry: &Entry, now: Now) -> bool {
        let Some(after) = self.checked_after else { return true };
        entry.status.last_check_at.is_some_and(|at| at > after) || entry.is_stale(now.instant)
    }
}

impl Tile {
    fn of(entry: &Entry, now: Now, with_spec: bool) -> Self {
        let status = &entry.status;
        Self {
            id: entry.cluster.id.0,
            state: status.state,
            health_score: status.health_score,
            latency_ms: status.latency_ms,
            stale: entry.is_stale(now.instant),
            flapping: status.flapping,
            silenced: now.calendar.mutes(&entry.cluster, now.wall),
            since: status.since,
            last_check_at: status.last_check_at,
            reason: reason(status),
            spec: with_spec.then(|| TileSpec::of(&entry.cluster)),
        }
    }
}

impl TileSpec {
    fn of(cluster: &Cluster) -> Self {
        Self {
            name: cluster.name.clone(),
            display_name: cluster.display_name.clone(),
            cluster_type: cluster.cluster_type,
            platform: cluster.platform,
            region: cluster.region.clone(),
            environment: cluster.environment,
            labels: cluster.labels.clone(),
            generation: cluster.generation,
        }
    }
}
