//! A cluster as a row of the table.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use fleetbeat_actors::health::State;
use serde_json::Value;

use crate::cli::line::Event;
use crate::cli::look;

/// What is shown of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub cluster_type: String,
    /// Its environment.
    pub environment: String,
    /// Its region, or `-`.
    pub region: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its state.
    pub state: State,
    /// Its score.
    pub score: u64,
    /// Since when it is in this state.
    pub since: Option<DateTime<Utc>>,
    /// How long its API server took, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Why it is as it is, or `-`.
    pub reason: String,
    /// Its status is overdue or held back.
    pub stale: bool,
    /// It changes too often.
    pub flapping: bool,
}

impl Row {
    /// A cluster as the API tells it.
    pub fn of(cluster: &Value) -> Self {
        let text = |place| look::text(cluster, place);
        let labels = cluster.get("labels").and_then(Value::as_object);
        let pair = |(key, value): (&String, &Value)| {
            (look::printable(key), look::printable(value.as_str().unwrap_or_default()))
        };
        let error = text("/status/error_message");
        Self {
            id: text("/id"),
            name: text("/name"),
            cluster_type: text("/cluster_type"),
            environment: text("/environment"),
            region: text("/region"),
            labels: labels.into_iter().flatten().map(pair).collect(),
            state: look::state(cluster, "/status/state"),
            score: cluster.pointer("/status/health_score").and_then(Value::as_u64).unwrap_or_default(),
            since: look::time(cluster, "/status/since"),
            latency_ms: cluster.pointer("/status/latency_ms").and_then(Value::as_u64),
            reason: if error == look::NOTHING { text("/status/reason") } else { error },
            stale: look::holds(cluster, "/status/stale"),
            flapping: look::holds(cluster, "/status/flapping"),
        }
    }

    /// Takes over what a change of state tells.
    pub fn change(&mut self, event: &Event) {
        let Some((_, state)) = event.change() else { return };
        self.state = state;
        self.since = event.timestamp;
        self.score = event.json.pointer("/payload/health_score").and_then(Value::as_u64).unwrap_or(self.score);
        self.reason = look::text(&event.json, "/payload/message");
    }

    /// The worst first.
    pub fn order(&self, other: &Self) -> Ordering {
        let badness = |row: &Self| match row.state {
            State::Offline => 0,
            State::Degraded => 1,
            State::Unknown => 2,
            State::Online => 3,
        };
        (badness(self), self.score).cmp(&(badness(other), other.score)).then_with(|| self.name.cmp(&other.name))
    }
}
