//! Callers: who is calling, how they proved it, and why a request may be nobody's.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ApiToken, Role, Scope};

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

/// What a caller's standing rests on: what they began (a live stream) ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// On no method being set.
    Open,
    /// On a token of the keyring.
    Token(Uuid),
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
    pub(super) standing: Standing,
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
            standing: Standing::Open,
        }
    }

    /// The bearer of an API token.
    pub(super) fn of_token(token: &ApiToken) -> Self {
        Self {
            id: format!("token:{}", token.id).into(),
            name: token.name.as_str().into(),
            method: Method::Token,
            role: token.role,
            scope: Arc::new(token.scope.clone()),
            expires_at: token.expires_at,
            standing: Standing::Token(token.id),
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
