//! The port through which an API server is asked for more than its health.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{
    health::{Cause, NotRun},
    target::Target,
};
use futures_util::future::BoxFuture;
use secrecy::zeroize::Zeroizing;

use crate::credentials::Credential;

/// Opens conversations with API servers, from a pool of permits of its own.
pub trait Inquirer: Send + Sync + 'static {
    /// A conversation with the API server of `target`, with `credential` and never without.
    ///
    /// # Errors
    /// When no permit became free in time.
    fn converse(
        &self,
        target: Arc<Target>,
        credential: Arc<Credential>,
    ) -> BoxFuture<'static, Result<Box<dyn Conversation>, Silence>>;
}

/// Questions to one API server, one at a time. Dropping it ends it.
#[async_trait]
pub trait Conversation: Send {
    /// One question, one whole answer, within the deadline of the cluster and the caps of the inquirer.
    async fn ask(&mut self, question: Question) -> Result<Reply, Silence>;
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Path and query, from the root of the API.
    pub path: String,
    /// Are names and labels enough?
    pub metadata_only: bool,
    /// JSON to post; without it the question is a GET.
    pub body: Option<Vec<u8>>,
}

/// A complete answer, or the beginning of one that is larger than the cap.
#[derive(Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Is the body longer than the cap?
    pub overflows: bool,
    /// The body, which may hold a secret.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The server's fault, as far as can be told.
    Failed(Cause),
    /// The monitor's own.
    NotRun(NotRun),
}

impl Silence {
    /// The word for logs, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed(cause) => cause.as_str(),
            Self::NotRun(reason) => reason.as_str(),
        }
    }
}

impl Question {
    /// A GET of whole objects.
    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// A GET of names and labels.
    pub fn names(path: impl Into<String>) -> Self {
        Self { path: path.into(), metadata_only: true, body: None }
    }

    /// A POST of JSON.
    pub fn post(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { path: path.into(), metadata_only: false, body: Some(body.to_string().into_bytes()) }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).field("bytes", &self.body.len()).finish()
    }
}
