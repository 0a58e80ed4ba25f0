//! What the engine believes of one cluster: the status that the board shows and the store keeps.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Endpoint, Failure};
use crate::roll::vocabulary;

vocabulary! {
    /// Health state of a cluster. The order is by severity: later is worse.
    State ("state") {
        /// Not yet checked.
        Unknown = "UNKNOWN",
        /// Every configured endpoint passes.
        Online = "ONLINE",
        /// The API server answers, but something fails.
        Degraded = "DEGRADED",
        /// The API server cannot be reached.
        Offline = "OFFLINE",
    }
}

vocabulary! {
    /// Whether the cluster's API server can be talked to.
    Connectivity ("connectivity") {
        /// It answers.
        Connected = "CONNECTED",
        /// It does not, or was never asked.
        Disconnected = "DISCONNECTED",
        /// It changes too often to say.
        Intermittent = "INTERMITTENT",
    }
}

/// The last adopted finding about one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Does it pass?
    pub healthy: bool,
    /// Why not (also set for a 429 of an API server, which is alive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How long the last probe took, in milliseconds.
    pub latency_ms: u32,
}

/// The last adopted findings, `None` where the endpoint is not configured or was not yet probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<Finding>,
    /// Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Finding>,
    /// Tempo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempo: Option<Finding>,
    /// Loki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loki: Option<Finding>,
}

impl Findings {
    /// The finding about one endpoint.
    pub const fn of(&self, endpoint: Endpoint) -> Option<Finding> {
        match endpoint {
            Endpoint::ApiServer => self.api_server,
            Endpoint::Prometheus => self.prometheus,
            Endpoint::Tempo => self.tempo,
            Endpoint::Loki => self.loki,
        }
    }

    /// Was the endpoint found failing?
    pub fn is_failing(&self, endpoint: Endpoint) -> bool {
        self.of(endpoint).is_some_and(|finding| !finding.healthy)
    }

    /// The first failing endpoint, API server first, and why it fails.
    pub fn worst(&self) -> Option<(Endpoint, Failure)> {
        Endpoint::ALL.into_iter().find_map(|endpoint| {
            let finding = self.of(endpoint)?;
            if finding.healthy { None } else { Some((endpoint, finding.failure?)) }
        })
    }
}

/// Damping kept between checks, and across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Reports in a row that would worsen the state.
    #[serde(default)]
    pub worse: u8,
    /// Reports in a row that would improve the state.
    #[serde(default)]
    pub better: u8,
    /// The mildest state that every report of the present streak agrees on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaning: Option<State>,
    /// When the state last changed, newest last, at most as many as the flap rule needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<DateTime<Utc>>,
}

/// Everything the engine believes of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Grows with every write; a store refuses an older one.
    pub version: i64,
    /// Health state.
    pub state: State,
    /// When that state began.
    pub since: DateTime<Utc>,
    /// 0 to 100; 0 while UNKNOWN.
    pub health_score: u8,
    /// The adopted findings behind state and score.
    #[serde(default)]
    pub findings: Findings,
    /// Does the API server answer (whatever it answers)?
    pub connected: bool,
    /// Has the state changed too often lately?
    #[serde(default)]
    pub flapping: bool,
    /// Is a worsening held back because the monitor doubts itself?
    #[serde(default)]
    pub held: bool,
    /// When the last check ended that ran.
    pub last_check_at: Option<DateTime<Utc>>,
    /// When the API server last passed.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Duration of the last API-server probe, in milliseconds.
    pub latency_ms: Option<u32>,
    /// The generation of the spec that the last check saw.
    #[serde(default)]
    pub observed_generation: i64,
    /// Damping.
    #[serde(default)]
    pub memory: Memory,
}

impl Status {
    /// The status of a cluster that was never checked.
    pub fn unknown(now: DateTime<Utc>) -> Self {
        Self {
            version: 0,
            state: State::Unknown,
            since: now,
            health_score: 0,
            findings: Findings::default(),
            connected: false,
            flapping: false,
            held: false,
            last_check_at: None,
            last_success_at: None,
            latency_ms: None,
            observed_generation: 0,
            memory: Memory::default(),
        }
    }

    /// Connectivity, as the seed words it.
    pub const fn connectivity(&self) -> Connectivity {
        match (self.flapping, self.connected) {
            (true, _) => Connectivity::Intermittent,
            (false, true) => Connectivity::Connected,
            (false, false) => Connectivity::Disconnected,
        }
    }

    /// Why the state is not better, in public words; `None` when nothing fails.
    pub fn error_message(&self) -> Option<String> {
        let (endpoint, failure) = self.findings.worst()?;
        Some(format!("{}: {failure}", endpoint.title()))
    }
}
