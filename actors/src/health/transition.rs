//! A change of state with its evidence.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Endpoint, Failure, Findings, State};
use crate::{
    event::{EventDraft, EventType},
    roll::ClusterId,
};

/// What convinced the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Number of the deciding check, counted from the start of this cluster's actor.
    pub check: u64,
    /// How many reports in a row agreed.
    pub reports: u8,
    /// The findings of the deciding check.
    pub findings: Findings,
}

/// A confirmed change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Id of the event that tells of it.
    pub event_id: Uuid,
    /// Which cluster.
    pub cluster_id: ClusterId,
    /// Its name, for readers of the event.
    pub cluster_name: String,
    /// From.
    pub old_state: State,
    /// To.
    pub new_state: State,
    /// When it was confirmed.
    pub at: DateTime<Utc>,
    /// Score in the new state.
    pub health_score: u8,
    /// The endpoint and cause that decided; `None` when everything passes.
    pub cause: Option<(Endpoint, Failure)>,
    /// What convinced the engine.
    pub evidence: Evidence,
}

impl Transition {
    /// The cause's word, or `recovered` when nothing fails.
    pub fn reason(&self) -> &'static str {
        self.cause.map_or("recovered", |(_, failure)| failure.cause.as_str())
    }

    /// The event that tells of it.
    pub fn draft(&self) -> EventDraft {
        let payload = json!({
            "cluster_id": self.cluster_id,
            "cluster_name": self.cluster_name,
            "old_state": self.old_state,
            "new_state": self.new_state,
            "health_score": self.health_score,
            "reason": self.reason(),
            "message": self.cause.map(|(endpoint, failure)| format!("{}: {failure}", endpoint.title())),
            "evidence": self.evidence,
        });
        EventDraft {
            event_id: self.event_id,
            event_type: EventType::ClusterStatusChanged,
            cluster_id: self.cluster_id,
            timestamp: self.at,
            payload,
        }
    }
}
