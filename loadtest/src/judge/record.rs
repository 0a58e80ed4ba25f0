//! What the monitor said: events of its log, and what arrived of them elsewhere.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::writes::Kept;
use crate::clock::WallMs;
use crate::spokes::State;

/// A state as the monitor shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Shown {
    /// Not known yet.
    Unknown,
    /// Everything passes.
    Online,
    /// Something does not.
    Degraded,
    /// The API server cannot be used.
    Offline,
}

impl Shown {
    /// Is it this state of the truth?
    pub fn is(self, state: State) -> bool {
        self == Shown::from(state)
    }
}

impl From<State> for Shown {
    fn from(state: State) -> Self {
        match state {
            State::Online => Self::Online,
            State::Degraded => Self::Degraded,
            State::Offline => Self::Offline,
        }
    }
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub event_id: String,
    /// What it tells of.
    pub event_type: String,
    /// Whom it tells of.
    pub cluster_id: String,
    /// When it happened.
    pub at: WallMs,
    /// Its place among its cluster's events.
    pub sequence: i64,
    /// Its place in the log.
    pub position: i64,
    /// The change of state it tells of, if it does.
    pub change: Option<Change>,
    /// The cluster as a write left it, if the event tells of one.
    pub written: Option<Kept>,
    /// The envelope as it came, for comparing.
    pub digest: u64,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The cluster's name.
    pub cluster: String,
    /// From.
    pub old: Shown,
    /// To.
    pub new: Shown,
    /// Why, in the monitor's words.
    pub why: String,
}

/// An event as some follower received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The event.
    pub record: Record,
    /// When it arrived.
    pub arrived: WallMs,
    /// When Redis took it, for entries of the stream.
    pub taken: Option<WallMs>,
}

#[derive(Deserialize)]
struct Envelope {
    event_id: uuid::Uuid,
    event_type: String,
    source: String,
    cluster_id: uuid::Uuid,
    timestamp: DateTime<Utc>,
    sequence: i64,
    position: i64,
    payload: serde_json::Map<String, serde_json::Value>,
}

/// An event that is not what subscribers were promised.
#[derive(Debug, thiserror::Error)]
#[error("an event has not the promised shape: {0}")]
pub struct Misshapen(String);

impl Record {
    /// Reads an envelope strictly: an id and a cluster that are UUIDs, an ISO 8601 time, a payload that is an object.
    ///
    /// # Errors
    /// What is not as promised.
    pub fn parse(json: &str) -> Result<Record, Misshapen> {
        let envelope: Envelope = serde_json::from_str(json).map_err(|error| Misshapen(error.to_string()))?;
        if envelope.source != "cluster-registry" {
            return Err(Misshapen(format!("source is {}", envelope.source)));
        }
        let change = match envelope.event_type.as_str() {
            "CLUSTER_STATUS_CHANGED" => Some(change(&envelope.payload)?),
            _ => None,
        };
        let written = match envelope.event_type.as_str() {
            "CLUSTER_UPDATED" => Some(written(&envelope.payload)?),
            _ => None,
        };
        Ok(Record {
            event_id: envelope.event_id.to_string(),
            event_type: envelope.event_type,
            cluster_id: envelope.cluster_id.to_string(),
            at: envelope.timestamp.timestamp_millis(),
            sequence: envelope.sequence,
            position: envelope.position,
            change,
            written,
            digest: digest(json),
        })
    }
}

fn change(payload: &serde_json::Map<String, serde_json::Value>) -> Result<Change, Misshapen> {
    let field = |name: &str| payload.get(name).cloned().unwrap_or_default();
    let state = |name: &str| serde_json::from_value(field(name)).map_err(|error| Misshapen(format!("{name}: {error}")));
    let cluster = field("cluster_name").as_str().unwrap_or_default().to_owned();
    let why = field("message").as_str().or(field("reason").as_str()).unwrap_or_default().to_owned();
    Ok(Change { cluster, old: state("old_state")?, new: state("new_state")?, why })
}

fn written(payload: &serde_json::Map<String, serde_json::Value>) -> Result<Kept, Misshapen> {
    let display_name = payload.get("display_name").and_then(|name| name.as_str()).map(str::to_owned);
    let generation = payload.get("generation").and_then(serde_json::Value::as_i64);
    let generation = generation.ok_or_else(|| Misshapen("an update has no generation".to_owned()))?;
    Ok(Kept { display_name, generation })
}

/// FNV-1a of the value, so that key order and spaces do not count.
fn digest(json: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    value.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event_id":"0190b5a0-0000-7000-8000-000000000001","event_type":"CLUSTER_STATUS_CHANGED",
        "source":"cluster-registry","cluster_id":"0190b5a0-0000-7000-8000-000000000002",
        "timestamp":"2026-01-31T09:16:29.265Z","sequence":3,"position":17,
        "payload":{"cluster_name":"hub-00001","old_state":"ONLINE","new_state":"OFFLINE"}}"#;

    #[test]
    fn an_event_is_read_with_its_change() {
        let record = Record::parse(EVENT).unwrap();
        assert_eq!((record.sequence, record.position), (3, 17));
        let change = record.change.unwrap();
        assert_eq!((change.cluster.as_str(), change.old, change.new), ("hub-00001", Shown::Online, Shown::Offline));
    }

    #[test]
    fn an_update_is_read_with_what_it_left() {
        let event = EVENT.replace("CLUSTER_STATUS_CHANGED", "CLUSTER_UPDATED");
        assert!(Record::parse(&event).is_err(), "an update without a generation");
        let event = event.replace("\"payload\":{", "\"payload\":{\"generation\":4,\"display_name\":\"Paris\",");
        let kept = Kept { display_name: Some("Paris".to_owned()), generation: 4 };
        assert_eq!(Record::parse(&event).unwrap().written, Some(kept));
    }

    #[test]
    fn what_subscribers_could_not_parse_is_refused() {
        assert!(Record::parse(&EVENT.replace("0190b5a0-0000-7000-8000-000000000001", "one")).is_err());
        assert!(Record::parse(&EVENT.replace("2026-01-31T09:16:29.265Z", "yesterday")).is_err());
        assert!(Record::parse(&EVENT.replace("\"ONLINE\"", "\"FINE\"")).is_err());
    }

    #[test]
    fn the_same_event_written_differently_is_the_same() {
        let other: String = EVENT.split_whitespace().collect();
        assert_eq!(Record::parse(EVENT).unwrap().digest, Record::parse(&other).unwrap().digest);
    }
}
