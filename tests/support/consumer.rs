//! Consumers of events, as others would write them: one of the channels, one of the stream.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::prelude::*;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::redis::Redis;

/// Messages that may wait for the test to read them.
const WAITING: usize = 100_000;

/// A subscriber of channels; it reconnects and subscribes again by itself.
pub struct Subscriber {
    client: SubscriberClient,
    messages: Receiver<fred::types::Message>,
}

impl Subscriber {
    /// Subscribes to channels; names with `*` are patterns. Every later message is kept for [`Subscriber::next`].
    pub async fn listen(redis: &Redis, channels: &[&str]) -> Self {
        let client = Builder::from_config(redis.client_config())
            .with_performance_config(|performance| performance.broadcast_channel_capacity = WAITING)
            .set_policy(ReconnectPolicy::new_constant(0, 50))
            .build_subscriber_client()
            .unwrap();
        client.init().await.unwrap();
        client.manage_subscriptions();
        let messages = client.message_rx();
        for channel in channels {
            match channel.contains('*') {
                true => client.psubscribe(*channel).await.unwrap(),
                false => client.subscribe(*channel).await.unwrap(),
            }
        }
        // A subscription is answered when it has been sent. What comes behind it on the same connection is when Redis has it.
        let _: Value = client.ping(None).await.unwrap();
        Self { client, messages }
    }

    /// The next message: its channel and text; `None` when none comes in time.
    pub async fn next(&mut self, within: Duration) -> Option<(String, String)> {
        match tokio::time::timeout(within, self.messages.recv()).await.ok()? {
            Ok(message) => Some((message.channel.to_string(), message.value.as_string().unwrap_or_default())),
            Err(RecvError::Lagged(missed)) => panic!("the test read too slowly and missed {missed} messages"),
            Err(RecvError::Closed) => None,
        }
    }

    /// All messages until none comes for `quiet`.
    pub async fn drain(&mut self, quiet: Duration) -> Vec<(String, String)> {
        let mut all = Vec::new();
        while let Some(message) = self.next(quiet).await {
            all.push(message);
        }
        all
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let client = self.client.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { client.quit().await });
        }
    }
}

/// An entry of a stream: its id and its fields.
pub type StreamEntry = (String, HashMap<String, String>);

/// All entries of a stream after an id (`None`: from its beginning), oldest first.
pub async fn stream_entries(redis: &Redis, stream: &str, after: Option<&str>) -> Vec<StreamEntry> {
    let client = redis.client();
    client.init().await.unwrap();
    let from = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
    let entries: Vec<StreamEntry> = client.xrange_values(stream, from, "+", None).await.unwrap();
    client.quit().await.unwrap();
    entries
}
