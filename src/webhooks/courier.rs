//! The port through which messages leave: a courier judges where it may go, and takes one message there.

use async_trait::async_trait;
use bytes::Bytes;
use fleetbeat_actors::health::Cause;
use hyper::HeaderMap;
use url::Url;
use uuid::Uuid;

/// A message on its way.
pub struct Letter {
    /// Whose connection it may take, and leave to the next one; none: one of its own.
    pub line: Option<Uuid>,
    /// Where to. May hold secrets.
    pub url: Url,
    /// What stands on it, besides what every request has.
    pub headers: HeaderMap,
    /// What is in it.
    pub body: Bytes,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// There was an answer with this status.
    Answered(u16),
    /// There was none.
    Failed(Cause),
    /// It could not be tried, and not for the destination's fault.
    NotRun,
}

impl Delivery {
    /// Was it taken?
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Answered(200..=299))
    }

    /// The status of the answer, where there was one.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status),
            Self::Failed(_) | Self::NotRun => None,
        }
    }

    /// Why it was not taken, in one word.
    pub fn error(self) -> Option<&'static str> {
        match self {
            Self::Answered(200..=299) => None,
            Self::Answered(300..=399) => Some("redirect"),
            Self::Answered(_) => Some("http_status"),
            Self::Failed(cause) => Some(cause.as_str()),
            Self::NotRun => Some("not_run"),
        }
    }

    /// How it ended, in one word.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::NotRun => "not_run",
            taken if taken.is_taken() => "delivered",
            Self::Answered(_) | Self::Failed(_) => "failed",
        }
    }
}

/// Takes messages to their destinations: never follows a redirect, never waits or reads without end.
#[async_trait]
pub trait Courier: Send + Sync + 'static {
    /// May messages go there, as far as it can be told now? A name that does not resolve now may.
    async fn admits(&self, url: &Url) -> bool;

    /// Takes one message there. The address is judged again, and it is the one judged that is connected to.
    async fn deliver(&self, letter: Letter) -> Delivery;
}
