//! The broadcaster: the newest events, each put into words once for everybody who listens. Listeners pull at their own pace; none
//! holds up another.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
};

use axum::{body::Bytes, extract::ws::Utf8Bytes};
use chrono::SecondsFormat;
use fleetbeat_actors::{
    event::{Event, EventType},
    outbox::{self, Outbox},
    roll::ClusterId,
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;
use uuid::Uuid;

use crate::api::silenced::{SilenceLookup, with_silences};

/// How many of the newest events are kept.
const KEPT: usize = 8_192;
/// Events taken from the outbox at once.
const STEP: usize = 512;

/// An event with the words it is told in, each made when the first listener wants them.
#[derive(Debug)]
pub struct Frame {
    /// The event.
    pub event: Arc<Event>,
    silenced_by: Vec<Uuid>,
    sse: OnceLock<Bytes>,
    message: OnceLock<Utf8Bytes>,
    told: OnceLock<Told>,
}

/// What an event tells of its cluster.
#[derive(Debug, Default, Deserialize)]
struct Told {
    cluster_name: Option<String>,
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

/// An event as a WebSocket tells it.
#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    event_id: Uuid,
    event_type: EventType,
    cluster_id: ClusterId,
    cluster_name: Option<&'a str>,
    timestamp: String,
    #[serde(skip_serializing_if = "<[Uuid]>::is_empty")]
    silenced_by: &'a [Uuid],
    payload: &'a RawValue,
}

impl Frame {
    /// An event, not in words yet, with the silences that held for its cluster.
    pub fn new(event: Arc<Event>, silenced_by: Vec<Uuid>) -> Self {
        Self { event, silenced_by, sse: OnceLock::new(), message: OnceLock::new(), told: OnceLock::new() }
    }

    /// As a server-sent event.
    pub fn sse(&self) -> &Bytes {
        let envelope = || with_silences(&self.event.json, &self.silenced_by);
        self.sse.get_or_init(|| format!("id: {}\ndata: {}\n\n", self.event.position, envelope()).into())
    }

    /// As a message of a WebSocket.
    pub fn message(&self) -> &Utf8Bytes {
        self.message.get_or_init(|| {
            let message = Message {
                r#type: "event",
                event_id: self.event.event_id,
                event_type: self.event.event_type,
                cluster_id: self.event.cluster_id,
                cluster_name: self.cluster_name(),
                timestamp: self.event.timestamp.to_rfc3339_opts(SecondsFormat::Millis, true),
                silenced_by: &self.silenced_by,
                payload: serde_json::from_str(&self.event.payload).unwrap_or(RawValue::NULL),
            };
            serde_json::to_string(&message).unwrap_or_default().into()
        })
    }

    /// The labels that it tells, where it does.
    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.told().labels.as_ref()
    }

    fn cluster_name(&self) -> Option<&str> {
        self.told().cluster_name.as_deref().or(self.told().name.as_deref())
    }

    fn told(&self) -> &Told {
        self.told.get_or_init(|| serde_json::from_str(&self.event.payload).unwrap_or_default())
    }
}

/// What a listener gets that asks for what comes after a position.
pub enum Recent {
    /// The next frames, possibly none.
    Frames(Vec<Arc<Frame>>),
    /// They are not in memory any more, or never were.
    TooFar,
}

#[derive(Debug)]
struct Ring {
    frames: VecDeque<Arc<Frame>>,
    /// Everything after this position is in `frames`.
    complete_after: i64,
}

impl Ring {
    fn end(&self) -> i64 {
        self.frames.back().map_or(self.complete_after, |frame| frame.event.position)
    }

    fn push(&mut self, frame: Frame) {
        if self.frames.len() == KEPT
            && let Some(oldest) = self.frames.pop_front()
        {
            self.complete_after = oldest.event.position;
        }
        self.frames.push_back(Arc::new(frame));
    }
}

/// The broadcaster.
pub struct Broadcaster {
    outbox: Arc<Outbox>,
    head: watch::Receiver<i64>,
    silences: SilenceLookup,
    ring: RwLock<Ring>,
}

impl Broadcaster {
    /// A broadcaster of what the outbox shows from now on.
    pub fn new(outbox: Arc<Outbox>, silences: SilenceLookup) -> Self {
        let head = outbox.head();
        let ring = RwLock::new(Ring { frames: VecDeque::new(), complete_after: *head.borrow() });
        Self { outbox, head, silences, ring }
    }

    /// An event, not in words yet.
    pub fn frame(&self, event: Arc<Event>) -> Frame {
        let silenced_by = self.silences.of(&event);
        Frame::new(event, silenced_by)
    }

    /// Which events are silenced.
    pub fn silences(&self) -> &SilenceLookup {
        &self.silences
    }

    /// Position of the newest event, to be followed.
    pub fn head(&self) -> watch::Receiver<i64> {
        self.head.clone()
    }

    /// Position of the newest event.
    pub fn newest(&self) -> i64 {
        *self.head.borrow()
    }

    /// Up to `limit` frames after a position. The first who asks takes what is new from the outbox, for all.
    pub fn after(&self, position: i64, limit: usize) -> Recent {
        if self.ring.read().end() < self.newest() {
            self.catch_up();
        }
        let ring = self.ring.read();
        if position < ring.complete_after {
            return Recent::TooFar;
        }
        let from = ring.frames.partition_point(|frame| frame.event.position <= position);
        Recent::Frames(ring.frames.range(from..).take(limit).cloned().collect())
    }

    fn catch_up(&self) {
        let mut ring = self.ring.write();
        loop {
            match self.outbox.after(ring.end(), STEP) {
                outbox::Recent::Events(events) => {
                    let last = events.len() < STEP;
                    events.into_iter().for_each(|event| ring.push(self.frame(event)));
                    if last {
                        return;
                    }
                }
                // Nobody listened for so long that the outbox forgot: begin anew.
                outbox::Recent::ReadLog => {
                    ring.frames.clear();
                    ring.complete_after = self.newest();
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fleetbeat_actors::{event::EventDraft, testing::TestClock};
    use serde_json::{Value, json};

    use super::*;

    fn broadcaster() -> (Arc<Outbox>, Broadcaster) {
        let outbox = Arc::new(Outbox::new(Arc::new(TestClock::default()), 100, []));
        let silences = SilenceLookup::new(Arc::default(), Arc::default());
        (Arc::clone(&outbox), Broadcaster::new(outbox, silences))
    }

    async fn tell(outbox: &Outbox, count: usize) -> i64 {
        let mut pen = outbox.pen(Duration::from_secs(1)).await.expect("a pen");
        let mut position = 0;
        for n in 0..count {
            let payload = json!({ "cluster_name": "spoke", "n": n, "labels": { "a": "b" } });
            let draft = EventDraft::new(
                EventType::ClusterUpdated,
                ClusterId(Uuid::max()),
                chrono::DateTime::UNIX_EPOCH,
                payload,
            );
            position = pen.write(draft).expect("a place").position;
        }
        pen.commit();
        position
    }

    fn frames(recent: Recent) -> Option<Vec<Arc<Frame>>> {
        match recent {
            Recent::Frames(frames) => Some(frames),
            Recent::TooFar => None,
        }
    }

    #[tokio::test]
    async fn every_listener_gets_the_very_same_words() {
        let (outbox, broadcaster) = broadcaster();
        let last = tell(&outbox, 3).await;
        let (one, other) = (frames(broadcaster.after(100, 9)).unwrap(), frames(broadcaster.after(100, 9)).unwrap());
        assert_eq!((one.len(), one[2].event.position), (3, last));
        assert!(Arc::ptr_eq(&one[0], &other[0]));
        assert_eq!(one[0].message().as_str().as_ptr(), other[0].message().as_str().as_ptr());
        assert!(frames(broadcaster.after(last, 9)).unwrap().is_empty());
        assert!(frames(broadcaster.after(99, 9)).is_none(), "before the beginning");
    }

    #[tokio::test]
    async fn a_message_names_its_cluster_and_carries_the_payload() {
        let (outbox, broadcaster) = broadcaster();
        tell(&outbox, 1).await;
        let frame = frames(broadcaster.after(100, 1)).unwrap().remove(0);
        let message: Value = serde_json::from_str(frame.message()).unwrap();
        assert_eq!((&message["type"], &message["cluster_name"]), (&json!("event"), &json!("spoke")));
        assert_eq!((&message["timestamp"], &message["payload"]["n"]), (&json!("1970-01-01T00:00:00.000Z"), &json!(0)));
        assert_eq!(frame.labels().unwrap()["a"], "b");
    }

    #[tokio::test]
    async fn memory_is_bounded_and_who_is_too_far_behind_is_told() {
        let (outbox, broadcaster) = broadcaster();
        tell(&outbox, KEPT / 2).await;
        assert!(frames(broadcaster.after(100, 1)).is_some());
        tell(&outbox, KEPT).await;
        assert!(frames(broadcaster.after(100, 1)).is_none());
        assert!(broadcaster.ring.read().frames.len() <= KEPT);
        let from = broadcaster.newest();
        let last = tell(&outbox, 2).await;
        let next = frames(broadcaster.after(from, 9)).unwrap();
        assert_eq!((next.len(), next[1].event.position), (2, last));
    }
}
