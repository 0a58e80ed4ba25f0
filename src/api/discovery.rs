//! What a cluster can do: found out now, on demand.

use std::sync::Arc;

use axum::{Json, extract::State};
use fleetbeat_actors::roll::ClusterId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    extract::Id,
    query::NoQuery,
    schema::{Always, NeedsStore, OneCluster},
};
use crate::discovery::{Capabilities, DiscoveryError, Gap};

/// The route, which waits for the cluster.
pub fn routes() -> Routes {
    Routes::new().operator(routes!(discover_cluster))
}

/// What a discovery brought.
#[derive(Serialize, ToSchema)]
struct Discovery {
    /// Does it differ from what was known before?
    changed: bool,
    /// What the cluster can do.
    capabilities: Capabilities,
}

/// Finds out now what a cluster can do, with its own credentials, and answers with it.
#[utoipa::path(post, path = "/api/v1/clusters/{id}/discover", tag = "clusters", params(
    ("id" = uuid::Uuid, Path, description = "Cluster id")), responses(
    (status = 200, description = "What was found; what was not is null, with the reason", body = Discovery),
    (status = 412, description = "The cluster was changed meanwhile: PRECONDITION_FAILED",
        body = super::error::ErrorEnvelope),
    (status = 500, description = "The cluster refused: DISCOVERY_FAILED", body = super::error::ErrorEnvelope),
    Always, OneCluster, NeedsStore))]
async fn discover_cluster(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
) -> Result<Json<Discovery>, ApiError> {
    seen.get(id)?;
    let found = api.discoverer.discover(id).await?;
    Ok(Json(Discovery { changed: found.changed, capabilities: found.capabilities }))
}

impl ApiState {
    /// Finds out what a cluster can do, if there are credentials to ask with, while nobody waits for it.
    pub(super) fn discover_behind(&self, id: ClusterId) {
        let discoverer = Arc::clone(&self.discoverer);
        tokio::spawn(async move {
            if let Err(error @ DiscoveryError::Write(_)) = discoverer.discover(id).await {
                tracing::warn!(%id, %error, "what a cluster can do could not be stored");
            }
        });
    }
}

impl From<DiscoveryError> for ApiError {
    fn from(error: DiscoveryError) -> Self {
        match error {
            DiscoveryError::NotFound(id) => Self::cluster_not_found(id),
            DiscoveryError::NoCredentials(id) => Self::credentials_not_found(id),
            DiscoveryError::Unreachable(Gap::Silent(_) | Gap::Late) => Self::unreachable(error.to_string()),
            DiscoveryError::Unreachable(_) => Self::discovery_failed(error.to_string()),
            DiscoveryError::Write(error) => error.into(),
        }
    }
}
