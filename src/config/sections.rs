//! The sections of the settings. What each key means and its default stand in `config/default.yaml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use super::durations::{millis, optional_seconds, seconds};

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port, or Unix socket.
    pub listen: Listen,
    /// Further ones.
    pub also_listen: Vec<Listen>,
    /// Those for `/health`, `/ready` and `/metrics` alone.
    pub observability_listen: Vec<Listen>,
    /// TLS on TCP addresses.
    pub tls: ServerTls,
    /// Host names that are answered to.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read the API.
    pub cors_allowed_origins: Vec<String>,
    /// Whether a proxy in front speaks TLS.
    pub behind_tls_proxy: bool,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Longest time for one request.
    #[serde(rename = "request_timeout_seconds", with = "seconds")]
    pub request_timeout: Duration,
    /// Connections held open at once.
    pub max_connections: usize,
}

impl Server {
    /// Everything that is listened on.
    pub fn listens(&self) -> impl Iterator<Item = &Listen> {
        std::iter::once(&self.listen).chain(&self.also_listen).chain(&self.observability_listen)
    }

    /// Can only this machine reach it?
    pub fn is_local(&self) -> bool {
        self.listens().all(Listen::is_local)
    }
}

/// TLS of the API.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// Certificate chain, PEM; empty for plain HTTP.
    pub cert_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
    /// Authorities of client certificates, PEM; empty: none are asked for.
    pub client_ca_file: PathBuf,
    /// Whether clients without a certificate are turned away.
    pub require_client_certificate: bool,
}

impl ServerTls {
    /// Is TLS spoken?
    pub fn is_on(&self) -> bool {
        !self.cert_file.as_os_str().is_empty()
    }
}

/// What to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// An IP address and port, or `localhost:port`.
    Tcp(SocketAddr),
    /// `unix:/absolute/path`.
    Unix(PathBuf),
}

impl Listen {
    /// The address and port, where it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Can only this machine reach it?
    pub fn is_local(&self) -> bool {
        self.address().is_none_or(|address| address.ip().is_loopback())
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = "must be an IP address and a port, such as 127.0.0.1:8080, or unix:/absolute/path";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong.to_owned()) };
        }
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text,
        };
        address.parse().map(Self::Tcp).map_err(|_| wrong.to_owned())
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        match listen {
            Listen::Tcp(address) => address.to_string(),
            Listen::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// Periods, deadlines and damping of checks. Ask [`HealthCheck::hub`] and its like for the values of one type.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys say it all; config/default.yaml explains each")]
pub struct HealthCheck {
    pub enabled: bool,
    #[serde(rename = "hub_interval_seconds", with = "seconds")]
    pub hub_interval: Duration,
    #[serde(rename = "spoke_interval_seconds", with = "seconds")]
    pub spoke_interval: Duration,
    #[serde(rename = "edge_interval_seconds", with = "seconds")]
    pub edge_interval: Duration,
    #[serde(rename = "far_edge_interval_seconds", with = "seconds")]
    pub far_edge_interval: Duration,
    #[serde(rename = "timeout_seconds", with = "optional_seconds")]
    pub timeout: Option<Duration>,
    #[serde(rename = "hub_timeout_seconds", with = "seconds")]
    pub hub_timeout: Duration,
    #[serde(rename = "spoke_timeout_seconds", with = "seconds")]
    pub spoke_timeout: Duration,
    #[serde(rename = "edge_timeout_seconds", with = "seconds")]
    pub edge_timeout: Duration,
    #[serde(rename = "far_edge_timeout_seconds", with = "seconds")]
    pub far_edge_timeout: Duration,
    pub failure_threshold: u32,
    pub success_threshold: u32,
    #[serde(rename = "recheck_delay_seconds", with = "seconds")]
    pub recheck_delay: Duration,
    pub flap_changes: u32,
    #[serde(rename = "flap_window_seconds", with = "seconds")]
    pub flap_window: Duration,
    pub per_type: PerType,
}

/// Values of one cluster type in place of the general ones.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "one field for each cluster type")]
pub struct PerType {
    pub hub: TypeOverrides,
    pub spoke: TypeOverrides,
    pub edge: TypeOverrides,
    pub far_edge: TypeOverrides,
}

/// What one cluster type may set for itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TypeOverrides {
    /// Failed checks in a row before a state gets worse.
    pub failure_threshold: Option<u32>,
    /// Good checks in a row before a state gets better.
    pub success_threshold: Option<u32>,
    /// Pause before the second look.
    #[serde(rename = "recheck_delay_seconds", with = "optional_seconds")]
    pub recheck_delay: Option<Duration>,
}

/// The values of one cluster type, everything resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Period of the checks.
    pub interval: Duration,
    /// Deadline of one check.
    pub deadline: Duration,
    /// Failed checks in a row before a state gets worse.
    pub failure_threshold: u32,
    /// Good checks in a row before a state gets better.
    pub success_threshold: u32,
    /// Pause before the second look.
    pub recheck_delay: Duration,
}

impl HealthCheck {
    /// Values of HUB clusters.
    pub fn hub(&self) -> Timing {
        self.timing(self.hub_interval, self.hub_timeout, &self.per_type.hub)
    }

    /// Values of SPOKE clusters.
    pub fn spoke(&self) -> Timing {
        self.timing(self.spoke_interval, self.spoke_timeout, &self.per_type.spoke)
    }

    /// Values of EDGE clusters.
    pub fn edge(&self) -> Timing {
        self.timing(self.edge_interval, self.edge_timeout, &self.per_type.edge)
    }

    /// Values of FAR_EDGE clusters.
    pub fn far_edge(&self) -> Timing {
        self.timing(self.far_edge_interval, self.far_edge_timeout, &self.per_type.far_edge)
    }

    fn timing(&self, interval: Duration, deadline: Duration, own: &TypeOverrides) -> Timing {
        Timing {
            interval,
            deadline: self.timeout.unwrap_or(deadline),
            failure_threshold: own.failure_threshold.unwrap_or(self.failure_threshold),
            success_threshold: own.success_threshold.unwrap_or(self.success_threshold),
            recheck_delay: own.recheck_delay.unwrap_or(self.recheck_delay),
        }
    }
}

/// When the monitor doubts itself instead of the fleet.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// URLs that answer whenever the network works.
    pub canaries: Vec<Url>,
    /// Share of the fleet that must fail before states are held, above 0 and up to 1.
    pub hold_ratio: f64,
    /// Smallest fleet for which states are held.
    pub hold_min_clusters: usize,
}

/// The connections to the watched clusters.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// Checks under way at once.
    pub max_in_flight: usize,
    /// TLS handshakes under way at once.
    pub max_handshakes: usize,
    /// Largest answer that is read, in bytes.
    pub max_body_bytes: usize,
    /// Largest headers of an answer, in bytes.
    pub max_header_bytes: usize,
    /// PEM file of authorities trusted beside the system's own; empty for none.
    pub ca_file: PathBuf,
    /// Networks that may be probed although another rule refuses them.
    pub allow_cidrs: Vec<IpNet>,
    /// Networks that are never probed.
    pub deny_cidrs: Vec<IpNet>,
    /// Whether private networks may be probed.
    pub allow_private: bool,
    /// Whether loopback may be probed; ask [`super::Settings::loopback_probes_allowed`].
    pub allow_loopback: AllowLoopback,
    /// Deadline of a name resolution.
    #[serde(rename = "resolve_timeout_ms", with = "millis")]
    pub resolve_timeout: Duration,
    /// Idle time before TCP asks for the peer.
    #[serde(rename = "keepalive_idle_seconds", with = "seconds")]
    pub keepalive_idle: Duration,
    /// Time between two such questions.
    #[serde(rename = "keepalive_interval_seconds", with = "seconds")]
    pub keepalive_interval: Duration,
    /// Unanswered questions after which a connection counts as dead.
    pub keepalive_probes: u32,
}

/// Whether loopback addresses may be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum AllowLoopback {
    /// Only while the API listens on loopback.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

impl TryFrom<String> for AllowLoopback {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "true" => Ok(Self::Always),
            "false" => Ok(Self::Never),
            _ => Err("must be `auto`, `true` or `false`".to_owned()),
        }
    }
}

impl From<AllowLoopback> for String {
    fn from(value: AllowLoopback) -> Self {
        match value {
            AllowLoopback::Auto => "auto",
            AllowLoopback::Always => "true",
            AllowLoopback::Never => "false",
        }
        .to_owned()
    }
}

/// How the database is used.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Connections of the pool.
    pub max_connections: u32,
    /// Longest wait for a connection.
    #[serde(rename = "acquire_timeout_ms", with = "millis")]
    pub acquire_timeout: Duration,
    /// Longest run of one statement.
    #[serde(rename = "statement_timeout_ms", with = "millis")]
    pub statement_timeout: Duration,
    /// Longest call: waiting, statements and commit. A write through the API is answered within it.
    #[serde(rename = "call_timeout_ms", with = "millis")]
    pub call_timeout: Duration,
}

/// How statuses reach the database.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recorder {
    /// Pause between two writes of changed statuses.
    #[serde(rename = "flush_interval_ms", with = "millis")]
    pub flush_interval: Duration,
    /// Pause between two writes of statuses that hardly changed.
    #[serde(rename = "idle_flush_seconds", with = "seconds")]
    pub idle_flush: Duration,
}

/// The public status page.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StatusPage {
    /// Whether there is one.
    pub enabled: bool,
    /// Which clusters it shows.
    pub label_selector: String,
    /// Its title.
    pub title: String,
}

/// How long history is kept, in days.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Days of check rollups.
    pub checks_retention_days: u32,
    /// Days of changes of state.
    pub transitions_retention_days: u32,
    /// Days of events.
    pub events_retention_days: u32,
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Days for which rows are kept.
    pub retention_days: u32,
    /// Refused requests told one by one, a second.
    pub refusals_per_second: u32,
}

/// Live events.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Streaming {
    /// Origins of pages that may open a WebSocket, besides the API's own.
    pub allowed_origins: Vec<String>,
    /// Most listeners at once, over Server-Sent Events and WebSocket together.
    pub max_listeners: u32,
    /// …of which one caller may have so many.
    pub max_listeners_per_caller: u32,
}

/// Names on the event bus.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Prefix of the channels.
    pub channel_prefix: String,
    /// The stream's key.
    pub stream: String,
    /// Length at which the stream drops its oldest entries.
    pub stream_max_length: u64,
}

/// The registry of clusters.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Pause between two comparisons of stored clusters with running actors.
    #[serde(rename = "reconcile_seconds", with = "seconds")]
    pub reconcile: Duration,
}

/// Discovery of a cluster's capabilities.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// Whether a newly registered cluster is discovered at once.
    pub on_registration: bool,
    /// Hours between two discoveries of a cluster.
    pub periodic_refresh_hours: u32,
    /// Discoveries at once.
    pub max_in_flight: usize,
    /// Deadline of one question.
    #[serde(rename = "question_timeout_seconds", with = "seconds")]
    pub question_timeout: Duration,
    /// Deadline of one discovery.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// Bytes of one answer.
    pub max_answer_bytes: usize,
    /// Bytes of all answers of one discovery.
    pub max_total_bytes: usize,
}

/// What fleetbeat writes about itself.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// A level, or directives per module.
    pub level: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
    /// Text on a terminal, JSON elsewhere.
    Auto,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "auto" => Ok(Self::Auto),
            _ => Err("must be `text`, `json` or `auto`".to_owned()),
        }
    }
}

impl From<LogFormat> for String {
    fn from(value: LogFormat) -> Self {
        match value {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
            LogFormat::Auto => "auto",
        }
        .to_owned()
    }
}
