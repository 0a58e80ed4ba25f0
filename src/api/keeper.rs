//! The doorkeeper: finds out who is calling before any route is reached, and whether they may ask once more.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use super::{
    access::{Identified, Need, Opening, Openings},
    context,
    error::ApiError,
    gate::Bounds,
};
use crate::{
    identity::{Caller, Identity, Knock, Method, Peer, Unknown},
    limits::{Asker, Limiter},
    traces,
};

/// What finds out who is calling, and how often those may try whom nobody knows.
pub struct Doorkeeper {
    /// By which proofs callers are known.
    pub identity: Identity,
    /// How often they may ask.
    pub limiter: Arc<Limiter>,
    /// What the paths need.
    pub openings: Openings,
}

/// What was found out about a request's sender.
struct Found {
    caller: Result<Caller, Unknown>,
    address: Option<IpAddr>,
    /// Is this request of somebody unknown counted at its address already?
    is_counted: bool,
}

impl Doorkeeper {
    /// Whose request is this? Before the hub is asked about a token, its sender's address pays for a request of somebody
    /// unknown, and gets that back should the token be good. An error says how long to wait until it can pay.
    async fn find(&self, knock: Knock<'_>, need: Option<Need>) -> Result<Found, Duration> {
        let address = knock.address();
        if let Some(caller) = self.identity.recall(knock).await {
            return Ok(Found { caller, address, is_counted: false });
        }
        if need == Some(Need::Nobody) {
            return Ok(Found { caller: Err(Unknown::Nobody), address, is_counted: false });
        }
        self.limiter.ask(Asker::Unknown(address)).await?;
        let caller = self.identity.identify(knock).await;
        if caller.is_ok() {
            self.limiter.forgive(address);
        }
        Ok(Found { is_counted: caller.is_err(), caller, address })
    }

    /// One more request, unless it is one too many. On this machine nobody is turned away while no method is set.
    async fn count(&self, found: &Found) -> Result<(), Duration> {
        match &found.caller {
            Ok(caller) if caller.method == Method::Open => Ok(()),
            Ok(caller) => self.limiter.ask(Asker::Known(&caller.id)).await,
            Err(_) if found.is_counted => Ok(()),
            Err(_) => self.limiter.ask(Asker::Unknown(found.address)).await,
        }
    }
}

/// Finds out who is calling, and lets them ask as often as they may; whether that is enough, each route's guard says. Machines
/// that ask whether the process lives are never asked who they are, and never turned away.
pub async fn keep(State(keeper): State<Arc<Doorkeeper>>, mut request: Request, next: Next) -> Response {
    let opening = keeper.openings.of(request.extensions());
    let need = opening.map(|opening| opening.need);
    if need == Some(Need::Life) {
        return in_time(opening, request, next).await;
    }
    let nowhere = Peer::default();
    let peer = request.extensions().get::<Peer>().unwrap_or(&nowhere);
    let knock = Knock { method: request.method(), headers: request.headers(), peer };
    let span = traces::proof();
    let found = match keeper.find(knock, need).instrument(span.clone()).await {
        Ok(found) => found,
        Err(wait) => return too_many(wait),
    };
    traces::proved(&span, found.caller.as_ref().ok().map(|caller| caller.method.as_str()));
    drop(span);
    let mut response = match keeper.count(&found).instrument(traces::limit()).await {
        Ok(()) => {
            request.extensions_mut().insert(Identified(found.caller.clone()));
            in_time(opening, request, next).await
        }
        Err(wait) => too_many(wait),
    };
    // For those further out, who tell of what was refused.
    response.extensions_mut().insert(Identified(found.caller));
    response
}

/// The answer; of what has to begin it in time, in time.
async fn in_time(opening: Option<Opening>, request: Request, next: Next) -> Response {
    let bounds = request.extensions().get::<Bounds>().copied().unwrap_or_default();
    match opening {
        Some(Opening { is_prompt: true, .. }) => context::in_time(bounds, next.run(request)).await,
        Some(_) | None => next.run(request).await,
    }
}

fn too_many(wait: Duration) -> Response {
    metrics::counter!("fleetbeat_api_rate_limited_total").increment(1);
    ApiError::too_many_requests(wait).into_response()
}
