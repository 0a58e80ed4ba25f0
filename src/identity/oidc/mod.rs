//! OpenID Connect: bearer tokens signed by an issuer, and browsers that signed in there.

mod claims;
mod keys;
mod login;
mod provider;
mod wire;

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use fleetbeat_actors::ports::Clock;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use keys::ALGORITHMS;
pub use login::{FROM_DASHBOARD, Login, LoginError, LoginRules, MAX_RETURN, Returned, Sent, is_way_back};
pub use provider::Provider;
pub use wire::{Wire, WireError, may_be_asked};

use self::{
    claims::{Claims, Times},
    keys::MAX_KID,
};
use super::{Caller, Grants, Method, Person, Unknown, caller::Proved};

/// Longest token, bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// What a token has to say.
const REQUIRED: [&str; 4] = ["exp", "iss", "aud", "sub"];

/// Which tokens are accepted.
#[derive(Clone, Debug)]
pub struct OidcRules {
    /// For whom a bearer token has to be: any of these.
    pub audiences: Vec<String>,
    /// How it may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Must it say from when it is valid?
    pub needs_nbf: bool,
    /// How far the issuer's clock may be off.
    pub skew: TimeDelta,
    /// Where it tells a person's name.
    pub name_claim: String,
    /// Where it tells their groups.
    pub groups_claim: String,
}

/// An issuer whose word counts.
pub struct Oidc {
    provider: Arc<Provider>,
    clock: Arc<dyn Clock>,
    rules: OidcRules,
    grants: Grants,
}

impl Oidc {
    /// Believes an issuer under these rules.
    pub fn new(provider: Arc<Provider>, clock: Arc<dyn Clock>, rules: OidcRules, grants: Grants) -> Self {
        Self { provider, clock, rules, grants }
    }

    /// Does a bearer token say, unproved, that it is this issuer's?
    pub fn is_named_by(&self, token: &str) -> bool {
        #[derive(Deserialize)]
        struct Named {
            iss: String,
        }
        let payload = token.split('.').nth(1).filter(|_| token.len() <= MAX_TOKEN);
        let bytes = payload.and_then(|payload| BASE64_URL_SAFE_NO_PAD.decode(payload).ok());
        let named: Option<Named> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        named.is_some_and(|named| named.iss == self.provider.issuer())
    }

    /// Whose bearer token is this?
    ///
    /// # Errors
    /// [`Unknown`]: refused for any reason, nobody who may do anything, or the issuer's keys are not there.
    pub async fn identify(&self, token: &str) -> Result<Caller, Unknown> {
        let claims = self.prove(token, &self.rules.audiences).await?;
        let expires_at = claims.end(self.times(self.rules.needs_nbf))?;
        let subject = claims.subject()?;
        let groups = claims.groups(&self.rules.groups_claim);
        let (role, scope) = self.grants.of(groups.iter().map(String::as_str)).ok_or(Unknown::Powerless)?;
        let name = claims.text(&self.rules.name_claim).unwrap_or(subject);
        let expires_at = Some(expires_at);
        Ok(Caller::proved(Proved { method: Method::Oidc, subject, name, role, scope, expires_at }))
    }

    /// Whom an identity token is about that a client got for a nonce.
    async fn person(&self, token: &str, client: &str, nonce: &str) -> Result<Person, Unknown> {
        let claims = self.prove(token, &[client.to_owned()]).await?;
        claims.end(self.times(false))?;
        if claims.text("nonce") != Some(nonce) || !claims.is_for_client(client) {
            return Err(Unknown::Refused);
        }
        let subject = claims.subject()?.to_owned();
        let name = claims.text(&self.rules.name_claim).unwrap_or(&subject).to_owned();
        Ok(Person { name, groups: claims.groups(&self.rules.groups_claim), subject })
    }

    /// Keeps the issuer's keys fresh, for ever.
    pub async fn keep_fresh(&self) {
        self.provider.keep_fresh().await;
    }

    /// The claims of a token whose signature, issuer and audience are right.
    async fn prove(&self, token: &str, audiences: &[String]) -> Result<Claims, Unknown> {
        if token.len() > MAX_TOKEN {
            return Err(Unknown::Refused);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Unknown::Refused)?;
        let plain = header.crit.is_none()
            && header.typ.as_deref().is_none_or(is_token_type)
            && header.kid.as_ref().is_none_or(|kid| kid.len() <= MAX_KID)
            && self.rules.algorithms.contains(&header.alg);
        if !plain {
            return Err(Unknown::Refused);
        }
        let key = self.provider.key(header.kid.as_deref(), header.alg).await?;
        let proved = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &self.validation(header.alg, audiences));
        let claims = Claims::new(proved.map_err(|_| Unknown::Refused)?.claims);
        if claims.is_from(self.provider.issuer()) { Ok(claims) } else { Err(Unknown::Refused) }
    }

    /// What the library checks. Times are ours to check, by our clock.
    fn validation(&self, algorithm: Algorithm, audiences: &[String]) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&REQUIRED);
        validation.set_audience(audiences);
        validation.set_issuer(&[self.provider.issuer()]);
        validation.validate_exp = false;
        validation
    }

    fn times(&self, needs_nbf: bool) -> Times {
        Times { now: self.clock.wall(), skew: self.rules.skew, needs_nbf }
    }
}

/// Is this the type of an access or identity token, and not of some other thing that the issuer signs?
fn is_token_type(word: &str) -> bool {
    ["jwt", "at+jwt", "application/at+jwt"].iter().any(|known| word.eq_ignore_ascii_case(known))
}
