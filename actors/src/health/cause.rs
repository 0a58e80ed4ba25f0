//! Why a probe failed, and why one did not run: one vocabulary from socket to event to metric.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::roll::vocabulary;

vocabulary! {
    /// Typed cause of a failed probe.
    Cause ("cause") {
        /// The host's name does not resolve.
        Dns = "dns",
        /// The address refused the connection, or has no route.
        Refused = "refused",
        /// No connection within the deadline.
        ConnectTimeout = "connect_timeout",
        /// TLS failed: handshake, trust or name.
        Tls = "tls",
        /// The serving certificate has expired.
        CertificateExpired = "certificate_expired",
        /// Connected, but no complete answer within the deadline.
        Timeout = "timeout",
        /// 401 to our credentials.
        Unauthorized = "unauthorized",
        /// 403 to our credentials.
        Forbidden = "forbidden",
        /// 429: alive, but asking for patience.
        Throttled = "throttled",
        /// Any other unexpected status.
        HttpStatus = "http_status",
        /// What came back is not HTTP, or the connection broke in the middle of it.
        Protocol = "protocol",
        /// The answer is larger than the cap.
        TooLarge = "too_large",
        /// The address policy forbids the address.
        Blocked = "blocked",
        /// The stored credentials cannot be used.
        Credentials = "credentials",
    }
}

impl Cause {
    /// Could the monitor's own network, rather than the cluster, be to blame?
    pub const fn is_network(self) -> bool {
        match self {
            Self::Dns | Self::Refused | Self::ConnectTimeout | Self::Timeout | Self::Tls | Self::Protocol => true,
            Self::CertificateExpired
            | Self::Unauthorized
            | Self::Forbidden
            | Self::Throttled
            | Self::HttpStatus
            | Self::TooLarge
            | Self::Blocked
            | Self::Credentials => false,
        }
    }

    /// Could the monitor's own want of time, rather than the cluster, be to blame? A deadline passes unseen, and a peer gives up
    /// on a client that is away.
    pub const fn is_want_of_time(self) -> bool {
        match self {
            Self::Dns | Self::ConnectTimeout | Self::Timeout | Self::Tls | Self::Protocol => true,
            Self::Refused
            | Self::CertificateExpired
            | Self::Unauthorized
            | Self::Forbidden
            | Self::Throttled
            | Self::HttpStatus
            | Self::TooLarge
            | Self::Blocked
            | Self::Credentials => false,
        }
    }

    /// The public sentence of the cause. Never contains anything a spoke said.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Dns => "the host name does not resolve",
            Self::Refused => "connection refused",
            Self::ConnectTimeout => "no connection within the deadline",
            Self::Tls => "TLS handshake or certificate verification failed",
            Self::CertificateExpired => "the serving certificate has expired",
            Self::Timeout => "no complete answer within the deadline",
            Self::Unauthorized => "the server refused the credentials (401)",
            Self::Forbidden => "the credentials lack permission (403)",
            Self::Throttled => "the server asks for patience (429)",
            Self::HttpStatus => "unexpected HTTP status",
            Self::Protocol => "the answer is not valid HTTP, or the connection broke off",
            Self::TooLarge => "the answer is larger than the cap",
            Self::Blocked => "the address policy forbids this address",
            Self::Credentials => "the stored credentials cannot be used",
        }
    }
}

vocabulary! {
    /// Why the monitor itself could not probe. Never counted against the cluster.
    NotRun ("not-run reason") {
        /// No probe or handshake permit became free in time.
        NoPermit = "no_permit",
        /// The process has no file descriptor or local port left.
        NoDescriptor = "no_descriptor",
        /// The process was stopped or starved while the probe ran.
        Stalled = "stalled",
        /// The resolver has too many look-ups hanging.
        ResolverBusy = "resolver_busy",
        /// The check's task died.
        Panicked = "panicked",
        /// The credential store did not answer.
        CredentialStore = "credential_store",
        /// The check was given up: the process is stopping or the target changed.
        Abandoned = "abandoned",
    }
}

/// A failed probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
}

impl Failure {
    /// A failure before any HTTP status.
    pub const fn of(cause: Cause) -> Self {
        Self { cause, http_status: None }
    }

    /// A failure told by an HTTP status.
    pub const fn status(cause: Cause, http_status: u16) -> Self {
        Self { cause, http_status: Some(http_status) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cause, self.http_status) {
            (Cause::HttpStatus, Some(status)) => write!(f, "unexpected HTTP status {status}"),
            (cause, _) => f.write_str(cause.sentence()),
        }
    }
}
