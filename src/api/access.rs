//! Who may call what: every route states the role it needs, and every handler sees clusters through its caller.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request},
    http::{Extensions, request::Parts},
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
use tracing::Instrument;
use utoipa::openapi::{
    extensions::Extensions as Told,
    path::{Operation, PathItem},
    security::SecurityRequirement,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{ApiState, error::ApiError, live::Frame, schema, view::Now, witness};
use crate::{
    audit::Origin,
    exposition::{Collector, Exposition},
    identity::{Author, Caller, Role, Unknown},
    store::Among,
    traces,
};

/// Name of the security scheme in the OpenAPI document.
pub const SCHEME: &str = "bearer";

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: machines ask whether the process lives. Whoever they are, they are never turned away.
    Life,
    /// Nothing: it tells nothing about the fleet, and no different to those who are known. Nobody outside is asked who that is.
    Nobody,
    /// Nothing yet: who is calling may be known already, or is said later.
    Greeting,
    /// A role.
    Role(Role),
    /// [`Role::Admin`] without a scope: it concerns all callers, or the fleet as a whole.
    FleetAdmin,
}

impl Need {
    const fn word(self) -> &'static str {
        match self {
            Self::Life | Self::Nobody | Self::Greeting => "none",
            Self::Role(role) => role.as_str(),
            Self::FleetAdmin => "fleet-admin",
        }
    }

    fn is_met_by(self, caller: &Caller) -> bool {
        match self {
            Self::Life | Self::Nobody | Self::Greeting => true,
            Self::Role(role) => caller.role >= role,
            Self::FleetAdmin => caller.role == Role::Admin && caller.scope.is_everything(),
        }
    }
}

/// What is known of a path before its handler is reached.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// What it needs of its caller.
    pub need: Need,
    /// Must its handlers begin their answers in time?
    pub is_prompt: bool,
}

/// What each path needs: whoever stands before the routes goes by this, too.
#[derive(Clone, Debug, Default)]
pub struct Openings(HashMap<String, Opening>);

impl Openings {
    /// A path whose methods need different things is open to nobody, and one of which a method takes its time is not prompt.
    fn note(&mut self, path: String, opening: Opening) {
        let known = self.0.entry(path).or_insert(opening);
        if known.need != opening.need {
            known.need = Need::FleetAdmin;
        }
        known.is_prompt &= opening.is_prompt;
    }

    /// What the path of a request needs; `None` where there is no such path.
    pub fn of(&self, extensions: &Extensions) -> Option<Opening> {
        let path = extensions.get::<MatchedPath>()?;
        self.0.get(path.as_str()).copied()
    }
}

/// Routes, each with what it needs. There is no way to add one without saying so.
pub struct Routes {
    router: OpenApiRouter<ApiState>,
    openings: Openings,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self { router: OpenApiRouter::new(), openings: Openings::default() }
    }

    /// For machines that ask whether the process lives.
    pub fn probe(self, route: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Need::Life, route)
    }

    /// For those who say who they are once they are in.
    pub fn greeting(self, route: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Need::Greeting, route)
    }

    /// For everybody, and the same for all of them.
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
    pub fn merge(mut self, others: Self) -> Self {
        others.openings.0.into_iter().for_each(|(path, opening)| self.openings.note(path, opening));
        Self { router: self.router.merge(others.router), ..self }
    }

    /// Every handler of these must begin its answer in time.
    pub fn prompt(mut self) -> Self {
        self.openings.0.values_mut().for_each(|opening| opening.is_prompt = true);
        self
    }

    /// As a router, and what its paths need.
    pub fn into_router(self) -> (OpenApiRouter<ApiState>, Openings) {
        (self.router, self.openings)
    }

    fn add(mut self, need: Need, (schemas, mut paths, methods): UtoipaMethodRouter<ApiState>) -> Self {
        for (path, item) in &mut paths.paths {
            operations(item).for_each(|operation| describe(operation, need));
            self.openings.note(path.clone(), Opening { need, is_prompt: false });
        }
        let guarded = methods.route_layer(middleware::from_fn(move |request, next| guard(need, request, next)));
        Self { router: self.router.routes((schemas, paths, guarded)), ..self }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn describe(operation: &mut Operation, need: Need) {
    let told = Told::from_iter([("x-required-role", need.word())]);
    operation.extensions.get_or_insert_default().merge(told);
    let mut answers = vec![("429", "Too many requests: RATE_LIMITED")];
    operation.security = match need {
        Need::Life | Need::Nobody | Need::Greeting => Some(Vec::new()),
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

async fn guard(need: Need, request: Request, next: Next) -> Response {
    let refused = match need {
        Need::Life | Need::Nobody | Need::Greeting => None,
        Need::Role(_) | Need::FleetAdmin => match caller(request.extensions()) {
            Ok(caller) if need.is_met_by(caller) => None,
            Ok(_) => Some(ApiError::permission_denied("Your role does not allow this")),
            Err(error) => Some(error),
        },
    };
    match refused {
        None => next.run(request).instrument(traces::work()).await,
        Some(error) => error.into_response(),
    }
}

fn caller(extensions: &Extensions) -> Result<&Caller, ApiError> {
    match extensions.get::<Identified>() {
        Some(Identified(Ok(caller))) => Ok(caller),
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
        self.each_after("", |entry, _| visit(entry));
    }

    /// The same, and of each cluster whether its name comes after this one.
    pub fn each_after(&self, name: &str, mut visit: impl FnMut(&Entry, bool)) {
        let admitted = |entry: &Entry, is_after| {
            if self.admits(entry) {
                visit(entry, is_after);
            }
        };
        at_length(self.board.len(), || self.board.each_after(name, admitted));
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

    /// Does what the caller may see change with the clusters' labels?
    pub fn goes_by_labels(&self) -> bool {
        self.caller.scope.goes_by_labels()
    }

    fn admits(&self, entry: &Entry) -> bool {
        self.caller.scope.admits(&entry.cluster)
    }
}

impl FromRequestParts<ApiState> for Seen {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, ApiError> {
        let caller = caller(&parts.extensions)?;
        let origin = witness::origin(Some(caller), &parts.extensions);
        Ok(Self::of(caller.clone(), origin, api))
    }
}
