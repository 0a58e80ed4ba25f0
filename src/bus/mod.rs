//! The event bus: publishes events to Redis, in order, every one acknowledged, and never waits long for a server that is
//! away. What to publish, and when to try again, is the fan-out's business.

mod address;
mod counters;
mod link;

use std::{
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
    clients::Client,
    prelude::*,
    types::{ClusterHash, CustomCommand, config::Options},
};
use secrecy::SecretString;
use tracing::Instrument;

use crate::{breaker::Breaker, traces};

pub use address::BusAddressError;
pub use counters::Counters;
pub use link::BusHealth;

/// What the server does with events.
const SCRIPT: &str = include_str!("append.lua");
/// Events in one call of the script.
const PORTION: usize = 250;
/// How long a server may usually take over one call.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// The client's own timeout may be held up; one this much later is not.
const LAST_RESORT: Duration = Duration::from_millis(50);

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
    /// How long the server may take over one call.
    pub patience: Duration,
}

/// A publisher to Redis. It connects in the background, and again whenever it must; it ends when dropped.
pub struct RedisBus {
    client: Client,
    link: link::Link,
    names: Names,
    patience: Duration,
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
        let patience = options.patience;
        let link = link::Link::start(client.clone(), patience);
        Ok(Self { link, client, names, patience, acknowledged, breaker: None })
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
        let _ = tokio::time::timeout(self.patience, self.client.quit()).await;
    }

    /// Publishes some events, all or none, but for those with which the stream ends already; returns where it ended before
    /// them. One that ended before what was acknowledged takes none: the server was killed, or a replica took over, and has
    /// forgotten. What of an attempt that was given up reaches a server late is held to the same.
    async fn publish_some(&self, events: &[Arc<Event>]) -> Result<i64, Error> {
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        let names = &self.names;
        let mut arguments: Vec<Value> = vec![SCRIPT.into(), 1.into(), names.stream.as_str().into()];
        arguments.extend([acknowledged.into(), names.stream_max_length.into()]);
        arguments.extend([names.all.clone(), names.cluster.clone()].map(Value::String));
        events.iter().for_each(|event| names.append(&mut arguments, event));
        let command = CustomCommand::new_static("EVAL", ClusterHash::Offset(2), false);
        let client = self.client.with_options(&hurried(self.patience));
        let answer = tokio::time::timeout(self.patience + LAST_RESORT, client.custom(command, arguments)).await;
        answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "silent")))
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

#[async_trait]
impl Publisher for RedisBus {
    async fn publish(&self, events: &[Arc<Event>]) -> Result<(), PublishError> {
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        let is_there = |event: &Arc<Event>| acknowledged > 0 && event.position <= acknowledged;
        let events = &events[events.partition_point(is_there)..];
        for some in events.chunks(PORTION) {
            if !self.may_ask() {
                return Err(PublishError::refused("left alone for a while".to_owned()));
            }
            let published = self.publish_some(some).instrument(traces::publishing(some.len())).await;
            self.link.learn_of_events(published.as_ref().err());
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
    /// Appends what the script wants to know of an event.
    fn append(&self, arguments: &mut Vec<Value>, event: &Event) {
        let own = match event.cluster_id {
            ClusterId::FLEET => String::new(),
            id => format!("{}:{id}", self.cluster),
        };
        arguments.extend([
            event.event_id.to_string().into(),
            event.event_type.as_str().into(),
            event.cluster_id.to_string().into(),
            event.sequence.into(),
            event.position.into(),
            own.into(),
            Value::String(Str::from(&*event.json)),
        ]);
    }
}

/// Options of every command: within this time or not at all. A Cluster may send it on to another server, twice.
fn hurried(patience: Duration) -> Options {
    Options { fail_fast: true, timeout: Some(patience), max_attempts: Some(3), ..Options::default() }
}
