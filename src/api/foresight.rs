//! The fleet's access, ranked by what ends first. No answer carries a secret.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use fleetbeat_actors::{board::Entry, health::Endpoint, roll::ClusterId};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    query::{FromParameters, Parameters, Params},
    schema::{self, Always},
};
use crate::credentials::{End, Foresight, Lookup, Stage};

/// Most clusters of one answer.
const MAX_LIMIT: i64 = 1_000;
/// Clusters of an answer when nobody says how many.
const LIMIT: usize = 100;

/// The route.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(fleet_credentials))
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Limit {
    /// At most so many clusters; 100 when left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// Only this cluster; all of it is counted all the same.
    #[param(value_type = Option<Uuid>)]
    cluster_id: Option<ClusterId>,
}

impl FromParameters for Limit {
    fn read(parameters: &mut Parameters) -> Self {
        Self { limit: parameters.integer("limit", 1, MAX_LIMIT), cluster_id: parameters.cluster_id("cluster_id") }
    }
}

/// The fleet's access.
#[derive(Default, Serialize, ToSchema)]
struct FleetCredentials {
    /// Clusters registered.
    total_clusters: usize,
    /// Clusters with credentials for their API server.
    with_credentials: usize,
    /// Clusters of which something has ended.
    expired: usize,
    /// Clusters of which something ends within the warning.
    expiring: usize,
    /// Clusters of which nothing is known to end.
    without_end: usize,
    /// The clusters of which something ends, the first outage first.
    items: Vec<ClusterAccess>,
}

/// What ends of one cluster.
#[derive(Serialize, ToSchema)]
struct ClusterAccess {
    /// Its id.
    cluster_id: Uuid,
    /// Its name.
    cluster_name: String,
    /// As what its API server's credentials were given; null without any.
    auth_type: Option<String>,
    /// `ok`, `expiring` or `expired`.
    #[schema(value_type = String)]
    status: &'static str,
    /// The first end.
    expires_at: DateTime<Utc>,
    /// Every end, the first one first.
    ends: Vec<EndView>,
}

/// One end.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessEnd)]
struct EndView {
    /// For which endpoint.
    #[schema(schema_with = schema::endpoint)]
    endpoint: &'static str,
    /// `token`, `client_certificate`, `ca_bundle` or `serving_certificate`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// When.
    expires_at: DateTime<Utc>,
}

/// What of the fleet's access ends, the first outage first: tokens, client certificates, CA bundles, and the certificates
/// that the servers showed.
#[utoipa::path(get, path = "/api/v1/fleet/credentials", tag = "credentials", params(Limit), responses(
    (status = 200, description = "The ranking, without secrets", body = FleetCredentials), Always))]
async fn fleet_credentials(
    State(api): State<ApiState>,
    seen: Seen,
    Params(query): Params<Limit>,
) -> Json<FleetCredentials> {
    let (foresight, now) = (&*api.foresight, api.clock.wall());
    let mut fleet = FleetCredentials::default();
    let mut ranked: Vec<(Entry, Vec<End>)> = Vec::new();
    seen.each(|entry| {
        let ends = foresight.ends(&entry.cluster);
        fleet.total_clusters += 1;
        fleet.with_credentials += usize::from(auth_type(foresight, entry).is_some());
        match ends.first().map(|end| foresight.stage(end, now)) {
            None => fleet.without_end += 1,
            Some(Stage::Over) => fleet.expired += 1,
            Some(Stage::Near | Stage::Imminent) => fleet.expiring += 1,
            Some(Stage::Far) => {}
        }
        if !ends.is_empty() && query.cluster_id.is_none_or(|id| id == entry.cluster.id) {
            ranked.push((entry.clone(), ends));
        }
    });
    ranked.sort_by_key(|(entry, ends)| (ends.first().map(|end| end.at), entry.cluster.id));
    let limit = query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT);
    let items = ranked.iter().take(limit).filter_map(|(entry, ends)| ClusterAccess::of(foresight, entry, ends, now));
    fleet.items = items.collect();
    Json(fleet)
}

fn auth_type(foresight: &Foresight, entry: &Entry) -> Option<&'static str> {
    match foresight.vault().get(entry.cluster.id) {
        Lookup::Some(credential) => credential.part(Endpoint::ApiServer).map(|part| part.auth_type.as_str()),
        Lookup::None | Lookup::Unavailable => None,
    }
}

impl ClusterAccess {
    fn of(foresight: &Foresight, entry: &Entry, ends: &[End], now: DateTime<Utc>) -> Option<Self> {
        let first = ends.first()?;
        let view = |end: &End| EndView { endpoint: end.endpoint.as_str(), kind: end.kind.as_str(), expires_at: end.at };
        Some(Self {
            cluster_id: entry.cluster.id.0,
            cluster_name: entry.cluster.name.clone(),
            auth_type: auth_type(foresight, entry).map(str::to_owned),
            status: match foresight.stage(first, now) {
                Stage::Far => "ok",
                Stage::Near | Stage::Imminent => "expiring",
                Stage::Over => "expired",
            },
            expires_at: first.at,
            ends: ends.iter().map(view).collect(),
        })
    }
}
