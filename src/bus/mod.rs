//! The event bus: publishes events to Redis, in order, every one acknowledged, and never waits long for a server that is
//! away. What to publish, and when to try again, is the fan-out's business.

mod address;
mod counters;
mod link;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fleetbeat_actors::{
    event::Event,
    ports::{PublishError, Publisher},
    roll::ClusterId,
};
use fred::{
    bytes_utils::Str,
    clients::{Client, Pipeline, WithOptions},
    prelude::*,
    types::config::Options,
};
use secrecy::SecretString;
use tracing::Instrument;

use crate::{breaker::Breaker, traces};

pub use address::BusAddressError;
pub use counters::Counters;
pub use link::BusHealth;

/// Events in one pipeline; each is up to four commands.
const PIPELINE: usize = 250;
/// How long the server may take over one pipeline.
const PATIENCE: Duration = Duration::from_millis(500);
/// The client's own timeout may be held up; this one is not.
const LAST_RESORT: Duration = Duration::from_millis(550);

/// Where events go.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// `redis://`, `rediss://`, `redis-sentinel://` or `redis-cluster://`, with user and password where needed.
    pub url: SecretString,
    /// Channels are `{prefix}:all`, `{prefix}:cluster` and `{prefix}:cluster:{id}`.
    pub channel_prefix: String,
    /// Stream for consumers that must not miss an event.
    pub stream: String,
    /// The stream drops its oldest entries beyond about this many.
    pub stream_max_length: u64,
    /// PEM file of authorities trusted beside the system's own.
    pub ca_file: Option<PathBuf>,
}

/// A publisher to Redis. It connects in the background, and again whenever it must; it ends when dropped.
pub struct RedisBus {
    client: Client,
    link: link::Link,
    names: Names,
    /// Position of the newest event that a server acknowledged to this process; 0 for none.
    acknowledged: AtomicI64,
    breaker: Option<Arc<Breaker>>,
}

struct Names {
    all: Str,
    cluster: Str,
    stream: String,
    stream_max_length: i64,
}

impl RedisBus {
    /// A bus that begins to connect. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the URL or the file of authorities cannot be used. An absent server is no error.
    pub fn start(options: &BusOptions) -> Result<Self, BusAddressError> {
        let client = address::client(&options.url, options.ca_file.as_deref())?;
        let names = Names {
            all: format!("{}:all", options.channel_prefix).into(),
            cluster: format!("{}:cluster", options.channel_prefix).into(),
            stream: options.stream.clone(),
            stream_max_length: i64::try_from(options.stream_max_length).unwrap_or(i64::MAX),
        };
        let acknowledged = AtomicI64::new(0);
        Ok(Self { link: link::Link::start(client.clone()), client, names, acknowledged, breaker: None })
    }

    /// Leaves a server alone for a while that does not answer.
    #[must_use]
    pub fn behind(self, breaker: Arc<Breaker>) -> Self {
        Self { breaker: Some(breaker), ..self }
    }

    /// May the server be asked? The link knows first when it is back.
    fn may_ask(&self) -> bool {
        self.breaker.as_ref().is_none_or(|breaker| breaker.admits() || self.health().connected)
    }

    /// How the connection is.
    pub fn health(&self) -> BusHealth {
        self.link.health()
    }

    /// Says goodbye to the server, if it listens.
    pub async fn close(self) {
        self.link.stop();
        let _ = tokio::time::timeout(PATIENCE, self.client.quit()).await;
    }

    /// After a disturbance: does the stream still end where it ended? A server that was killed, or a replica that took over,
    /// may have forgotten what was acknowledged last.
    async fn look_back(&self) -> Result<(), PublishError> {
        if !self.link.was_disturbed() {
            return Ok(());
        }
        let end = match tokio::time::timeout(LAST_RESORT, self.end_of_stream()).await {
            Ok(end) => end,
            Err(_) => Err(Error::new(ErrorKind::Timeout, "silent")),
        };
        let end = end.map_err(|error| {
            self.link.learn(Some(&error));
            PublishError::refused(link::word(&error))
        });
        self.compare(end?)
    }

    /// Position of the newest event in the stream; 0 when there is none.
    async fn end_of_stream(&self) -> Result<i64, Error> {
        let client = self.client.with_options(&hurried());
        newest_position(client.xrevrange(self.names.stream.as_str(), "+", "-", Some(1)).await?)
    }

    /// Publishes some events; returns where the stream ended before them. Between a look back and this, too, another server
    /// may have come.
    async fn publish_some(&self, events: &[Arc<Event>]) -> Result<i64, Error> {
        let pipeline = self.client.pipeline().with_options(&hurried());
        pipeline.xrevrange::<(), _, _, _>(self.names.stream.as_str(), "+", "-", Some(1)).await?;
        for event in events {
            self.names.queue(&pipeline, event).await?;
        }
        let acknowledged = tokio::time::timeout(LAST_RESORT, pipeline.all::<Vec<Value>>()).await;
        let answers = acknowledged.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "silent")))?;
        newest_position(answers.into_iter().next().unwrap_or(Value::Null))
    }

    /// Notes that the stream ended at `end`, and says so when that is behind what was acknowledged.
    fn compare(&self, end: i64) -> Result<(), PublishError> {
        if end >= self.acknowledged.load(Ordering::Acquire) {
            return Ok(());
        }
        self.acknowledged.store(end, Ordering::Release);
        Err(PublishError { reason: "the server has forgotten events".to_owned(), behind: Some(end) })
    }
}

/// Position of the newest entry of a stream, of which this is all; 0 when there is none.
fn newest_position(newest: Value) -> Result<i64, Error> {
    let newest: Vec<(String, HashMap<String, String>)> = newest.into_xread_value()?;
    let position = newest.first().and_then(|(_, fields)| fields.get("position")?.parse().ok());
    Ok(position.unwrap_or(0))
}

#[async_trait]
impl Publisher for RedisBus {
    async fn publish(&self, events: &[Arc<Event>]) -> Result<(), PublishError> {
        self.look_back().await?;
        for some in events.chunks(PIPELINE) {
            if !self.may_ask() {
                return Err(PublishError::refused("left alone for a while".to_owned()));
            }
            let published = self.publish_some(some).instrument(traces::publishing(some.len())).await;
            self.link.learn(published.as_ref().err());
            if let Some(breaker) = &self.breaker {
                breaker.learn(published.is_ok());
            }
            self.compare(published.map_err(|error| PublishError::refused(link::word(&error)))?)?;
            let newest = some.last().map_or(0, |event| event.position);
            self.acknowledged.fetch_max(newest, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl Names {
    /// Queues one event in memory: nothing is sent yet.
    async fn queue(&self, pipeline: &WithOptions<Pipeline<Client>>, event: &Event) -> Result<(), Error> {
        let json = Value::String(Str::from(&*event.json));
        pipeline.publish::<(), _, _>(self.all.clone(), json.clone()).await?;
        if event.cluster_id != ClusterId::FLEET {
            let own = format!("{}:{}", self.cluster, event.cluster_id);
            pipeline.publish::<(), _, _>(self.cluster.clone(), json.clone()).await?;
            pipeline.publish::<(), _, _>(own, json.clone()).await?;
        }
        let fields: Vec<(&str, Value)> = vec![
            ("event_id", event.event_id.to_string().into()),
            ("event_type", event.event_type.as_str().into()),
            ("cluster_id", event.cluster_id.to_string().into()),
            ("sequence", event.sequence.into()),
            ("position", event.position.into()),
            ("json", json),
        ];
        let cap = ("MAXLEN", "~", self.stream_max_length);
        pipeline.xadd::<(), _, _, _, _>(self.stream.as_str(), false, cap, "*", fields).await
    }
}

/// Options of every command: at once or not at all.
fn hurried() -> Options {
    Options { fail_fast: true, timeout: Some(PATIENCE), max_attempts: Some(1), ..Options::default() }
}
