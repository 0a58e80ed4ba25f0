//! Kubernetes: bearer tokens that the hub's API server knows (TokenReview), and what their owners may do. This is how users of
//! OpenShift and service accounts come in.

use std::{sync::Arc, time::Duration};

use fleetbeat_actors::ports::Clock;
use tokio::sync::Semaphore;

use super::{Caller, Method, Rights, Unknown, caller::Proved};
use crate::hub::{Review, Reviews};

/// Questions to the hub at once; further ones wait their turn.
const AT_ONCE: usize = 16;
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
    places: Semaphore,
}

impl Kubernetes {
    /// Believes the hub about tokens made for this audience.
    pub fn new(reviews: Reviews, clock: Arc<dyn Clock>, audience: String, rights: Rights) -> Self {
        Self { reviews, clock, audience, rights, places: Semaphore::new(AT_ONCE) }
    }

    /// Whose bearer token is this?
    ///
    /// # Errors
    /// [`Unknown`]: refused, nobody who may do anything, or the hub does not say.
    pub async fn identify(&self, token: &str) -> Result<Caller, Unknown> {
        let place = tokio::time::timeout(PATIENCE, self.places.acquire()).await;
        let _place = place.map_err(|_| Unknown::Unavailable)?.map_err(|_| Unknown::Unavailable)?;
        let user = match self.reviews.review(token, &self.audience).await {
            Ok(Review::Accepted(user)) => user,
            Ok(Review::Refused) => return Err(Unknown::Refused),
            Err(error) => {
                tracing::warn!(%error, "the hub did not review a token");
                return Err(Unknown::Unavailable);
            }
        };
        if user.user.len() > MAX_NAME || user.user.chars().any(char::is_control) {
            return Err(Unknown::Refused);
        }
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
