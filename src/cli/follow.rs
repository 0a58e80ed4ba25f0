//! Following the live stream: connects again when the connection is lost, and goes on after the last event seen.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::client::{Client, with_query};
use super::error::CliError;
use super::frames::{Frame, Frames};
use super::line::Event;

/// The server sends a heartbeat every 15 s; a stream silent for longer is dead.
const SILENT_FOR: Duration = Duration::from_secs(40);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What comes out of a stream.
#[derive(Debug)]
pub enum News {
    /// An event.
    Event(Event),
    /// The connection was lost, and why. It is being made again.
    Lost(String),
    /// It is back, and goes on after the last event seen.
    Back,
}

/// A reader of the live stream.
pub struct Follower<'a> {
    client: &'a Client,
    path: String,
    position: Option<String>,
    stream: Option<Incoming>,
    frames: Frames,
    events: VecDeque<Event>,
    pause: Duration,
}

impl<'a> Follower<'a> {
    /// Opens the stream after a position (where `after` is none: from now on).
    ///
    /// # Errors
    /// When this first connection cannot be made.
    pub async fn open(client: &'a Client, filter: &[(&str, &str)], after: Option<i64>) -> Result<Self, CliError> {
        let position = match after {
            Some(position) => Some(position.to_string()),
            None => head(client).await?,
        };
        let path = with_query("/api/v1/events/stream", filter);
        let stream = client.open_stream(&path, position.as_deref()).await?;
        let (frames, events) = (Frames::default(), VecDeque::new());
        Ok(Self { client, path, position, stream: Some(stream), frames, events, pause: FIRST_PAUSE })
    }

    /// The next thing to tell; waits for it as long as it takes. Safe to drop half-way.
    ///
    /// # Errors
    /// When the server is back but refuses the stream.
    pub async fn next(&mut self) -> Result<News, CliError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(News::Event(event));
            }
            if self.stream.is_none() {
                return self.reconnect().await;
            }
            if let Err(why) = self.read().await {
                self.stream = None;
                return Ok(News::Lost(why));
            }
        }
    }

    async fn read(&mut self) -> Result<(), String> {
        let Some(stream) = self.stream.as_mut() else { return Ok(()) };
        let frame = tokio::time::timeout(SILENT_FOR, stream.frame()).await.map_err(|_| "it fell silent".to_owned())?;
        let frame = frame.ok_or("the server ended it")?.map_err(|error| error.to_string())?;
        let Some(bytes) = frame.data_ref() else { return Ok(()) };
        let frames = self.frames.push(bytes).map_err(|error| error.to_string())?;
        self.pause = FIRST_PAUSE;
        frames.into_iter().for_each(|frame| self.take(frame));
        Ok(())
    }

    fn take(&mut self, frame: Frame) {
        self.events.extend(Event::read(&frame.data));
        if frame.id.is_some() {
            self.position = frame.id;
        }
    }

    async fn reconnect(&mut self) -> Result<News, CliError> {
        loop {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            match self.client.open_stream(&self.path, self.position.as_deref()).await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    self.frames = Frames::default();
                    return Ok(News::Back);
                }
                Err(CliError::Unreachable(_)) => {}
                Err(other) => return Err(other),
            }
        }
    }
}

/// The end of the log now, so that nothing is missed when the connection is lost before the first event.
async fn head(client: &Client) -> Result<Option<String>, CliError> {
    let health = client.get("/health/detailed").await?;
    let position = health.json.pointer("/engine/event_position");
    Ok(position.and_then(serde_json::Value::as_i64).map(|position| position.to_string()))
}
