//! Who acts, from where, and what.

use std::{net::SocketAddr, sync::Arc};

use chrono::{DateTime, Utc};

use crate::store::{AuditEntry, audit::plain};

/// Who acts, how they proved it, from where, and in which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Stable name: `token:<id>`, `local`, `system`, `anonymous`.
    pub actor: Arc<str>,
    /// What people call them.
    pub name: Option<Arc<str>>,
    /// How they proved it: `token`, `open`, `none`, …
    pub method: &'static str,
    /// Their address, as their connection shows it.
    pub address: Option<SocketAddr>,
    /// The request's `X-Request-ID`.
    pub request_id: Option<Arc<str>>,
}

impl Origin {
    /// fleetbeat itself, in this part of it.
    pub fn system(part: &str) -> Self {
        Self { actor: "system".into(), name: Some(part.into()), method: "none", address: None, request_id: None }
    }

    /// Whoever may open the database itself.
    pub fn console() -> Self {
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty()).map(|user| plain(&user).into());
        Self { actor: "console".into(), name: user, method: "local", address: None, request_id: None }
    }

    /// Somebody who proved nothing.
    pub fn anonymous(address: Option<SocketAddr>, request_id: Option<Arc<str>>) -> Self {
        Self { actor: "anonymous".into(), name: None, method: "none", address, request_id }
    }

    /// The entry that tells what they did well; say what else there is to say with its methods.
    pub fn did(&self, action: Action, at: DateTime<Utc>) -> AuditEntry {
        self.sign(AuditEntry::new(at, action.as_str()))
    }

    /// The same entry as theirs.
    #[must_use]
    pub fn sign(&self, entry: AuditEntry) -> AuditEntry {
        AuditEntry {
            actor: plain(&self.actor),
            actor_name: self.name.as_deref().map(plain),
            method: self.method.into(),
            address: self.address.map(|address| address.to_string()),
            request_id: self.request_id.as_deref().map(plain),
            ..entry
        }
    }
}

/// What can be done. Where a request is refused before anybody knows what it wants, the request itself is the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A cluster was registered.
    ClusterCreate,
    /// A cluster's spec was changed.
    ClusterUpdate,
    /// A cluster was removed.
    ClusterDelete,
    /// Clusters were registered or changed by an import.
    ClusterImport,
    /// A check was run on demand.
    ClusterRefresh,
    /// A cluster was asked on demand what it can do.
    ClusterDiscover,
    /// Credentials were stored.
    CredentialsUpload,
    /// Credentials were replaced.
    CredentialsRotate,
    /// Credentials were tried on their cluster.
    CredentialsValidate,
    /// Credentials were removed.
    CredentialsDelete,
    /// Credentials were handed out.
    CredentialsRead,
    /// Credentials went because their cluster moved.
    CredentialsInvalidate,
    /// Somebody changed credentials where they are kept, without asking us.
    CredentialsNotice,
    /// An API token was made.
    TokenCreate,
    /// An API token was revoked.
    TokenRevoke,
    /// A browser's session was begun.
    SessionBegin,
    /// A browser's session was ended.
    SessionEnd,
    /// A silence was made.
    SilenceCreate,
    /// A silence was ended before its time.
    SilenceEnd,
    /// The key that seals credentials was replaced.
    KeysRotate,
    /// A webhook was made.
    WebhookCreate,
    /// A webhook was changed.
    WebhookUpdate,
    /// A webhook was removed.
    WebhookDelete,
    /// A webhook was sent a test.
    WebhookTest,
    /// A webhook was sent a dead letter once more.
    WebhookRetry,
    /// A dead letter was thrown away.
    WebhookDiscard,
    /// Refusals were not kept, because there were too many.
    RefusalsDropped,
    /// A request that only reads.
    Read,
    /// Any other request that changes something.
    Write,
}

impl Action {
    /// The word in the log and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterCreate => "cluster.create",
            Self::ClusterUpdate => "cluster.update",
            Self::ClusterDelete => "cluster.delete",
            Self::ClusterImport => "cluster.import",
            Self::ClusterRefresh => "cluster.refresh",
            Self::ClusterDiscover => "cluster.discover",
            Self::CredentialsUpload => "credentials.upload",
            Self::CredentialsRotate => "credentials.rotate",
            Self::CredentialsValidate => "credentials.validate",
            Self::CredentialsDelete => "credentials.delete",
            Self::CredentialsRead => "credentials.read",
            Self::CredentialsInvalidate => "credentials.invalidate",
            Self::CredentialsNotice => "credentials.notice",
            Self::TokenCreate => "token.create",
            Self::TokenRevoke => "token.revoke",
            Self::SessionBegin => "session.begin",
            Self::SessionEnd => "session.end",
            Self::SilenceCreate => "silence.create",
            Self::SilenceEnd => "silence.end",
            Self::KeysRotate => "keys.rotate",
            Self::WebhookCreate => "webhook.create",
            Self::WebhookUpdate => "webhook.update",
            Self::WebhookDelete => "webhook.delete",
            Self::WebhookTest => "webhook.test",
            Self::WebhookRetry => "webhook.retry",
            Self::WebhookDiscard => "webhook.discard",
            Self::RefusalsDropped => "audit.dropped",
            Self::Read => "api.read",
            Self::Write => "api.write",
        }
    }
}
