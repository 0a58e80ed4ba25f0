//! Events: the envelope that the log keeps, the live stream sends and Redis carries.

use std::{fmt, ops::Deref, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::roll::{ClusterId, vocabulary};

/// `source` of every event.
pub const SOURCE: &str = "cluster-registry";

vocabulary! {
    /// What an event tells of.
    EventType ("event type") {
        /// A cluster was registered; payload: the cluster.
        ClusterRegistered = "CLUSTER_REGISTERED",
        /// A cluster's metadata changed; payload: the cluster.
        ClusterUpdated = "CLUSTER_UPDATED",
        /// A cluster was removed; payload: its id and name.
        ClusterDeleted = "CLUSTER_DELETED",
        /// A cluster's state changed; payload: old and new state with the evidence.
        ClusterStatusChanged = "CLUSTER_STATUS_CHANGED",
        /// A cluster's credentials were replaced.
        ClusterCredentialsUpdated = "CLUSTER_CREDENTIALS_UPDATED",
        /// Something of a cluster's access ends soon, or has ended; payload: what and when.
        ClusterCredentialsExpiring = "CLUSTER_CREDENTIALS_EXPIRING",
        /// A cluster's capabilities changed.
        ClusterCapabilitiesChanged = "CLUSTER_CAPABILITIES_CHANGED",
        /// The monitor doubts its own network and holds states.
        MonitorDegraded = "MONITOR_DEGRADED",
        /// The monitor trusts itself again.
        MonitorRecovered = "MONITOR_RECOVERED",
        /// A stretch of time in which nothing was observed.
        ObservationGap = "OBSERVATION_GAP",
    }
}

/// An event that has no place in the log yet.
#[derive(Clone, Debug)]
pub struct EventDraft {
    /// Stable across re-publication.
    pub event_id: Uuid,
    /// What it tells of.
    pub event_type: EventType,
    /// Whom it tells of; [`ClusterId::FLEET`] for none in particular.
    pub cluster_id: ClusterId,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// Event-specific data, a JSON object.
    pub payload: serde_json::Value,
}

impl EventDraft {
    /// A draft with a new id.
    pub fn new(
        event_type: EventType,
        cluster_id: ClusterId,
        timestamp: DateTime<Utc>,
        payload: serde_json::Value,
    ) -> Self {
        Self { event_id: Uuid::now_v7(), event_type, cluster_id, timestamp, payload }
    }
}

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Place in the whole log: grows strictly in the order of commits, has gaps. Microseconds of the epoch at the
    /// earliest, so that it is never reused, whatever a crash forgot. It is the `id:` of the live stream.
    pub position: i64,
    /// Stable across re-publication.
    pub event_id: Uuid,
    /// What it tells of.
    pub event_type: EventType,
    /// Whom it tells of.
    pub cluster_id: ClusterId,
    /// Place among this cluster's events: 1, 2, 3, … without a gap.
    pub sequence: i64,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// Event-specific data as JSON text.
    pub payload: Payload,
    /// The whole envelope as JSON text, made once and shared by every reader.
    pub json: Arc<str>,
}

/// The payload of an event. It is held once, as the part of the envelope that it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    envelope: Arc<str>,
    length: usize,
}

impl Deref for Payload {
    type Target = str;

    /// The payload is the last field: behind it comes only the closing brace.
    fn deref(&self) -> &str {
        let end = self.envelope.len().saturating_sub(1);
        self.envelope.get(end.saturating_sub(self.length)..end).unwrap_or_default()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// The envelope on the wire: seed 002 §5.2 with `sequence` and `position`.
#[derive(Serialize)]
struct Envelope<'a> {
    event_id: Uuid,
    event_type: EventType,
    source: &'static str,
    cluster_id: ClusterId,
    timestamp: String,
    sequence: i64,
    position: i64,
    payload: &'a RawValue,
}

impl Event {
    /// Gives a draft its place.
    pub fn place(draft: EventDraft, position: i64, sequence: i64) -> Self {
        let payload = draft.payload.to_string();
        Self::stored(position, draft.event_id, draft.event_type, draft.cluster_id, sequence, draft.timestamp, &payload)
    }

    /// The same event at another place in the log.
    pub(crate) fn moved_to(&self, position: i64) -> Self {
        let payload = &self.payload;
        Self::stored(position, self.event_id, self.event_type, self.cluster_id, self.sequence, self.timestamp, payload)
    }

    /// An event as a store reads it back. `payload` that is not JSON is shown as `null`.
    pub fn stored(
        position: i64,
        event_id: Uuid,
        event_type: EventType,
        cluster_id: ClusterId,
        sequence: i64,
        timestamp: DateTime<Utc>,
        payload: &str,
    ) -> Self {
        let raw: &RawValue = serde_json::from_str(payload).unwrap_or(RawValue::NULL);
        let envelope = Envelope {
            event_id,
            event_type,
            source: SOURCE,
            cluster_id,
            timestamp: timestamp.to_rfc3339_opts(SecondsFormat::Millis, true),
            sequence,
            position,
            payload: raw,
        };
        let json: Arc<str> = serde_json::to_string(&envelope).unwrap_or_default().into();
        let payload = Payload { envelope: Arc::clone(&json), length: raw.get().len() };
        Self { position, event_id, event_type, cluster_id, sequence, timestamp, payload, json }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_payload_is_a_part_of_the_envelope() {
        let draft = EventDraft::new(
            EventType::ClusterUpdated,
            ClusterId::FLEET,
            DateTime::UNIX_EPOCH,
            json!({ "a": [1, "}ä"] }),
        );
        let event = Event::place(draft, 7, 1);
        assert_eq!(&*event.payload, r#"{"a":[1,"}ä"]}"#);
        let envelope: serde_json::Value = serde_json::from_str(&event.json).unwrap();
        assert_eq!(envelope["payload"], json!({ "a": [1, "}ä"] }));
        assert_eq!(&*event.moved_to(9).payload, &*event.payload);
    }

    #[test]
    fn a_payload_that_is_no_json_is_null() {
        let at = DateTime::UNIX_EPOCH;
        let event = Event::stored(1, Uuid::nil(), EventType::ClusterUpdated, ClusterId::FLEET, 1, at, "{broken");
        assert_eq!(&*event.payload, "null");
    }
}
