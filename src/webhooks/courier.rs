//! The port through which messages leave: a courier judges where it may go, and takes one message there.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
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
    /// There was one with this status that asks to come again later (429 or 503 with `Retry-After`).
    Deferred(u16, Later),
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
            Self::Answered(status) | Self::Deferred(status, _) => Some(status),
            Self::Failed(_) | Self::NotRun => None,
        }
    }

    /// Why it was not taken, in one word.
    pub fn error(self) -> Option<&'static str> {
        match self {
            Self::Answered(200..=299) => None,
            Self::Answered(300..=399) => Some("redirect"),
            Self::Answered(_) | Self::Deferred(..) => Some("http_status"),
            Self::Failed(cause) => Some(cause.as_str()),
            Self::NotRun => Some("not_run"),
        }
    }

    /// How it ended, in one word.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::NotRun => "not_run",
            taken if taken.is_taken() => "delivered",
            Self::Answered(_) | Self::Deferred(..) | Self::Failed(_) => "failed",
        }
    }

    /// How long the destination asked to be left alone, as far as it did.
    pub fn wished_pause(self, now: DateTime<Utc>) -> Duration {
        match self {
            Self::Deferred(_, Later::In(pause)) => pause,
            Self::Deferred(_, Later::At(at)) => at.signed_duration_since(now).to_std().unwrap_or_default(),
            Self::Answered(_) | Self::Failed(_) | Self::NotRun => Duration::ZERO,
        }
    }
}

/// What `Retry-After` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// After so long.
    In(Duration),
    /// Not before then.
    At(DateTime<Utc>),
}

impl Later {
    /// Reads the header's value: seconds, or a date as HTTP writes it; `None` where it is neither.
    pub fn read(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // More seconds than a number holds are as good as for ever.
            return Some(Self::In(Duration::from_secs(value.parse().unwrap_or(u64::MAX))));
        }
        let date = DateTime::parse_from_rfc2822(value).ok()?;
        value.ends_with(" GMT").then(|| Self::At(date.to_utc()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now: DateTime<Utc> = "2026-11-06T08:49:00Z".parse().expect("a time");
        let pause =
            |value: &str| Later::read(value).map(|later| Delivery::Deferred(429, later).wished_pause(now).as_secs());
        assert_eq!(pause("120"), Some(120));
        assert_eq!(pause(" 0 "), Some(0));
        assert_eq!(pause("Fri, 06 Nov 2026 08:50:30 GMT"), Some(90));
        assert_eq!(pause("Fri, 06 Nov 1998 08:50:30 GMT"), Some(0), "long ago is now");
        assert_eq!(pause("99999999999999999999999"), Some(u64::MAX), "bounded by who waits");
        for nonsense in ["", "-1", "1.5", "soon", "Fri, 06 Nov 2026 08:50:30 +0200", "2026-11-06T08:50:30Z"] {
            assert_eq!(pause(nonsense), None, "{nonsense:?}");
        }
    }
}
