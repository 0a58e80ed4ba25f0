//! The REST API: routes, extractors, views, errors. Reads come from the board; writes go through `registration`.

mod clusters;
mod context;
mod error;
mod events;
mod extract;
mod fleet;
mod health;
mod listing;
mod metrics;
mod openapi;
mod past;
mod query;
mod schema;
mod selector;
pub mod serve;
mod stream;
mod view;
mod vitals;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware};
use fleetbeat_actors::{
    board::{Board, Entry},
    engine::CheckNowError,
    health::CheckReport,
    outbox::Outbox,
    ports::Clock,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};

pub use vitals::{Dependency, Facts, Pulse, Vitals};

use self::{error::ApiError, view::Now};
use crate::{
    registration::{Registration, Watch},
    store::Store,
};

/// Most event streams open at once.
const MAX_STREAMS: usize = 1_024;
/// What a check on demand may take beyond its cluster's own deadlines.
const CHECK_SLACK: Duration = Duration::from_secs(5);

/// How long the engine may take to begin watching a new cluster, and how often it is asked.
const WATCH_PATIENCE: Duration = Duration::from_secs(2);
const WATCH_PAUSE: Duration = Duration::from_millis(50);

/// What wiring gives to the API.
pub struct ApiParts {
    /// The read model.
    pub board: Arc<Board>,
    /// The event log's recent end.
    pub outbox: Arc<Outbox>,
    /// The store, for history and old events.
    pub store: Arc<dyn Store>,
    /// The writing side.
    pub registration: Arc<Registration>,
    /// The engine.
    pub engine: Arc<dyn Watch>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Health of the process.
    pub vitals: Arc<Vitals>,
    /// The engine's metrics, where a recorder is installed.
    pub metrics: Option<PrometheusHandle>,
    /// Becomes true when the process stops: event streams end then.
    pub stopping: watch::Receiver<bool>,
}

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
struct ApiState {
    parts: Arc<ApiParts>,
    streams: Arc<Semaphore>,
}

impl std::ops::Deref for ApiState {
    type Target = ApiParts;
    fn deref(&self) -> &ApiParts {
        &self.parts
    }
}

impl ApiState {
    fn now(&self) -> Now {
        Now { instant: self.clock.now(), wall: self.clock.wall() }
    }

    /// Runs a check now, as long as the cluster's own deadline lets it take. The engine may need a moment to begin
    /// watching a cluster that was just registered.
    async fn check_now(&self, entry: &Entry) -> Result<CheckReport, ApiError> {
        let (id, patience) = (entry.cluster.id, self.registration.cadence(&entry.cluster).deadline * 2 + CHECK_SLACK);
        let give_up = self.clock.now() + WATCH_PATIENCE;
        loop {
            match self.engine.check_now(id, patience).await {
                Ok(report) => return Ok(report),
                Err(CheckNowError::NotWatched) if self.clock.now() < give_up && self.board.get(id).is_some() => {
                    tokio::time::sleep(WATCH_PAUSE).await;
                }
                Err(error) => return Err(ApiError::unreachable(error.to_string())),
            }
        }
    }
}

/// The whole API as one router.
pub fn router(parts: ApiParts) -> Router {
    let clock = Arc::clone(&parts.clock);
    let state = ApiState { parts: Arc::new(parts), streams: Arc::new(Semaphore::new(MAX_STREAMS)) };
    let prompt = clusters::routes()
        .merge(fleet::routes())
        .merge(past::routes())
        .merge(events::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .layer(middleware::from_fn(context::deadline));
    let (router, document) = openapi::begin()
        .merge(prompt)
        .merge(clusters::patient_routes())
        .merge(stream::routes())
        .with_state(state)
        .split_for_parts();
    router
        .merge(openapi::routes(&document))
        .layer(CatchPanicLayer::custom(context::panicked))
        .layer(middleware::from_fn_with_state(clock, context::surround))
        .layer(CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest))
}
