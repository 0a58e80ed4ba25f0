//! What a check brings back: one outcome a probe.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, NotRun};

/// The endpoints a check can probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The Kubernetes API server.
    ApiServer,
    /// Prometheus or a Thanos querier.
    Prometheus,
    /// Tempo.
    Tempo,
    /// Loki.
    Loki,
}

impl Endpoint {
    /// Every endpoint, API server first.
    pub const ALL: [Self; 4] = [Self::ApiServer, Self::Prometheus, Self::Tempo, Self::Loki];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiServer => "api_server",
            Self::Prometheus => "prometheus",
            Self::Tempo => "tempo",
            Self::Loki => "loki",
        }
    }

    /// Name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ApiServer => "API server",
            Self::Prometheus => "Prometheus",
            Self::Tempo => "Tempo",
            Self::Loki => "Loki",
        }
    }
}

/// What one probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered as it should, after `latency`.
    Healthy {
        /// From the start of the request to the end of the answer.
        latency: Duration,
    },
    /// The endpoint failed for a typed cause.
    Failed {
        /// Why.
        failure: Failure,
        /// From the start of the request to the failure.
        latency: Duration,
    },
    /// The monitor could not probe; says nothing of the endpoint.
    NotRun(NotRun),
}

impl Outcome {
    /// Shorthand for a failure.
    pub const fn failed(failure: Failure, latency: Duration) -> Self {
        Self::Failed { failure, latency }
    }
}

/// The outcomes of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The API server's outcome.
    pub api_server: Outcome,
    /// Prometheus, when configured.
    pub prometheus: Option<Outcome>,
    /// Tempo, when configured.
    pub tempo: Option<Outcome>,
    /// Loki, when configured.
    pub loki: Option<Outcome>,
    /// Did the API-server probe carry credentials? Without them any answer below 500 is alive.
    pub authenticated: bool,
    /// Was the API server asked over a connection made for this check?
    pub fresh: bool,
}

impl CheckReport {
    /// A check that the monitor could not run at all.
    pub const fn not_run(reason: NotRun) -> Self {
        Self {
            api_server: Outcome::NotRun(reason),
            prometheus: None,
            tempo: None,
            loki: None,
            authenticated: false,
            fresh: false,
        }
    }

    /// Why an endpoint was not asked, if one was not.
    pub fn left_out(&self) -> Option<NotRun> {
        Endpoint::ALL.into_iter().find_map(|endpoint| match self.outcome(endpoint)? {
            Outcome::NotRun(reason) => Some(reason),
            Outcome::Healthy { .. } | Outcome::Failed { .. } => None,
        })
    }

    /// The outcome of one endpoint, if it was probed.
    pub const fn outcome(&self, endpoint: Endpoint) -> Option<Outcome> {
        match endpoint {
            Endpoint::ApiServer => Some(self.api_server),
            Endpoint::Prometheus => self.prometheus,
            Endpoint::Tempo => self.tempo,
            Endpoint::Loki => self.loki,
        }
    }
}
