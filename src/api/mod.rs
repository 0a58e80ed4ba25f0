//! The REST API: routes, extractors, views, errors. Reads come from the board; writes go through `registration`.

mod access;
mod audit;
mod clusters;
mod conditions;
mod context;
mod credentials;
mod discovery;
mod error;
mod events;
mod extract;
mod fleet;
mod foresight;
mod gate;
mod health;
mod internal;
mod json;
mod keeper;
mod listing;
mod live;
mod login;
mod looked;
mod metrics;
mod openapi;
mod past;
mod query;
mod schema;
mod sessions;
mod silenced;
mod silences;
mod socket;
mod status_page;
mod stream;
mod streaming;
mod tiles;
mod tokens;
mod view;
mod vitals;
mod webhooks;
mod whoami;
mod witness;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use fleetbeat_actors::{
    board::{Board, Entry},
    engine::CheckNowError,
    health::CheckReport,
    outbox::Outbox,
    ports::Clock,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};
use tower_http::compression::CompressionLayer;
use tracing::Instrument;

pub use gate::{Bounds, GateRules};
pub use internal::{InternalParts, internal_router};
pub use status_page::StatusPage;
pub use streaming::StreamingRules;
pub use vitals::{Dependency, Facts, Pulse, Vitals};

use self::{
    error::ApiError,
    live::{Broadcaster, Listeners},
    view::Now,
};
use crate::{
    audit::Journal,
    credentials::Foresight,
    discovery::Discoverer,
    exposition::Collector,
    identity::{Caller, Identity},
    limits::Limiter,
    registration::{Registration, Watch},
    silences::Silences,
    store::Store,
    traces,
    webhooks::Webhooks,
};

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
    /// Who is silenced when.
    pub silences: Arc<Silences>,
    /// What of the fleet's access ends when.
    pub foresight: Arc<Foresight>,
    /// Asks clusters what they can do.
    pub discoverer: Arc<Discoverer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who may call.
    pub identity: Identity,
    /// Who is told what happens.
    pub webhooks: Arc<Webhooks>,
    /// Who did what.
    pub journal: Arc<Journal>,
    /// How often they may.
    pub limiter: Arc<Limiter>,
    /// What is decided before anybody looks.
    pub gate: GateRules,
    /// Further routes that are surrounded like the API: the dashboard's.
    pub pages: Router,
    /// Health of the process.
    pub vitals: Arc<Vitals>,
    /// The public status page, where there is one.
    pub status_page: Option<StatusPage>,
    /// The engine's metrics, where a recorder is installed.
    pub metrics: Option<PrometheusHandle>,
    /// How live events may be reached.
    pub streaming: StreamingRules,
    /// Becomes true when the process stops: event streams end then.
    pub stopping: watch::Receiver<bool>,
}

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
struct ApiState {
    parts: Arc<ApiParts>,
    broadcaster: Arc<Broadcaster>,
    listeners: Arc<Listeners>,
    collector: Arc<Collector>,
    /// What was looked for in vain.
    looked: Arc<looked::Looked>,
    /// Walks over the whole audit log.
    walks: Arc<Semaphore>,
}

impl std::ops::Deref for ApiState {
    type Target = ApiParts;
    fn deref(&self) -> &ApiParts {
        &self.parts
    }
}

impl ApiState {
    fn now(&self) -> Now<'_> {
        Now {
            instant: self.clock.now(),
            wall: self.clock.wall(),
            foresight: &self.foresight,
            calendar: self.silences.calendar(),
        }
    }

    /// Is somebody who began to listen a while ago still one?
    fn is_still(&self, caller: &Caller) -> bool {
        self.identity.is_still(caller, self.clock.wall())
    }

    /// Runs a check now, as long as the cluster's own deadline lets it take. The engine may need a moment to begin
    /// watching a cluster that was just registered.
    async fn check_now(&self, entry: &Entry) -> Result<CheckReport, ApiError> {
        let (id, patience) = (entry.cluster.id, self.registration.cadence(&entry.cluster).deadline * 2 + CHECK_SLACK);
        let give_up = self.clock.now() + WATCH_PATIENCE;
        loop {
            match self.engine.check_now(id, patience).instrument(traces::outside("cluster", "check")).await {
                Ok(report) => return Ok(report),
                Err(CheckNowError::NotWatched) if self.clock.now() < give_up && self.board.get(id).is_some() => {
                    tokio::time::sleep(WATCH_PAUSE).await;
                }
                Err(error) => return Err(ApiError::unreachable(error.to_string())),
            }
        }
    }
}

/// The API, and the little of it that observers need.
pub struct Routers {
    /// The whole API.
    pub everything: Router,
    /// `/health`, `/ready` and `/metrics` alone.
    pub observability: Router,
}

/// The whole API as one router.
pub fn router(parts: ApiParts) -> Router {
    routers(parts).everything
}

/// The API's routers.
pub fn routers(parts: ApiParts) -> Routers {
    let (clock, identity, journal) = (Arc::clone(&parts.clock), parts.identity.clone(), Arc::clone(&parts.journal));
    let (limiter, rules, pages) = (Arc::clone(&parts.limiter), parts.gate.clone(), parts.pages.clone());
    let silences = silenced::SilenceLookup::new(Arc::clone(&parts.board), Arc::clone(parts.silences.calendar()));
    let broadcaster = Broadcaster::new(Arc::clone(&parts.outbox), silences);
    let (broadcaster, walks) = (Arc::new(broadcaster), Arc::new(Semaphore::new(1)));
    let streaming = &parts.streaming;
    let listeners = Arc::new(Listeners::new(streaming.max_listeners, streaming.max_listeners_per_caller));
    let (looked, collector) = (Arc::default(), Arc::default());
    let state = ApiState { parts: Arc::new(parts), broadcaster, listeners, collector, looked, walks };
    let (observability, _) = health::observed_routes().merge(metrics::routes()).into_router();
    let (observability, _) = openapi::begin().merge(observability).with_state(state.clone()).split_for_parts();
    let prompt = clusters::routes()
        .merge(fleet::routes())
        .merge(foresight::routes())
        .merge(tiles::routes())
        .merge(status_page::routes())
        .merge(past::routes())
        .merge(silences::routes())
        .merge(events::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(tokens::routes())
        .merge(whoami::routes())
        .merge(login::routes())
        .merge(sessions::routes())
        .merge(audit::routes())
        .merge(streaming::routes())
        .merge(webhooks::routes())
        .prompt();
    let routes = prompt
        .merge(clusters::patient_routes())
        .merge(discovery::routes())
        .merge(credentials::routes())
        .merge(stream::routes())
        .merge(webhooks::patient_routes())
        .merge(audit::patient_routes())
        .merge(socket::routes());
    let (routes, openings) = routes.into_router();
    let (router, document) = openapi::begin().merge(routes).with_state(state).split_for_parts();
    let keeper = keeper::Doorkeeper { identity, limiter, openings };
    let keep = middleware::from_fn_with_state(Arc::new(keeper), keeper::keep);
    let router = router.layer(keep.clone()).merge(openapi::routes(&document)).merge(pages);
    let surroundings = Arc::new(Surroundings { rules, clock, journal: Some(journal) });
    Routers {
        observability: Arc::clone(&surroundings).around_compressed(observability.layer(keep)),
        everything: surroundings.around_compressed(router),
    }
}

/// What stands around every route, known or not.
struct Surroundings {
    rules: GateRules,
    clock: Arc<dyn Clock>,
    /// Told of what is refused; by those who tell of it themselves none.
    journal: Option<Arc<Journal>>,
}

impl Surroundings {
    /// One layer for all of them: a router copies every layer for every request.
    fn around(self: Arc<Self>, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, surround))
    }

    /// The same, and answers are compressed for those who ask for that. Not for what holds secrets, where even the length of
    /// an answer tells something.
    fn around_compressed(self: Arc<Self>, router: Router) -> Router {
        let quality = tower_http::CompressionLevel::Fastest;
        self.around(router).layer(CompressionLayer::new().quality(quality))
    }
}

async fn surround(State(surroundings): State<Arc<Surroundings>>, request: Request, next: Next) -> Response {
    let Surroundings { rules, clock, journal } = &*surroundings;
    let handled = |request| context::unpanicked(next.run(request));
    let gated = |request| gate::gate(rules, request, handled);
    // Further out than the gate: what that turns away is refused, too.
    let witnessed = |request| witness::witness(journal.as_deref(), request, gated);
    let named = |request| context::named(&**clock, request, witnessed);
    gate::armour(rules, request, named).await
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
        routing::get,
    };
    use fleetbeat_actors::testing::TestClock;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: Router) -> (u16, String) {
        let clock = Arc::new(TestClock::default());
        let surroundings = Surroundings { rules: GateRules::default(), clock, journal: None };
        let router = Arc::new(surroundings).around_compressed(router);
        let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panicking_handler_is_an_internal_error_without_its_words() {
        async fn panics() {
            panic!("secret");
        }
        let (status, body) = ask(Router::new().route("/", get(panics))).await;
        assert_eq!(status, 500);
        assert!(body.contains("INTERNAL_ERROR") && !body.contains("secret"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_takes_too_long_is_given_up() {
        async fn sleeps() {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        let in_time = |request, next: Next| context::in_time(gate::Bounds::default(), next.run(request));
        let (status, body) = ask(Router::new().route("/", get(sleeps)).layer(middleware::from_fn(in_time))).await;
        assert_eq!(status, 408);
        assert!(body.contains("REQUEST_TIMEOUT"), "{body}");
    }
}
