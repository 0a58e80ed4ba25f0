//! What can go wrong with the hub, translated once. Nothing that the hub answered is shown but its words of refusal.

use std::error::Error;

/// Longest of the hub's own words that is shown, in characters.
const MAX_WORDS: usize = 300;

/// Why the hub did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HubError {
    /// How it is reached cannot be read.
    #[error("{0}")]
    Access(String),
    /// It does not answer, or not now; worth another try.
    #[error("the hub does not answer: {0}")]
    Unavailable(String),
    /// fleetbeat may not do this there.
    #[error("the hub does not allow it: {0}")]
    Forbidden(String),
    /// It refuses for another reason.
    #[error("the hub refuses: {status} {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Kubernetes' word for it.
        reason: String,
    },
    /// There is no such object, or no such kind.
    #[error("the hub has no such object")]
    NotFound,
    /// Someone else wrote the object meanwhile.
    #[error("the object was changed meanwhile")]
    Conflict,
    /// Its answer makes no sense.
    #[error("the hub's answer cannot be read")]
    Unreadable,
}

impl HubError {
    /// Is it worth another try?
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Access(_) | Self::Conflict)
    }
}

impl From<kube::Error> for HubError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(&status),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Self::Unreadable,
            other => Self::Unavailable(root(&other)),
        }
    }
}

impl HubError {
    fn of_status(status: &kube::core::Status) -> Self {
        match status.code {
            401 => Self::Unavailable("it does not accept fleetbeat's own identity (401)".to_owned()),
            403 => Self::Forbidden(words(&status.message)),
            404 => Self::NotFound,
            409 => Self::Conflict,
            0 | 429 | 500.. => Self::Unavailable(format!("status {}", status.code)),
            code => Self::Refused { status: code, reason: words(&status.reason) },
        }
    }
}

/// Words of the hub, made fit for a log line.
fn words(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_WORDS).collect()
}

/// Our own trouble where there is some; else only what kind of error it is.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(trouble) = error.downcast_ref::<Trouble>() {
            return trouble.to_string();
        }
        next = error.source();
    }
    "the connection broke".to_owned()
}

/// What went wrong with one request.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// How the hub is reached cannot be read.
    #[error("{0}")]
    NoAccess(String),
    /// No connection.
    #[error("cannot connect ({0})")]
    NoConnection(&'static str),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// Too slow.
    #[error("no answer in time")]
    Silent,
    /// Too much.
    #[error("the answer is larger than what is read")]
    TooLarge,
    /// It points elsewhere, where nobody goes.
    #[error("it redirects, which is not followed (status {0})")]
    Redirects(u16),
    /// It has troubles of its own, or enough of us.
    #[error("status {0}")]
    Troubled(u16),
    /// It was away a moment ago, and is not asked for a while.
    #[error("it did not answer before, and is left alone for a while")]
    LeftAlone,
    /// The request itself is no good.
    #[error("the request cannot be sent")]
    Unsendable,
}

impl Trouble {
    /// An exchange failed.
    pub(super) fn of_exchange(error: &hyper_util::client::legacy::Error) -> Self {
        if !error.is_connect() {
            return Self::Broken;
        }
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::NoConnection(if matches!(tls, rustls::Error::InvalidCertificate(_)) {
                    "its certificate is not trusted"
                } else {
                    "TLS"
                });
            }
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                if let Some(inner) = io.get_ref() {
                    next = Some(inner);
                    continue;
                }
                if io.kind() == std::io::ErrorKind::ConnectionRefused {
                    return Self::NoConnection("refused");
                }
            }
            next = error.source();
        }
        Self::NoConnection("network")
    }

    /// Is the hub there, as far as this tells?
    pub(super) fn is_hub_there(&self) -> Option<bool> {
        match self {
            Self::NoConnection(_) | Self::Broken | Self::Silent | Self::Troubled(500..) => Some(false),
            Self::TooLarge | Self::Redirects(_) | Self::Troubled(_) => Some(true),
            Self::NoAccess(_) | Self::LeftAlone | Self::Unsendable => None,
        }
    }

    /// A body broke off.
    pub(super) fn broke_off(_: &hyper::Error) -> Self {
        Self::Broken
    }
}
