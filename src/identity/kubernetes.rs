//! Kubernetes: bearer tokens that the hub's API server knows (TokenReview), and what their owners may do. This is how users of
//! OpenShift and service accounts come in.

use std::{net::IpAddr, sync::Arc, time::Duration};

use fleetbeat_actors::ports::Clock;
use tokio::sync::Semaphore;

use super::{Caller, Method, Rights, Unknown, caller::Proved};
use crate::{
    hub::{Review, Reviews},
    limits::{Turns, network_of},
};

/// Questions of each kind to the hub at once; further ones wait their turn.
const AT_ONCE: usize = 16;
/// Of these about tokens that one address shows: strangers anywhere do not keep others waiting.
const AT_ONCE_OF_ONE: usize = AT_ONCE / 4;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what a caller began goes on before they have to prove themselves again.
const STANDS_FOR: Duration = Duration::from_secs(3_600);
/// Longest name of a user, bytes.
const MAX_NAME: usize = 256;

/// The hub, whose word counts.
pub struct Kubernetes {
    reviews: Reviews,
    clock: Arc<dyn Clock>,
    audience: String,
    rights: Rights,
    /// Questions about tokens, which strangers can ask.
    reviewing: Turns,
    /// Questions about the rights of those whose token was accepted.
    asking: Semaphore,
}

impl Kubernetes {
    /// Believes the hub about tokens made for this audience.
    pub fn new(reviews: Reviews, clock: Arc<dyn Clock>, audience: String, rights: Rights) -> Self {
        let (reviewing, asking) = (Turns::new(AT_ONCE, AT_ONCE_OF_ONE), Semaphore::new(AT_ONCE));
        Self { reviews, clock, audience, rights, reviewing, asking }
    }

    /// Whose bearer token is this, that somebody shows at this address?
    ///
    /// # Errors
    /// [`Unknown`]: refused, nobody who may do anything, or the hub does not say.
    pub async fn identify(&self, token: &str, address: Option<IpAddr>) -> Result<Caller, Unknown> {
        if let Some(known) = self.recall(token).await {
            return known;
        }
        let name = network_of(address);
        let place = in_time(self.reviewing.take(&name)).await?;
        let review = self.reviews.review(token, &self.audience).await.map_err(|error| {
            tracing::warn!(%error, "the hub did not review a token");
            Unknown::Unavailable
        })?;
        drop(place);
        self.judge(review).await
    }

    /// The same where the hub said a moment ago whose token it is; `None` where it has to be asked.
    pub async fn recall(&self, token: &str) -> Option<Result<Caller, Unknown>> {
        let review = self.reviews.known(token, &self.audience)?;
        Some(self.judge(review).await)
    }

    async fn judge(&self, review: Review) -> Result<Caller, Unknown> {
        let Review::Accepted(user) = review else { return Err(Unknown::Refused) };
        if user.user.len() > MAX_NAME || user.user.chars().any(char::is_control) {
            return Err(Unknown::Refused);
        }
        let _place = in_time(self.asking.acquire()).await?.map_err(|_| Unknown::Unavailable)?;
        let rights = self.rights.of(&user).await.map_err(|error| {
            tracing::warn!(%error, "the hub did not say what somebody may do");
            Unknown::Unavailable
        })?;
        let (role, scope) = rights.ok_or(Unknown::Powerless)?;
        let (subject, method) = (user.user.as_str(), Method::Kubernetes);
        let caller = Caller::proved(Proved { method, subject, name: subject, role, scope, expires_at: None });
        Ok(caller.until(self.clock.wall() + STANDS_FOR))
    }
}

/// A place among those who ask the hub, if there is one soon.
async fn in_time<T>(place: impl Future<Output = T>) -> Result<T, Unknown> {
    tokio::time::timeout(PATIENCE, place).await.map_err(|_| Unknown::Unavailable)
}
