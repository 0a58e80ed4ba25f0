//! Tells the audit log of every request that was refused: 401, 403 and 429 always, whatever else is wrong with one that writes.
//! Nothing of a request's body, query or headers is told, for it may be secret; of its path only the route and a UUID.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request},
    http::{Extensions, Method, StatusCode, Uri, request::Parts},
    response::Response,
};
use fleetbeat_actors::roll::ClusterId;
use serde_json::json;

use super::{access::Identified, context::RequestId, error::ApiError, extract::uuid};
use crate::{
    audit::{Action, Journal, Origin},
    identity::{Caller, Peer},
    store::{AuditEntry, AuditOutcome},
};

/// Passes requests on to `next`, and notes those that were refused, where there is a journal.
pub async fn witness<F>(journal: Option<&Journal>, request: Request, next: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let Some(journal) = journal else { return next(request).await };
    let asked = Asked::of(&request);
    let anonymous = origin(None, request.extensions());
    let response = next(request).await;
    if asked.is_told(response.status()) {
        let caller = match response.extensions().get::<Identified>() {
            Some(Identified(Ok(caller))) => Some(caller),
            Some(Identified(Err(_))) | None => None,
        };
        let origin = caller.map_or(anonymous.clone(), |caller| known(caller, anonymous));
        let entry = asked.tell(journal.entry(&origin, asked.action()), &response);
        journal.note(&origin, entry);
    }
    response
}

/// Where a request comes from.
pub fn origin(caller: Option<&Caller>, extensions: &Extensions) -> Origin {
    let request_id = extensions.get::<RequestId>().map(|RequestId(id)| Arc::clone(id));
    let address = extensions.get::<Peer>().and_then(|peer| peer.address);
    let anonymous = Origin::anonymous(address, request_id);
    match caller {
        Some(caller) => known(caller, anonymous),
        None => anonymous,
    }
}

/// Where a request comes from, now that it is known whose it is.
pub fn known(caller: &Caller, origin: Origin) -> Origin {
    let (actor, name) = (Arc::clone(&caller.id), Some(Arc::clone(&caller.name)));
    Origin { actor, name, method: caller.method.as_str(), ..origin }
}

/// Where a request comes from, as far as the connection shows.
pub struct Whence(pub Origin);

impl<S: Send + Sync> FromRequestParts<S> for Whence {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(origin(None, &parts.extensions)))
    }
}

/// What a request wants. Few are told of, so that nothing of it is read before.
struct Asked {
    method: Method,
    route: Option<MatchedPath>,
    uri: Uri,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { method: request.method().clone(), route, uri: request.uri().clone() }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("-", MatchedPath::as_str)
    }

    fn action(&self) -> Action {
        action(&self.method, self.route())
    }

    fn id(&self) -> Option<ClusterId> {
        self.uri.path().split('/').find_map(uuid).map(ClusterId)
    }

    fn is_told(&self, status: StatusCode) -> bool {
        let always = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
        let failed = status.is_client_error() || status.is_server_error();
        always.contains(&status) || (failed && !reads(&self.method))
    }

    fn tell(&self, entry: AuditEntry, response: &Response) -> AuditEntry {
        let status = response.status();
        let code = response.extensions().get::<ApiError>().map_or(ApiError::of_status(status).code, |error| error.code);
        let outcome = if status.is_server_error() { AuditOutcome::Failed } else { AuditOutcome::Refused };
        let entry = entry.ended(outcome, code).with("method", json!(self.method.as_str()));
        let entry = entry.with("route", json!(self.route())).with("status", json!(status.as_u16()));
        match self.id() {
            Some(id) if self.route().starts_with("/api/v1/clusters") => entry.of_cluster(id),
            Some(id) => entry.of_object(&id.to_string()),
            None => entry,
        }
    }
}

fn reads(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// What a request would have done.
fn action(method: &Method, route: &str) -> Action {
    match (method.as_str(), route) {
        ("POST", "/api/v1/clusters") => Action::ClusterCreate,
        ("PUT" | "PATCH", "/api/v1/clusters/{id}") => Action::ClusterUpdate,
        ("DELETE", "/api/v1/clusters/{id}") => Action::ClusterDelete,
        ("POST", "/api/v1/clusters:import") => Action::ClusterImport,
        ("POST", "/api/v1/clusters/{id}/refresh") => Action::ClusterRefresh,
        ("POST", "/api/v1/clusters/{id}/discover") => Action::ClusterDiscover,
        ("POST", "/api/v1/clusters/{id}/credentials") => Action::CredentialsUpload,
        ("POST", "/api/v1/clusters/{id}/credentials/rotate") => Action::CredentialsRotate,
        ("POST", "/api/v1/clusters/{id}/credentials/validate") => Action::CredentialsValidate,
        ("DELETE", "/api/v1/clusters/{id}/credentials") => Action::CredentialsDelete,
        ("POST", "/api/v1/tokens") => Action::TokenCreate,
        ("DELETE", "/api/v1/tokens/{id}") => Action::TokenRevoke,
        ("DELETE", "/api/v1/sessions/{id}" | "/api/v1/whoami/sessions/{id}") => Action::SessionEnd,
        _ if reads(method) => Action::Read,
        _ => Action::Write,
    }
}
