//! Events, and the line that tells one to people.

use std::collections::BTreeMap;

use chrono::{DateTime, Local, Utc};
use fleetbeat_actors::event::EventType;
use fleetbeat_actors::health::State;
use serde_json::Value;

use super::look;
use super::paint::Paint;

/// Names up to this length leave the columns in place.
const NAME_WIDTH: usize = 18;

/// An event of the log, as far as the command line looks into it.
#[derive(Debug, Clone)]
pub struct Event {
    /// What it tells of; `None` for a type this program does not know.
    pub event_type: Option<EventType>,
    /// Whom it tells of.
    pub cluster_id: String,
    /// When it happened.
    pub timestamp: Option<DateTime<Utc>>,
    /// The whole envelope.
    pub json: Value,
}

impl Event {
    /// Reads an envelope; `None` when it is none.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(Self::of)
    }

    /// Reads an envelope that is JSON already.
    pub fn of(json: Value) -> Option<Self> {
        Some(Self {
            event_type: json.get("event_type")?.as_str()?.parse().ok(),
            cluster_id: json.get("cluster_id")?.as_str()?.to_owned(),
            timestamp: look::time(&json, "/timestamp"),
            json,
        })
    }

    /// The name of the cluster, where the event tells it.
    pub fn name(&self) -> String {
        let named = ["/payload/cluster_name", "/payload/name"].map(|place| look::text(&self.json, place));
        named.into_iter().find(|name| name != look::NOTHING).unwrap_or_else(|| self.cluster_id.clone())
    }

    /// The labels that it tells of its cluster; none where it tells nothing of them.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.json.pointer("/payload/labels").cloned().unwrap_or_default();
        serde_json::from_value(labels).unwrap_or_default()
    }

    /// The old and the new state of a change of state.
    pub fn change(&self) -> Option<(State, State)> {
        let is_change = self.event_type == Some(EventType::ClusterStatusChanged);
        is_change
            .then(|| (look::state(&self.json, "/payload/old_state"), look::state(&self.json, "/payload/new_state")))
    }

    /// The event as one line: time, name, what happened.
    pub fn line(&self, paint: Paint) -> String {
        let time = self.timestamp.map(|time| time.with_timezone(&Local).format("%H:%M:%S%.3f").to_string());
        let time = paint.faint(&time.unwrap_or_default());
        format!("{time}  {}", self.sentence(paint))
    }

    fn sentence(&self, paint: Paint) -> String {
        let name = format!("{:NAME_WIDTH$}", self.name());
        let payload = |place: &str| look::text(&self.json, &format!("/payload/{place}"));
        let word = match self.event_type {
            None => look::text(&self.json, "/event_type"),
            Some(event_type) => event_type.as_str().to_owned(),
        };
        let (mark, told) = match self.event_type {
            Some(EventType::ClusterStatusChanged) => return self.change_of_state(&name, paint),
            Some(EventType::ClusterRegistered) => {
                (paint.good("+"), format!("registered   {}  {}", payload("cluster_type"), payload("api_server_url")))
            }
            Some(EventType::ClusterUpdated) => {
                (paint.link("~"), format!("changed      generation {}", payload("generation")))
            }
            Some(EventType::ClusterDeleted) => (paint.warn("-"), "removed".to_owned()),
            Some(EventType::ClusterCredentialsUpdated) => (paint.link("~"), "has new credentials".to_owned()),
            Some(EventType::ClusterCredentialsExpiring) => (
                paint.warn("!"),
                format!("{} of {} ends {}", payload("kind"), payload("endpoint"), payload("expires_at")),
            ),
            Some(EventType::ClusterCapabilitiesChanged) => (paint.link("~"), "has other capabilities".to_owned()),
            Some(EventType::MonitorDegraded | EventType::MonitorRecovered | EventType::ObservationGap) | None => {
                let payload = self.json.get("payload").map(Value::to_string).unwrap_or_default();
                return format!(
                    "{} {} {}",
                    paint.warn("!"),
                    paint.strong(&word),
                    paint.faint(&look::printable(&payload))
                );
            }
        };
        format!("{mark} {} {told}", paint.strong(&name))
    }

    fn change_of_state(&self, name: &str, paint: Paint) -> String {
        let (old, new) = self.change().unwrap_or((State::Unknown, State::Unknown));
        let old = paint.state(old, &format!("{old:>8}"));
        let arrow = paint.faint("→");
        let dot = paint.state(new, "●");
        let word = paint.state(new, &format!("{new:8}"));
        let score = look::text(&self.json, "/payload/health_score");
        let message = look::text(&self.json, "/payload/message");
        let cause = if message == look::NOTHING { "everything answers again".to_owned() } else { message };
        let cause = if new == State::Online { paint.faint(&cause) } else { cause };
        format!("{dot} {} {old} {arrow} {word} {score:>3}  {cause}", paint.strong(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(event_type: &str, payload: Value) -> Event {
        let cluster_id = "0192f7f0-0000-7000-8000-000000000001";
        Event::of(json!({"event_type": event_type, "cluster_id": cluster_id, "payload": payload})).unwrap()
    }

    #[test]
    fn a_change_of_state_tells_name_states_score_and_cause() {
        let event = event(
            "CLUSTER_STATUS_CHANGED",
            json!({"cluster_name": "spoke-00007", "old_state": "ONLINE", "new_state": "OFFLINE", "health_score": 50,
                "message": "API server: connection refused"}),
        );
        let line = event.line(Paint::PLAIN);
        assert_eq!(line.trim(), "● spoke-00007          ONLINE → OFFLINE   50  API server: connection refused");
        assert_eq!(event.change(), Some((State::Online, State::Offline)));
    }

    #[test]
    fn other_events_have_a_line_too_and_an_unknown_one_is_shown_whole() {
        let line =
            event("CLUSTER_REGISTERED", json!({"name": "abc", "cluster_type": "HUB", "api_server_url": "https://a"}));
        assert_eq!(line.line(Paint::PLAIN).trim(), "+ abc                registered   HUB  https://a");
        let line = event("SOMETHING_NEW", json!({"a": 1})).line(Paint::PLAIN);
        assert_eq!(line.trim(), "! SOMETHING_NEW {\"a\":1}");
        assert!(Event::read("{}").is_none() && Event::read("").is_none());
    }
}
