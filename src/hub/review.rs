//! Reviews of tokens by the hub: whose is it, and was it made for us? What cannot be asked is not accepted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use fleetbeat_actors::ports::Clock;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::{Api, PostParams};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::{Hub, HubError};
use crate::credentials::{Part, material};

/// How long a token that was accepted is not asked about again. So long a revoked one may go on being accepted.
const ACCEPTED_FOR: Duration = Duration::from_secs(30);
/// How long a token that was refused is not asked about again.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Answers remembered of each kind.
const REMEMBERED: usize = 1_024;

/// Whose a token is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reviewed {
    /// Such as `system:serviceaccount:namespace:name`.
    pub user: String,
    /// What tells two users of one name apart, where the hub says.
    pub uid: Option<String>,
    /// Groups, as the hub says.
    pub groups: Vec<String>,
    /// What else the hub knows of the token, such as the scopes that narrow one of OpenShift.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a review found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Review {
    /// The token is this user's, and was made for the audience asked about.
    Accepted(Arc<Reviewed>),
    /// It is nobody's, has ended, or was made for somebody else.
    Refused,
}

/// Asks the hub about one token.
#[async_trait]
pub trait AskHub: Send + Sync + 'static {
    /// Whose is it, if it was made for `audience`?
    ///
    /// # Errors
    /// When the hub does not say: then nobody knows.
    async fn ask(&self, token: &SecretString, audience: &str) -> Result<Review, HubError>;
}

#[async_trait]
impl AskHub for Hub {
    async fn ask(&self, token: &SecretString, audience: &str) -> Result<Review, HubError> {
        let asked = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.expose_secret().to_owned()),
                audiences: Some(vec![audience.to_owned()]),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client());
        let answer = reviews.create(&PostParams::default(), &asked).await?;
        Ok(judge(answer, audience))
    }
}

/// An authenticator that knows no audiences names none: then the token was not made for us.
fn judge(answer: TokenReview, audience: &str) -> Review {
    let Some(status) = answer.status else { return Review::Refused };
    let for_us = status.audiences.unwrap_or_default().iter().any(|named| named == audience);
    let user = status.user.filter(|_| status.authenticated == Some(true) && status.error.is_none() && for_us);
    let named = user.and_then(|user| Some((user.username.clone().filter(|name| !name.is_empty())?, user)));
    let Some((user, found)) = named else { return Review::Refused };
    let (groups, extra) = (found.groups.unwrap_or_default(), found.extra.unwrap_or_default());
    Review::Accepted(Arc::new(Reviewed { user, uid: found.uid, groups, extra }))
}

/// Reviews with a short memory, so that a busy caller does not become the hub's burden.
pub struct Reviews {
    hub: Arc<dyn AskHub>,
    clock: Arc<dyn Clock>,
    accepted_for: Duration,
    accepted: Mutex<Memory>,
    refused: Mutex<Memory>,
}

type Key = [u8; 32];
type Memory = HashMap<Key, (Instant, Review)>;

impl Reviews {
    /// Reviews by `hub`.
    pub fn new(hub: Arc<dyn AskHub>, clock: Arc<dyn Clock>) -> Self {
        Self { hub, clock, accepted_for: ACCEPTED_FOR, accepted: Mutex::default(), refused: Mutex::default() }
    }

    /// The same without the memory of what was accepted: a revoked token, or a hub that is away, counts at once.
    #[must_use]
    pub fn anew_each_time(self) -> Self {
        Self { accepted_for: Duration::ZERO, ..self }
    }

    /// Whose is `token`, if it was made for `audience`? A token that cannot be one is refused without asking.
    ///
    /// # Errors
    /// When the hub does not say. The caller must not let anybody in then.
    pub async fn review(&self, token: &str, audience: &str) -> Result<Review, HubError> {
        if let Some(known) = self.known(token, audience) {
            return Ok(known);
        }
        let Ok(token) = material::token(token) else { return Ok(Review::Refused) };
        let key = key(token.expose_secret(), audience);
        let review = self.hub.ask(&token, audience).await?;
        self.remember(key, &review, token);
        Ok(review)
    }

    /// The same as far as the hub need not be asked.
    pub fn known(&self, token: &str, audience: &str) -> Option<Review> {
        match material::token(token) {
            Ok(token) if !audience.is_empty() => self.recall(&key(token.expose_secret(), audience)),
            Ok(_) | Err(_) => Some(Review::Refused),
        }
    }

    fn recall(&self, key: &Key) -> Option<Review> {
        let now = self.clock.now();
        let fresh = |memory: &Mutex<Memory>| {
            memory.lock().get(key).filter(|(until, _)| now < *until).map(|(_, review)| review.clone())
        };
        fresh(&self.accepted).or_else(|| fresh(&self.refused))
    }

    fn remember(&self, key: Key, review: &Review, token: SecretString) {
        let now = self.clock.now();
        let (memory, span) = match review {
            Review::Accepted(_) => (&self.accepted, self.accepted_for.min(self.left_of(token))),
            Review::Refused => (&self.refused, REFUSED_FOR),
        };
        if span.is_zero() {
            return;
        }
        let mut memory = memory.lock();
        if memory.len() >= REMEMBERED {
            memory.retain(|_, (until, _)| now < *until);
        }
        // A memory full of what is fresh takes nothing more: the hub is asked once more instead.
        if memory.len() < REMEMBERED {
            memory.insert(key, (now + span, review.clone()));
        }
    }

    /// How long the token says that it lasts.
    fn left_of(&self, token: SecretString) -> Duration {
        let end = Part::of_token(token).expiries().identity();
        end.map_or(Duration::MAX, |end| (end - self.clock.wall()).to_std().unwrap_or(Duration::ZERO))
    }
}

fn key(token: &str, audience: &str) -> Key {
    let mut digest = Context::new(&SHA256);
    digest.update(audience.as_bytes());
    digest.update(&[0]);
    digest.update(token.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(digest.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use fleetbeat_actors::testing::TestClock;
    use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

    use super::*;

    /// Accepts tokens that begin with `good`, for everybody; counts what it is asked.
    #[derive(Default)]
    struct Fake {
        asked: AtomicUsize,
        away: bool,
    }

    #[async_trait]
    impl AskHub for Fake {
        async fn ask(&self, token: &SecretString, _: &str) -> Result<Review, HubError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.away {
                return Err(HubError::Unavailable("away".to_owned()));
            }
            let user = Reviewed { user: "me".to_owned(), ..Reviewed::default() };
            let good = token.expose_secret().starts_with("good");
            Ok(if good { Review::Accepted(Arc::new(user)) } else { Review::Refused })
        }
    }

    fn reviews(away: bool) -> (Arc<Fake>, Reviews) {
        let fake = Arc::new(Fake { away, ..Fake::default() });
        (Arc::clone(&fake), Reviews::new(fake, Arc::new(TestClock::default())))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_a_while_by_token_and_audience() {
        let (fake, reviews) = reviews(false);
        for _ in 0..3 {
            assert!(matches!(reviews.review("good", "a").await, Ok(Review::Accepted(_))));
            assert!(matches!(reviews.review("bad", "a").await, Ok(Review::Refused)));
        }
        assert_eq!(fake.asked.load(Ordering::Relaxed), 2);
        reviews.review("good", "b").await.unwrap();
        assert_eq!(fake.asked.load(Ordering::Relaxed), 3, "another audience is another question");
        tokio::time::advance(REFUSED_FOR).await;
        reviews.review("bad", "a").await.unwrap();
        reviews.review("good", "a").await.unwrap();
        assert_eq!(fake.asked.load(Ordering::Relaxed), 4);
        tokio::time::advance(ACCEPTED_FOR).await;
        reviews.review("good", "a").await.unwrap();
        assert_eq!(fake.asked.load(Ordering::Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_hands_out_secrets_asks_about_every_accepted_token_again() {
        let (fake, reviews) = reviews(false);
        let reviews = reviews.anew_each_time();
        for _ in 0..3 {
            assert!(matches!(reviews.review("good", "a").await, Ok(Review::Accepted(_))));
            assert!(matches!(reviews.review("bad", "a").await, Ok(Review::Refused)));
        }
        assert_eq!(fake.asked.load(Ordering::Relaxed), 4, "three times about the good one, once about the bad one");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_asked_is_an_error_and_is_not_remembered() {
        let (fake, reviews) = reviews(true);
        for _ in 0..2 {
            assert!(reviews.review("good", "a").await.is_err());
        }
        assert_eq!(fake.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_token_is_refused_without_asking() {
        let (fake, reviews) = reviews(false);
        for nonsense in ["", "  ", "good\nHost: evil", "good bad", &"x".repeat(material::MAX_TOKEN + 1)] {
            assert_eq!(reviews.review(nonsense, "a").await.unwrap(), Review::Refused);
        }
        assert_eq!(reviews.review("good", "").await.unwrap(), Review::Refused, "no audience");
        assert_eq!(fake.asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let (fake, reviews) = reviews(false);
        for n in 0..REMEMBERED + 50 {
            reviews.review(&format!("bad{n}"), "a").await.unwrap();
        }
        assert_eq!(reviews.refused.lock().len(), REMEMBERED);
        assert_eq!(fake.asked.load(Ordering::Relaxed), REMEMBERED + 50);
    }

    #[test]
    fn only_a_token_made_for_us_is_accepted() {
        let answer = |authenticated, audiences: Option<&[&str]>, error: Option<&str>, name: Option<&str>| TokenReview {
            status: Some(TokenReviewStatus {
                authenticated,
                audiences: audiences.map(|list| list.iter().map(|&each| each.to_owned()).collect()),
                error: error.map(str::to_owned),
                user: Some(UserInfo { username: name.map(str::to_owned), ..UserInfo::default() }),
            }),
            ..TokenReview::default()
        };
        assert!(matches!(judge(answer(Some(true), Some(&["x", "us"]), None, Some("me")), "us"), Review::Accepted(_)));
        for refused in [
            answer(None, Some(&["us"]), None, Some("me")),
            answer(Some(false), Some(&["us"]), None, Some("me")),
            answer(Some(true), None, None, Some("me")),
            answer(Some(true), Some(&["them"]), None, Some("me")),
            answer(Some(true), Some(&["us"]), Some("expired"), Some("me")),
            answer(Some(true), Some(&["us"]), None, Some("")),
            answer(Some(true), Some(&["us"]), None, None),
            TokenReview::default(),
        ] {
            assert_eq!(judge(refused, "us"), Review::Refused);
        }
    }
}
