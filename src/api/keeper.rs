//! The doorkeeper: finds out who is calling before any route is reached, and whether they may ask once more.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::Extensions,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use super::{
    access::{Identified, Need, Openings},
    error::ApiError,
};
use crate::{
    identity::{Caller, Identity, Knock, Method, Peer, Unknown},
    limits::{Asker, Limiter},
    traces,
};

/// Marks a request of somebody unknown that is counted at its address already.
#[derive(Clone, Copy)]
struct Counted;

/// What finds out who is calling, and how often those may try whom nobody knows.
#[derive(Clone)]
pub struct Doorkeeper {
    /// By which proofs callers are known.
    pub identity: Identity,
    /// How often they may ask.
    pub limiter: Arc<Limiter>,
    /// What the paths need.
    pub openings: Arc<Openings>,
}

impl Doorkeeper {
    /// Whose request is this? Before the hub is asked about a token, its sender's address pays for a request of somebody
    /// unknown, and gets that back should the token be good. An error says how long to wait until it can pay.
    async fn whose(&self, request: &mut Request, need: Option<Need>) -> Result<Result<Caller, Unknown>, Duration> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let knock = Knock { method: request.method(), headers: request.headers(), peer: &peer };
        if let Some(known) = self.identity.recall(knock).await {
            return Ok(known);
        }
        if need == Some(Need::Nobody) {
            return Ok(Err(Unknown::Nobody));
        }
        self.limiter.ask(Asker::Unknown(knock.address())).await?;
        let found = self.identity.identify(knock).await;
        if found.is_ok() {
            self.limiter.forgive(knock.address());
        } else {
            request.extensions_mut().insert(Counted);
        }
        Ok(found)
    }

    /// One more request, unless it is one too many.
    async fn count(&self, extensions: &Extensions) -> Result<(), Duration> {
        match extensions.get::<Identified>() {
            Some(Identified(Ok(caller))) if caller.method == Method::Open => Ok(()),
            _ if extensions.get::<Counted>().is_some() => Ok(()),
            Some(Identified(Ok(caller))) => self.limiter.ask(Asker::Known(&caller.id)).await,
            Some(Identified(Err(_))) | None => {
                let address = extensions.get::<Peer>().and_then(|peer| peer.address).map(|address| address.ip());
                self.limiter.ask(Asker::Unknown(address)).await
            }
        }
    }
}

/// Finds out who is calling; whether that is enough, each route's guard says.
pub async fn identify(State(keeper): State<Doorkeeper>, mut request: Request, next: Next) -> Response {
    let need = keeper.openings.of(request.extensions());
    if need == Some(Need::Life) {
        return next.run(request).await;
    }
    let span = traces::proof();
    let caller = match keeper.whose(&mut request, need).instrument(span.clone()).await {
        Ok(caller) => caller,
        Err(wait) => return too_many(wait),
    };
    traces::proved(&span, caller.as_ref().ok().map(|caller| caller.method.as_str()));
    drop(span);
    request.extensions_mut().insert(Identified(caller.clone()));
    let mut response = next.run(request).await;
    // For those further out, who tell of what was refused.
    response.extensions_mut().insert(Identified(caller));
    response
}

/// Lets a caller ask as often as they may. Machines that ask whether the process lives are never turned away, and neither is
/// anybody on this machine while no method is set.
pub async fn limit(State(keeper): State<Doorkeeper>, request: Request, next: Next) -> Response {
    if keeper.openings.of(request.extensions()) == Some(Need::Life) {
        return next.run(request).await;
    }
    match keeper.count(request.extensions()).instrument(traces::limit()).await {
        Ok(()) => next.run(request).await,
        Err(wait) => too_many(wait),
    }
}

fn too_many(wait: Duration) -> Response {
    metrics::counter!("fleetbeat_api_rate_limited_total").increment(1);
    ApiError::too_many_requests(wait).into_response()
}
