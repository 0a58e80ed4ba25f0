//! Callers: who is calling, how they proved it, and why a request may be nobody's.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ApiToken, Role, Scope, sessions::public_id};

/// How a caller proved to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all: the API listens on loopback and no method is set.
    Open,
    /// By an API token.
    Token,
    /// By a bearer token of the OpenID issuer.
    Oidc,
    /// By a browser's session, begun at the OpenID issuer.
    Session,
    /// By a bearer token that the hub's Kubernetes knows.
    Kubernetes,
    /// By the word of a proved gateway.
    Gateway,
}

impl Method {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Token => "token",
            Self::Oidc => "oidc",
            Self::Session => "session",
            Self::Kubernetes => "kubernetes",
            Self::Gateway => "gateway",
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
    /// On a session of a browser, by the hash of its id.
    Session([u8; 32]),
    /// On a proof that is not asked about again; until a time, where it has an end.
    Until(Option<DateTime<Utc>>),
}

/// What a method other than tokens found out about a caller.
pub(super) struct Proved<'a> {
    /// How.
    pub method: Method,
    /// Their stable name within the method.
    pub subject: &'a str,
    /// What people call them.
    pub name: &'a str,
    /// What they may do.
    pub role: Role,
    /// Which clusters they may see.
    pub scope: Scope,
    /// When the proof ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Stable name, unique among all methods: `token:<id>`, `oidc:<subject>`, `kubernetes:<user>`, `gateway:<user>`, `local`.
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
        static OPEN: LazyLock<Caller> = LazyLock::new(|| Caller {
            id: "local".into(),
            name: "local".into(),
            method: Method::Open,
            role: Role::Admin,
            scope: Arc::new(Scope::Everything),
            expires_at: None,
            standing: Standing::Open,
        });
        OPEN.clone()
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

    /// Somebody whom a method knows. A session is the same person as a bearer of the issuer.
    pub(super) fn proved(proved: Proved<'_>) -> Self {
        let prefix = match proved.method {
            Method::Session => Method::Oidc.as_str(),
            method => method.as_str(),
        };
        Self {
            id: format!("{prefix}:{}", proved.subject).into(),
            name: proved.name.into(),
            method: proved.method,
            role: proved.role,
            scope: Arc::new(proved.scope),
            expires_at: proved.expires_at,
            standing: Standing::Until(proved.expires_at),
        }
    }

    /// Somebody in a browser that signed in.
    pub(super) fn of_session(proved: Proved<'_>, hash: [u8; 32]) -> Self {
        Self { standing: Standing::Session(hash), ..Self::proved(proved) }
    }

    /// The same; what they begin ends then.
    pub(super) fn until(self, end: DateTime<Utc>) -> Self {
        Self { standing: Standing::Until(Some(end)), ..self }
    }

    /// Whose sessions at the issuer are their own, as it calls them.
    pub fn issuer_subject(&self) -> Option<&str> {
        match self.method {
            Method::Session | Method::Oidc => self.id.split_once(':').map(|(_, subject)| subject),
            Method::Open | Method::Token | Method::Kubernetes | Method::Gateway => None,
        }
    }

    /// The session that they call in.
    pub fn session(&self) -> Option<Uuid> {
        match &self.standing {
            Standing::Session(hash) => Some(public_id(hash)),
            Standing::Open | Standing::Token(_) | Standing::Until(_) => None,
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
    /// It is somebody's, who may do nothing here.
    #[error("none of the caller's groups may do anything here")]
    Powerless,
    /// A browser sent it for another site.
    #[error("the request did not come from the dashboard")]
    CrossSite,
    /// Whoever could tell does not answer.
    #[error("who is calling cannot be found out now")]
    Unavailable,
}
