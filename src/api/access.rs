//! Who may call what: every route states the role it needs, and every handler sees clusters through its caller.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::request::Parts,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use fleetbeat_actors::{
    board::{Board, Entry},
    event::Event,
    roll::ClusterId,
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};
use utoipa::openapi::{
    extensions::Extensions,
    path::{Operation, PathItem},
    security::SecurityRequirement,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{ApiState, error::ApiError, live::Frame, schema, view::Now, witness};
use crate::{
    audit::Origin,
    exposition::{Collector, Exposition},
    identity::{Author, Caller, Identity, Knock, Method, Peer, Role, Unknown},
    limits::{Asker, Limiter},
    store::Among,
};

/// Name of the security scheme in the OpenAPI document.
pub const SCHEME: &str = "bearer";

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: it tells nothing about the fleet.
    Nobody,
    /// A role.
    Role(Role),
    /// [`Role::Admin`] without a scope: it concerns all callers, or the fleet as a whole.
    FleetAdmin,
}

impl Need {
    const fn word(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Role(role) => role.as_str(),
            Self::FleetAdmin => "fleet-admin",
        }
    }

    fn is_met_by(self, caller: &Caller) -> bool {
        match self {
            Self::Nobody => true,
            Self::Role(role) => caller.role >= role,
            Self::FleetAdmin => caller.role == Role::Admin && caller.scope.is_everything(),
        }
    }
}

/// Routes, each with what it needs. There is no way to add one without saying so.
pub struct Routes(OpenApiRouter<ApiState>);

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self(OpenApiRouter::new())
    }

    /// For everybody, known or not.
    pub fn open(self, route: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Need::Nobody, route)
    }

    /// For those who may read.
    pub fn viewer(self, route: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Need::Role(Role::Viewer), route)
    }

    /// For those who may change clusters.
    pub fn operator(self, route: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Need::Role(Role::Operator), route)
    }

    /// For those who may remove clusters.
    pub fn admin(self, route: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Need::Role(Role::Admin), route)
    }

    /// For administrators of the whole fleet.
    pub fn fleet_admin(self, route: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Need::FleetAdmin, route)
    }

    /// These and others.
    pub fn merge(self, others: Self) -> Self {
        Self(self.0.merge(others.0))
    }

    /// Every handler of these must begin its answer in time.
    pub fn prompt(self) -> Self {
        Self(self.0.layer(middleware::from_fn(super::context::deadline)))
    }

    /// As a router.
    pub fn into_router(self) -> OpenApiRouter<ApiState> {
        self.0
    }

    fn add(self, need: Need, (schemas, mut paths, methods): UtoipaMethodRouter<ApiState>) -> Self {
        for item in paths.paths.values_mut() {
            operations(item).for_each(|operation| describe(operation, need));
        }
        let guarded = methods.route_layer(middleware::from_fn(move |request, next| guard(need, request, next)));
        Self(self.0.routes((schemas, paths, guarded)))
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn describe(operation: &mut Operation, need: Need) {
    let told = Extensions::from_iter([("x-required-role", need.word())]);
    operation.extensions.get_or_insert_default().merge(told);
    let mut answers = vec![("429", "Too many requests: RATE_LIMITED")];
    operation.security = match need {
        Need::Nobody => Some(Vec::new()),
        Need::Role(_) | Need::FleetAdmin => {
            answers.extend([
                ("401", "Nobody known is calling: AUTH_FAILED"),
                ("403", "Not for you: PERMISSION_DENIED"),
                ("503", "Who is calling cannot be found out now: DEPENDENCY_UNAVAILABLE"),
            ]);
            Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())])
        }
    };
    for (status, why) in answers {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| schema::error(why));
    }
}

/// Who a request was found to come from.
#[derive(Clone)]
pub struct Identified(pub Result<Caller, Unknown>);

/// Marks a request of somebody unknown that is counted at its address already.
#[derive(Clone, Copy)]
struct Counted;

/// Machines that ask whether the process lives: whoever they are.
const PROBES: [&str; 2] = ["/health", "/ready"];
/// Routes on which nobody is asked outside whose a token is: they are for everybody, and no different for those who are known.
const FOR_EVERYBODY: [&str; 5] =
    ["/api/v1/version", "/api/v1/auth/methods", "/auth/login", "/auth/callback", "/api/v1/status-page"];

/// What finds out who is calling, and how often those may try whom nobody knows.
pub type Doorkeeper = (Identity, Arc<Limiter>);

/// Finds out who is calling; whether that is enough, each route's guard says. Before the hub is asked about a token, its sender's
/// address pays for a request of somebody unknown, and gets that back should the token be good.
pub async fn identify(State(keeper): State<Doorkeeper>, mut request: Request, next: Next) -> Response {
    let (identity, limiter) = keeper;
    if PROBES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let address = peer.address.map(|address| address.ip());
    let knock = Knock { method: request.method(), headers: request.headers(), peer: &peer };
    let caller = match identity.recall(knock).await {
        Some(known) => known,
        None if FOR_EVERYBODY.contains(&request.uri().path()) => Err(Unknown::Nobody),
        None => {
            if let Err(wait) = limiter.ask(Asker::Unknown(address)).await {
                return too_many(wait);
            }
            let found = identity.identify(knock).await;
            if found.is_ok() {
                limiter.forgive(address);
            } else {
                request.extensions_mut().insert(Counted);
            }
            found
        }
    };
    request.extensions_mut().insert(Identified(caller.clone()));
    let mut response = next.run(request).await;
    // For those further out, who tell of what was refused.
    response.extensions_mut().insert(Identified(caller));
    response
}

/// Lets a caller ask as often as they may. Machines that ask whether the process lives are never turned away, and neither is
/// anybody on this machine while no method is set.
pub async fn limit(State(limiter): State<Arc<Limiter>>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let exempt = PROBES.contains(&request.uri().path()) || extensions.get::<Counted>().is_some();
    let asked = match extensions.get::<Identified>() {
        Some(Identified(Ok(caller))) if caller.method == Method::Open => Ok(()),
        _ if exempt => Ok(()),
        Some(Identified(Ok(caller))) => limiter.ask(Asker::Known(&caller.id)).await,
        Some(Identified(Err(_))) | None => {
            let address = extensions.get::<Peer>().and_then(|peer| peer.address).map(|address| address.ip());
            limiter.ask(Asker::Unknown(address)).await
        }
    };
    match asked {
        Ok(()) => next.run(request).await,
        Err(wait) => too_many(wait),
    }
}

fn too_many(wait: Duration) -> Response {
    metrics::counter!("fleetbeat_api_rate_limited_total").increment(1);
    ApiError::too_many_requests(wait).into_response()
}

async fn guard(need: Need, request: Request, next: Next) -> Response {
    if need == Need::Nobody {
        return next.run(request).await;
    }
    match caller(request.extensions()) {
        Ok(caller) if need.is_met_by(&caller) => next.run(request).await,
        Ok(_) => ApiError::permission_denied("Your role does not allow this").into_response(),
        Err(error) => error.into_response(),
    }
}

fn caller(extensions: &axum::http::Extensions) -> Result<Caller, ApiError> {
    match extensions.get::<Identified>() {
        Some(Identified(Ok(caller))) => Ok(caller.clone()),
        Some(Identified(Err(unknown))) => Err(refusal(*unknown)),
        None => {
            tracing::error!("a request was not identified");
            Err(ApiError::internal())
        }
    }
}

/// What a stranger is told: the same whatever was wrong with their proof.
pub fn refusal(unknown: Unknown) -> ApiError {
    match unknown {
        Unknown::Nobody => ApiError::unauthorized("Authentication required"),
        Unknown::Refused => ApiError::unauthorized("The credentials are not accepted"),
        Unknown::Powerless => ApiError::permission_denied("None of your groups may do anything here"),
        Unknown::CrossSite => ApiError::permission_denied("The request did not come from the dashboard"),
        Unknown::Unavailable => {
            let message = "Who is calling cannot be found out now";
            ApiError::dependency_unavailable(message, Duration::from_secs(5))
        }
    }
}

/// The fleet as the caller may see it. What is outside their scope does not exist here.
#[derive(Clone)]
pub struct Seen {
    /// Who is calling.
    pub caller: Caller,
    /// The same, and from where: what the audit log tells of them.
    pub origin: Origin,
    board: Arc<Board>,
}

/// From so many clusters on, to visit all of them takes about a millisecond.
const MANY: usize = 1_000;

/// Does what has to do with so many clusters. Where those are many, the thread first hands its place among the runtime's
/// workers to another one, so that the requests behind this one do not wait for it.
fn at_length<T>(clusters: usize, work: impl FnOnce() -> T) -> T {
    let many_workers = |handle: Handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread;
    if clusters >= MANY && Handle::try_current().is_ok_and(many_workers) { block_in_place(work) } else { work() }
}

impl Seen {
    /// The fleet as this caller may see it.
    pub fn of(caller: Caller, origin: Origin, api: &ApiState) -> Self {
        Self { caller, origin, board: Arc::clone(&api.board) }
    }

    /// One cluster.
    pub fn get(&self, id: ClusterId) -> Result<Entry, ApiError> {
        self.board.get(id).filter(|entry| self.admits(entry)).ok_or_else(|| ApiError::cluster_not_found(id))
    }

    /// One cluster by its name.
    pub fn by_name(&self, name: &str) -> Result<Entry, ApiError> {
        self.board.by_name(name).filter(|entry| self.admits(entry)).ok_or_else(|| ApiError::no_cluster_named(name))
    }

    /// Visits every cluster in the order of names; `visit` must be quick and ask the board for nothing.
    pub fn each(&self, mut visit: impl FnMut(&Entry)) {
        let admitted = |entry: &Entry| {
            if self.admits(entry) {
                visit(entry);
            }
        };
        at_length(self.board.len(), || self.board.each(admitted));
    }

    /// Their series.
    pub fn exposition(&self, collector: &Collector, now: Now<'_>) -> Exposition {
        let silences = Some((now.calendar, now.wall));
        let admits = |entry: &Entry| self.admits(entry);
        at_length(self.board.len(), || {
            collector.collect(&self.board, admits, Some(now.foresight), silences, now.instant)
        })
    }

    /// How many clusters there are.
    pub fn count(&self) -> usize {
        let mut count = 0;
        self.each(|_| count += 1);
        count
    }

    /// Whose events may be seen, among which each is still to be looked at; `None` for all.
    pub fn among(&self) -> Option<Among> {
        let scope = &self.caller.scope;
        if scope.is_everything() {
            return None;
        }
        let mut ids = scope.named();
        self.each(|entry| ids.extend([entry.cluster.id]));
        Some(Among { cluster_ids: ids.into_iter().collect(), removed: scope.goes_by_labels() })
    }

    /// May there be events of this cluster that may be seen?
    pub fn may_hear_of(&self, id: ClusterId) -> bool {
        let scope = &self.caller.scope;
        match self.board.get(id) {
            Some(entry) => self.admits(&entry),
            None => scope.is_everything() || scope.goes_by_labels() || scope.named().contains(&id),
        }
    }

    /// May this event be seen?
    pub fn admits_event(&self, event: &Event) -> bool {
        self.caller.scope.admits_event(event, &self.board)
    }

    /// The same, without reading again what the event tells.
    pub fn admits_frame(&self, frame: &Frame) -> bool {
        self.caller.scope.admits_told(frame.event.cluster_id, &|| frame.labels(), &self.board)
    }

    /// On whose behalf a change is made.
    pub fn author(&self) -> Author {
        Author::new(&self.caller, self.origin.clone())
    }

    /// Does the caller see the fleet as a whole?
    pub fn is_everything(&self) -> bool {
        self.caller.scope.is_everything()
    }

    fn admits(&self, entry: &Entry) -> bool {
        self.caller.scope.admits(&entry.cluster)
    }
}

impl FromRequestParts<ApiState> for Seen {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, ApiError> {
        let caller = caller(&parts.extensions)?;
        let origin = witness::origin(Some(&caller), &parts.extensions);
        Ok(Self::of(caller, origin, api))
    }
}
