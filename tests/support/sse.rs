//! A reader of a live stream (server-sent events).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use serde_json::Value;

use super::http::Client;

/// An open live stream.
pub struct Live {
    body: Incoming,
    pending: Vec<u8>,
    events: VecDeque<LiveEvent>,
}

/// One event of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveEvent {
    /// The `id` line, empty when there was none.
    pub id: String,
    /// The `event` line, empty when there was none.
    pub event: String,
    /// The `data` lines, joined.
    pub data: String,
}

impl LiveEvent {
    /// The data as JSON; panics when it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in {}", self.data))
    }
}

impl Live {
    /// Opens a stream, after the event with the given id when there is one.
    pub async fn open(client: &Client, path: &str, last_event_id: Option<&str>) -> Self {
        let mut client = client.clone().with_header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            client = client.with_header("last-event-id", id);
        }
        let response = client.open(Method::GET, path, Bytes::new()).await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        Self { body: response.into_body(), pending: Vec::new(), events: VecDeque::new() }
    }

    /// The next event, comments left out; `None` when the stream ends or none comes in time.
    pub async fn next(&mut self, within: Duration) -> Option<LiveEvent> {
        tokio::time::timeout(within, self.read()).await.ok()?
    }

    async fn read(&mut self) -> Option<LiveEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let frame = self.body.frame().await?.ok()?;
            self.pending.extend_from_slice(frame.data_ref()?);
            while let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                self.events.extend(parse(&String::from_utf8_lossy(&block)));
            }
        }
    }
}

fn parse(block: &str) -> Option<LiveEvent> {
    let mut event = LiveEvent::default();
    let mut data = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = value.to_owned(),
            "event" => event.event = value.to_owned(),
            "data" => data.push(value),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (event != LiveEvent::default()).then_some(event)
}
