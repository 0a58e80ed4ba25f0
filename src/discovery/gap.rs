//! Why something about a cluster is not known.

use fleetbeat_actors::health::Cause;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ask::Silence;

/// Why one part of a cluster's capabilities is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The account lacks the permission (403).
    Forbidden,
    /// The account is not accepted (401).
    Unauthorized,
    /// The cluster does not serve this API (404, or its group is not listed).
    Absent,
    /// The server asks for patience (429).
    Throttled,
    /// Any other unexpected status.
    Status(u16),
    /// One answer, or all of them together, are larger than the cap.
    TooLarge,
    /// More pages or items than are read, or pages that lead in a circle.
    Endless,
    /// The answer is not what the API promises.
    Malformed,
    /// The time of the whole discovery was used up.
    Late,
    /// It depends on something else that is not known.
    Depends,
    /// There was no answer.
    Silent(Silence),
}

/// A gap as it is shown and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unknown {
    /// Why, in one word: `forbidden`, `absent`, `timeout`, …
    pub reason: String,
    /// Why, in words that come from fleetbeat, never from the cluster.
    pub message: String,
}

impl Gap {
    /// What a status other than 200 means.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 | 406 => Self::Absent,
            429 => Self::Throttled,
            other => Self::Status(other),
        }
    }

    /// May it be gone the next time by itself? Then what was known before still counts.
    pub const fn passes(self) -> bool {
        match self {
            Self::Forbidden | Self::Absent => false,
            Self::Unauthorized
            | Self::Throttled
            | Self::Status(_)
            | Self::TooLarge
            | Self::Endless
            | Self::Malformed
            | Self::Late
            | Self::Depends
            | Self::Silent(_) => true,
        }
    }

    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Absent => "absent",
            Self::Throttled => "throttled",
            Self::Status(_) => "http_status",
            Self::TooLarge => "too_large",
            Self::Endless => "too_many",
            Self::Malformed => "malformed",
            Self::Late => "out_of_time",
            Self::Depends => "depends",
            Self::Silent(silence) => silence.as_str(),
        }
    }

    fn sentence(self, what: &str) -> String {
        match self {
            Self::Forbidden => format!("the account may not {what} (403)"),
            Self::Unauthorized => "the server refused the credentials (401)".to_owned(),
            Self::Absent => format!("the cluster does not serve what it takes to {what}"),
            Self::Throttled => "the server asks for patience (429)".to_owned(),
            Self::Status(status) => format!("unexpected HTTP status {status}"),
            Self::TooLarge => "the answers are larger than the cap".to_owned(),
            Self::Endless => "there is more than is read".to_owned(),
            Self::Malformed => "the answer is not what the API promises".to_owned(),
            Self::Late => "the time for the discovery was used up".to_owned(),
            Self::Depends => "it depends on something that is not known".to_owned(),
            Self::Silent(Silence::Failed(cause)) => cause.sentence().to_owned(),
            Self::Silent(Silence::NotRun(reason)) => format!("not asked ({reason})"),
        }
    }

    /// As it is shown; `what` is the verb and the noun that was asked for.
    pub fn shown(self, what: &str) -> Unknown {
        Unknown { reason: self.word().to_owned(), message: self.sentence(what) }
    }
}

impl From<Silence> for Gap {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Failed(Cause::TooLarge) => Self::TooLarge,
            silence => Self::Silent(silence),
        }
    }
}
