//! Browsers: they sign in at the issuer (a code with PKCE, bound to the browser by a sealed cookie), come back, and get a
//! session of ours. What the issuer gave is looked at once and kept nowhere.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    constant_time::verify_slices_are_equal,
    digest, rand,
};
use axum::http::{HeaderMap, HeaderName, Method as Verb, header};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use fleetbeat_actors::ports::{Clock, StoreError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Origin, Url};

use super::{Oidc, WireError};
use crate::{
    audit,
    identity::{Caller, Knock, Method, Person, Sessions, Unknown, caller::Proved},
};

/// The header without which a browser's session changes nothing: another site cannot send it.
pub const FROM_DASHBOARD: HeaderName = HeaderName::from_static("x-fleetbeat-request");
/// How long signing in may take.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);
/// Longest way back, bytes.
pub const MAX_RETURN: usize = 512;
/// Longest code, state and cookie that are looked at, bytes.
const MAX_GIVEN: usize = 4 * 1024;

/// Which client of the issuer we are.
pub struct LoginRules {
    /// Our name there.
    pub client_id: String,
    /// Our secret there, where we have one.
    pub client_secret: Option<SecretString>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Where browsers reach us: scheme, host and port.
    pub public_url: Url,
    /// What people call the issuer.
    pub name: String,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// It was not begun in this browser, too long ago, or before a restart.
    #[error("signing in was not begun here, or too long ago")]
    Strange,
    /// The issuer or we said no.
    #[error("{0}")]
    Unknown(#[from] Unknown),
    /// The issuer does not answer as it must.
    #[error("the issuer: {0}")]
    Issuer(#[from] WireError),
    /// The session cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a browser is given: where to go, and a cookie.
pub struct Sent {
    /// Where to.
    pub location: String,
    /// The cookies to set.
    pub cookies: Vec<String>,
}

/// What a browser brings back from the issuer.
pub struct Returned<'a> {
    /// Stands for the person.
    pub code: &'a str,
    /// What was sent along.
    pub state: &'a str,
    /// From where it comes, for the audit log.
    pub from: &'a audit::Origin,
}

/// What the browser keeps while a person signs in; sealed, so that nobody reads or makes one.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
    until: i64,
}

/// The way in for browsers.
pub struct Login {
    oidc: Arc<Oidc>,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    rules: LoginRules,
    seal: RandomizedNonceKey,
}

impl Login {
    /// Opens it. What was begun before a restart has to be begun again.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(
        oidc: Arc<Oidc>,
        sessions: Arc<Sessions>,
        clock: Arc<dyn Clock>,
        rules: LoginRules,
    ) -> anyhow::Result<Self> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
        let seal = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| anyhow::anyhow!("no key"))?;
        Ok(Self { oidc, sessions, clock, rules, seal })
    }

    /// What people call the issuer.
    pub fn name(&self) -> &str {
        &self.rules.name
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Keeps the sessions fresh, for ever.
    pub async fn keep_fresh(&self) {
        self.sessions.keep_fresh().await;
    }

    /// Does the session of this hash last?
    pub fn holds(&self, hash: &[u8; 32]) -> bool {
        self.sessions.holds(hash)
    }

    /// Whose session does a request show? `None` when it shows none.
    ///
    /// # Errors
    /// [`Unknown::Refused`] when there is none of that id, [`Unknown::CrossSite`] when it would change something and did not
    /// come from the dashboard, [`Unknown::Powerless`].
    pub fn identify(&self, knock: Knock<'_>) -> Result<Option<Caller>, Unknown> {
        let Some(id) = cookie(knock.headers, &self.cookie_name("session"))? else { return Ok(None) };
        let session = self.sessions.find(id).ok_or(Unknown::Refused)?;
        let changes = ![Verb::GET, Verb::HEAD, Verb::OPTIONS].contains(knock.method);
        if changes && !self.is_from_dashboard(knock.headers) {
            return Err(Unknown::CrossSite);
        }
        let groups: Vec<String> = serde_json::from_str(&session.groups).map_err(|_| Unknown::Refused)?;
        let (role, scope) = self.oidc.grants.of(groups.iter().map(String::as_str)).ok_or(Unknown::Powerless)?;
        let proved = Proved {
            method: Method::Session,
            subject: &session.subject,
            name: &session.name,
            role,
            scope,
            expires_at: Some(session.expires_at),
        };
        Ok(Some(Caller::of_session(proved, session.hash)))
    }

    /// Another site's page can send neither our header nor our origin.
    fn is_from_dashboard(&self, headers: &HeaderMap) -> bool {
        let ours = self.origin().ascii_serialization();
        let origins_fit = headers.get_all(header::ORIGIN).iter().all(|origin| origin.as_bytes() == ours.as_bytes());
        let site_fits = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
        headers.contains_key(&FROM_DASHBOARD) && origins_fit && site_fits
    }

    fn origin(&self) -> Origin {
        self.rules.public_url.origin()
    }

    /// Sends a browser to the issuer.
    ///
    /// # Errors
    /// [`LoginError::Unknown`] while the issuer is away.
    pub async fn begin(&self, return_to: &str) -> Result<Sent, LoginError> {
        let known = self.oidc.provider.said().await?;
        let mut location = known.authorization.clone().ok_or(Unknown::Unavailable)?;
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.rules.client_id)
            .append_pair("redirect_uri", &self.redirect())
            .append_pair("scope", &self.rules.scopes.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let until = (self.clock.wall() + PATIENCE).timestamp();
        let begun = Begun { state, nonce, verifier, return_to: self.way_back(return_to), until };
        let cookie = self.set_cookie("login", &self.close(&begun)?, PATIENCE);
        Ok(Sent { location: location.into(), cookies: vec![cookie] })
    }

    /// Takes back a browser that the issuer sent, and begins its session.
    ///
    /// # Errors
    /// [`LoginError`]
    pub async fn finish(&self, headers: &HeaderMap, returned: Returned<'_>) -> Result<Sent, LoginError> {
        let Returned { code, state, from } = returned;
        let sealed = cookie(headers, &self.cookie_name("login"))?.ok_or(LoginError::Strange)?;
        let begun = self.open(sealed).ok_or(LoginError::Strange)?;
        let same = verify_slices_are_equal(begun.state.as_bytes(), state.as_bytes()).is_ok();
        if !same || self.clock.wall().timestamp() >= begun.until || code.is_empty() || code.len() > MAX_GIVEN {
            return Err(LoginError::Strange);
        }
        let person = self.redeem(code, &begun).await?;
        if self.oidc.grants.of(person.groups.iter().map(String::as_str)).is_none() {
            return Err(Unknown::Powerless.into());
        }
        let (actor, name) = (format!("oidc:{}", person.subject).into(), Some(person.name.as_str().into()));
        let by = audit::Origin { actor, name, method: Method::Session.as_str(), ..from.clone() };
        self.end(headers, &by).await?;
        let id = self.sessions.begin(&person, &by).await?;
        let cookies = vec![
            self.set_cookie("session", id.expose_secret(), self.sessions.life()),
            self.set_cookie("login", "", TimeDelta::zero()),
        ];
        Ok(Sent { location: begun.return_to, cookies })
    }

    /// Ends the session that a request shows, if any. The cookie that takes it away.
    ///
    /// # Errors
    /// The store's.
    pub async fn end(&self, headers: &HeaderMap, by: &audit::Origin) -> Result<String, StoreError> {
        if let Ok(Some(id)) = cookie(headers, &self.cookie_name("session")) {
            self.sessions.end(id, by).await?;
        }
        Ok(self.set_cookie("session", "", TimeDelta::zero()))
    }

    /// Who a code stands for.
    async fn redeem(&self, code: &str, begun: &Begun) -> Result<Person, LoginError> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
        }
        let known = self.oidc.provider.said().await?;
        let address = known.token.as_ref().ok_or(Unknown::Unavailable)?;
        let redirect = self.redirect();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect),
            ("code_verifier", &begun.verifier),
        ];
        let client = self.rules.client_secret.as_ref().map(|secret| (self.rules.client_id.as_str(), secret));
        if client.is_none() {
            form.push(("client_id", &self.rules.client_id));
        }
        let answer = self.oidc.provider.wire().post(address, &form, client).await?;
        let tokens: Tokens = serde_json::from_slice(&answer).map_err(|_| WireError::Content("no identity token"))?;
        Ok(self.oidc.person(&tokens.id_token, &self.rules.client_id, &begun.nonce).await?)
    }

    fn redirect(&self) -> String {
        format!("{}/auth/callback", self.origin().ascii_serialization())
    }

    /// The path to come back to: of ours, whatever was asked for.
    fn way_back(&self, asked: &str) -> String {
        let url =
            Some(asked).filter(|asked| is_way_back(asked)).and_then(|asked| self.rules.public_url.join(asked).ok());
        match url.filter(|url| url.origin() == self.origin()) {
            Some(url) => url[url::Position::BeforePath..].to_owned(),
            None => "/".to_owned(),
        }
    }

    fn is_secure(&self) -> bool {
        self.rules.public_url.scheme() == "https"
    }

    fn cookie_name(&self, what: &str) -> String {
        format!("{}fleetbeat-{what}", if self.is_secure() { "__Host-" } else { "" })
    }

    fn set_cookie(&self, what: &str, value: &str, life: TimeDelta) -> String {
        let (name, secure) = (self.cookie_name(what), if self.is_secure() { "; Secure" } else { "" });
        format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", life.num_seconds())
    }

    fn close(&self, begun: &Begun) -> Result<String, Unknown> {
        let mut text = serde_json::to_vec(begun).map_err(|_| Unknown::Unavailable)?;
        let nonce = self.seal.seal_in_place_append_tag(Aad::empty(), &mut text).map_err(|_| Unknown::Unavailable)?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&nonce.as_ref()[..], &text].concat()))
    }

    fn open(&self, sealed: &str) -> Option<Begun> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let (nonce, mut text) = (Nonce::try_assume_unique_for_key(nonce).ok()?, text.to_vec());
        serde_json::from_slice(self.seal.open_in_place(nonce, Aad::empty(), &mut text).ok()?).ok()
    }
}

/// Is this a path of ours, and nothing that a browser could take for another host?
pub fn is_way_back(path: &str) -> bool {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    path.starts_with('/') && !path.starts_with("//") && path.len() <= MAX_RETURN && plain
}

/// 256 random bits as text.
fn random() -> Result<String, Unknown> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Unknown::Unavailable)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// The cookie of a name: one, or none.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unknown> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) if value.len() <= MAX_GIVEN => Ok(Some(value)),
        (None, _) => Ok(None),
        _ => Err(Unknown::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_ours_is_a_way_back() {
        for good in ["/", "/table?group=region", "/clusters/a#b", "/a//b"] {
            assert!(is_way_back(good), "{good}");
        }
        let long = format!("/{}", "a".repeat(MAX_RETURN));
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "\\\\evil",
            "/a b",
            "/\t/evil",
            "/é",
            &long,
        ] {
            assert!(!is_way_back(bad), "{bad}");
        }
    }

    #[test]
    fn a_cookie_counts_when_it_stands_once() {
        let with = |values: &[&str]| -> HeaderMap {
            values.iter().map(|value| (header::COOKIE, value.parse().expect("a header"))).collect()
        };
        assert_eq!(cookie(&with(&["a=1; s=2; b=3"]), "s"), Ok(Some("2")));
        assert_eq!(cookie(&with(&["a=1", "s=2"]), "s"), Ok(Some("2")));
        assert_eq!(cookie(&with(&["xs=1; S=2"]), "s"), Ok(None));
        assert_eq!(cookie(&with(&["s=1; s=2"]), "s"), Err(Unknown::Refused));
        assert_eq!(cookie(&with(&["s=1", "s=1"]), "s"), Err(Unknown::Refused));
    }
}
