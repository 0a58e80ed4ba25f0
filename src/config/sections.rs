//! The sections of the settings. What each key means and its default stand in `config/default.yaml`.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use super::durations::{millis, seconds};

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
