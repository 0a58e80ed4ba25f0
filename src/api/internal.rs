//! The internal endpoint: hands the credentials of a cluster to other parts of the platform. Served on a listener of its own; who
//! asks is reviewed by the hub every time, and nothing leaves before the audit log holds who took it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::Board,
    health::Endpoint,
    ports::Clock,
    roll::{Cluster, ClusterId},
};
use secrecy::{ExposeSecret, zeroize::Zeroizing};
use serde::Serialize;
use serde_json::json;

use super::{Surroundings, context, error::ApiError, extract::Id, gate::GateRules, witness::Whence};
use crate::{
    audit::{Action, Journal, Origin},
    credentials::{Binding, Credential, Part, url_of},
    hub::{Review, Reviews},
    limits::{Asker, Limiter},
    registration::Registration,
    store::{AuditEntry, AuditOutcome},
};

const X_INTERNAL_TOKEN: HeaderName = HeaderName::from_static("x-internal-token");
const X_SERVICE_NAME: HeaderName = HeaderName::from_static("x-service-name");
/// Room for what is handed out, bytes: grown less often, it leaves fewer copies behind.
const ROOM: usize = 16 * 1024;
/// When a caller may try again while the hub does not review.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What wiring gives to the internal endpoint.
pub struct InternalParts {
    /// The read model.
    pub board: Arc<Board>,
    /// What knows the credentials.
    pub registration: Arc<Registration>,
    /// The hub, which says whose a token is.
    pub reviews: Reviews,
    /// For whom tokens have to be made.
    pub audience: String,
    /// Service accounts that may ask, as `namespace/name`.
    pub allowed: Vec<String>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who took what.
    pub journal: Arc<Journal>,
    /// How often they may ask.
    pub limiter: Arc<Limiter>,
    /// What is decided before anybody looks.
    pub gate: GateRules,
}

/// The internal endpoint, and nothing else.
pub fn internal_router(parts: InternalParts) -> Router {
    let (rules, clock) = (parts.gate.clone(), Arc::clone(&parts.clock));
    let bounds = rules.bounds;
    let in_time = move |request, next: Next| context::in_time(bounds, next.run(request));
    let routes = Router::new().route("/internal/v1/clusters/{id}/credentials", get(hand_out));
    let routes = routes.layer(middleware::from_fn(in_time)).with_state(Arc::new(parts));
    Arc::new(Surroundings { rules, clock, journal: None }).around(routes)
}

/// Credentials as they are used.
#[derive(Serialize)]
struct Handed<'a> {
    cluster_id: ClusterId,
    cluster_name: &'a str,
    /// When the first token or client certificate ends, where any tells.
    expires_at: Option<DateTime<Utc>>,
    /// One for every endpoint that they open.
    endpoints: BTreeMap<&'static str, HandedPart<'a>>,
}

/// The credentials of one endpoint, and where they may be shown.
#[derive(Serialize)]
struct HandedPart<'a> {
    url: &'a str,
    auth_type: &'static str,
    token: Option<&'a str>,
    client_certificate: Option<&'a str>,
    client_key: Option<&'a str>,
    ca: Option<&'a str>,
    tls_server_name: Option<&'a str>,
}

/// Hands out a cluster's credentials: to an allowed account, once that is written down.
async fn hand_out(
    State(api): State<Arc<InternalParts>>,
    Whence(mut origin): Whence,
    headers: HeaderMap,
    id: Result<Id, ApiError>,
) -> Result<Response, ApiError> {
    let asked = id.as_ref().ok().map(|Id(id)| *id);
    let found = match api.admit(&mut origin, &headers).await {
        Ok(()) => id.and_then(|Id(id)| api.find(id)),
        Err(error) => Err(error),
    };
    let entry = api.told(&origin, &headers, asked);
    match found {
        Ok((cluster, credential)) => {
            let endpoints: Vec<_> =
                handed_parts(&cluster, &credential).map(|(endpoint, _)| endpoint.as_str()).collect();
            let entry = entry.of_object(&cluster.name).with("endpoints", json!(endpoints));
            api.journal.tell(entry).await.map_err(ApiError::of_reading)?;
            answer(&cluster, &credential)
        }
        Err(error) => {
            let outcome = if error.status.is_server_error() { AuditOutcome::Failed } else { AuditOutcome::Refused };
            let entry = entry.ended(outcome, error.code).with("status", json!(error.status.as_u16()));
            api.journal.note(&origin, entry);
            Err(error)
        }
    }
}

impl InternalParts {
    /// Lets an allowed account in, as often as it may ask. From then on `origin` is the account, also of one not allowed.
    async fn admit(&self, origin: &mut Origin, headers: &HeaderMap) -> Result<(), ApiError> {
        let identified = self.identify(origin, headers).await;
        let asker = match &identified {
            Ok(_) => Asker::Known(&origin.actor),
            Err(_) => Asker::Unknown(origin.address.map(|address| address.ip())),
        };
        self.limiter.ask(asker).await.map_err(ApiError::too_many_requests)?;
        let user = identified?;
        if self.allowed.iter().any(|account| user_of(account).as_deref() == Some(&*user)) {
            return Ok(());
        }
        Err(ApiError::permission_denied("This account is not in internal.allowed_service_accounts"))
    }

    /// Whose token is shown? Anything but one token that the hub accepts for our audience is nobody's.
    async fn identify(&self, origin: &mut Origin, headers: &HeaderMap) -> Result<Arc<str>, ApiError> {
        let mut shown = headers.get_all(X_INTERNAL_TOKEN).iter();
        let (Some(token), None) = (shown.next(), shown.next()) else {
            return Err(ApiError::unauthorized("X-Internal-Token is required, once"));
        };
        let refused = || ApiError::unauthorized("The token is not accepted");
        let token = token.to_str().map_err(|_| refused())?;
        match self.reviews.review(token, &self.audience).await {
            Ok(Review::Accepted(user)) => {
                let name: Arc<str> = user.user.as_str().into();
                origin.actor = format!("kubernetes:{name}").into();
                (origin.name, origin.method) = (Some(Arc::clone(&name)), "kubernetes");
                Ok(name)
            }
            Ok(Review::Refused) => Err(refused()),
            Err(error) => {
                tracing::warn!(%error, "the hub did not review a token shown at the internal endpoint");
                Err(ApiError::dependency_unavailable("Who is calling cannot be found out now", RETRY_AFTER))
            }
        }
    }

    fn find(&self, id: ClusterId) -> Result<(Arc<Cluster>, Arc<Credential>), ApiError> {
        let entry = self.board.get(id).ok_or_else(|| ApiError::cluster_not_found(id))?;
        let credential = self.registration.stored(id)?;
        if handed_parts(&entry.cluster, &credential).next().is_none() {
            return Err(ApiError::credentials_not_found(id));
        }
        Ok((entry.cluster, credential))
    }

    /// The entry that tells of this request. What the caller says of itself is told as what it is: a claim.
    fn told(&self, origin: &Origin, headers: &HeaderMap, id: Option<ClusterId>) -> AuditEntry {
        let entry = self.journal.entry(origin, Action::CredentialsRead);
        let entry = id.map_or(entry.clone(), |id| entry.of_cluster(id));
        match headers.get(X_SERVICE_NAME).and_then(|name| name.to_str().ok()) {
            Some(name) => entry.with("claimed_service_name", json!(name)),
            None => entry,
        }
    }
}

/// What the hub calls a service account that is given as `namespace/name`.
fn user_of(account: &str) -> Option<String> {
    account.split_once('/').map(|(namespace, name)| format!("system:serviceaccount:{namespace}:{name}"))
}

/// The parts that may be shown where the cluster is now.
fn handed_parts<'a>(
    cluster: &'a Cluster,
    credential: &'a Credential,
) -> impl Iterator<Item = (Endpoint, HandedPart<'a>)> {
    credential.parts().filter_map(|(endpoint, part)| {
        let here = Binding::of_endpoint(cluster, endpoint)?;
        let fits = part.bound_to.as_ref().is_none_or(|bound| *bound == here);
        fits.then(|| HandedPart::of(cluster, endpoint, part)).flatten().map(|handed| (endpoint, handed))
    })
}

impl<'a> HandedPart<'a> {
    fn of(cluster: &'a Cluster, endpoint: Endpoint, part: &'a Part) -> Option<Self> {
        let own_name = cluster.tls_server_name.as_deref().filter(|_| endpoint == Endpoint::ApiServer);
        Some(Self {
            url: url_of(cluster, endpoint)?,
            auth_type: part.auth_type.as_str(),
            token: part.token.as_ref().map(ExposeSecret::expose_secret),
            client_certificate: part.certificate.as_ref().map(|own| own.chain_pem.as_str()),
            client_key: part.certificate.as_ref().map(|own| own.key_pem.expose_secret()),
            ca: ca_of(cluster, endpoint, part),
            tls_server_name: own_name.or(part.tls_server_name.as_deref()),
        })
    }
}

/// The authorities that its probes believe there.
fn ca_of<'a>(cluster: &'a Cluster, endpoint: Endpoint, part: &'a Part) -> Option<&'a str> {
    let (bundle, own) = (cluster.ca_bundle.as_deref(), part.ca_pem.as_deref());
    match endpoint {
        Endpoint::ApiServer => bundle.or(own),
        Endpoint::Prometheus | Endpoint::Tempo | Endpoint::Loki => own.or(bundle),
    }
}

fn answer(cluster: &Cluster, credential: &Credential) -> Result<Response, ApiError> {
    let handed = Handed {
        cluster_id: cluster.id,
        cluster_name: &cluster.name,
        expires_at: credential.expires_at(),
        endpoints: handed_parts(cluster, credential).map(|(endpoint, part)| (endpoint.as_str(), part)).collect(),
    };
    let mut body = Zeroizing::new(Vec::with_capacity(ROOM));
    serde_json::to_writer(&mut *body, &handed).map_err(|_| ApiError::internal())?;
    let mut response = Response::new(Body::from(Bytes::from_owner(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_by_the_hub_s_name_for_it_and_no_other() {
        assert_eq!(user_of("aiops/collector").as_deref(), Some("system:serviceaccount:aiops:collector"));
        assert_eq!(user_of("collector"), None);
    }
}
