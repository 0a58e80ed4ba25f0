//! Callers, and how a request is told to be one's.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Keyring, Presented, Role, Scope};

/// Longest `Authorization` that is looked at, bytes.
const MAX_AUTHORIZATION: usize = 16 * 1024;

/// How a caller proved to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all: the API listens on loopback and no method is set.
    Open,
    /// By an API token.
    Token,
}

impl Method {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Token => "token",
        }
    }
}

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Stable name, unique among all methods: `token:<id>`, `local`.
    pub id: Arc<str>,
    /// What people call them.
    pub name: Arc<str>,
    /// How they proved it.
    pub method: Method,
    /// What they may do.
    pub role: Role,
    /// Which clusters they may see.
    pub scope: Arc<Scope>,
    /// When the proof ends.
    pub expires_at: Option<DateTime<Utc>>,
    token: Option<Uuid>,
}

impl Caller {
    /// Whoever reaches a loopback address while no method is set.
    pub fn open() -> Self {
        Self {
            id: "local".into(),
            name: "local".into(),
            method: Method::Open,
            role: Role::Admin,
            scope: Arc::new(Scope::Everything),
            expires_at: None,
            token: None,
        }
    }

    /// What `created_by` says; nothing where nobody proved anything.
    pub fn author(&self) -> Option<String> {
        (self.method != Method::Open).then(|| self.id.to_string())
    }
}

/// Why a request is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// It carries no proof.
    #[error("no credentials were given")]
    Nobody,
    /// Its proof is not accepted.
    #[error("the credentials are not accepted")]
    Refused,
}

/// The methods that are set.
#[derive(Clone, Default)]
pub struct Identity {
    keyring: Option<Arc<Keyring>>,
}

impl Identity {
    /// No method: everybody is [`Caller::open`].
    pub fn open() -> Self {
        Self::default()
    }

    /// Accepts API tokens, too.
    #[must_use]
    pub fn with_tokens(mut self, keyring: Arc<Keyring>) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// The tokens, where they are accepted.
    pub fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.keyring.as_ref()
    }

    /// Keeps what it knows fresh, for ever.
    pub async fn keep_fresh(&self) {
        match &self.keyring {
            Some(keyring) => Arc::clone(keyring).keep_fresh().await,
            None => std::future::pending().await,
        }
    }

    /// Is no method set?
    pub fn is_open(&self) -> bool {
        self.keyring.is_none()
    }

    /// Whose request is this?
    ///
    /// # Errors
    /// [`Unknown`]: the same for every reason, so that nobody learns which part was right.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Unknown> {
        if self.is_open() {
            return Ok(Caller::open());
        }
        let bearer = bearer(headers)?.ok_or(Unknown::Nobody)?;
        self.identify_bearer(bearer).await
    }

    /// Is this caller, who was identified a while ago, still one? A revoked token ends what it began.
    pub fn is_still(&self, caller: &Caller) -> bool {
        match (caller.method, &self.keyring) {
            (Method::Open, _) => self.is_open(),
            (Method::Token, Some(keyring)) => caller.token.is_some_and(|id| keyring.holds(id)),
            (Method::Token, None) => false,
        }
    }

    /// Whose bearer token is this?
    ///
    /// # Errors
    /// [`Unknown::Refused`]
    pub async fn identify_bearer(&self, bearer: &str) -> Result<Caller, Unknown> {
        if self.is_open() {
            return Ok(Caller::open());
        }
        let ours = Presented::parse(bearer).zip(self.keyring.as_ref());
        let token = ours.and_then(|(presented, keyring)| keyring.check(&presented)).ok_or(Unknown::Refused)?;
        Ok(Caller {
            id: format!("token:{}", token.id).into(),
            name: token.name.as_str().into(),
            method: Method::Token,
            role: token.role,
            scope: Arc::new(token.scope.clone()),
            expires_at: token.expires_at,
            token: Some(token.id),
        })
    }
}

/// The bearer token of a request: exactly one `Authorization`, or none.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Unknown> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.len() > MAX_AUTHORIZATION {
        return Err(Unknown::Refused);
    }
    let text = value.to_str().map_err(|_| Unknown::Refused)?;
    let (scheme, rest) = text.split_once(' ').ok_or(Unknown::Refused)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unknown::Refused);
    }
    Ok(Some(rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, value.parse().expect("a header"))).collect()
    }

    #[test]
    fn only_one_bearer_is_a_bearer() {
        assert_eq!(bearer(&with(&["Bearer abc"])), Ok(Some("abc")));
        assert_eq!(bearer(&with(&["bearer abc"])), Ok(Some("abc")));
        assert_eq!(bearer(&with(&[])), Ok(None));
        for bad in [&["Basic abc"][..], &["abc"], &["Bearer a", "Bearer a"]] {
            assert_eq!(bearer(&with(bad)), Err(Unknown::Refused), "{bad:?}");
        }
    }
}
