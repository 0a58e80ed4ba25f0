//! The event bus against Sentinels and a Cluster of real Redis servers: the server in charge is killed while events are
//! published, another takes over, and the stream misses none.
#![cfg(test)]

mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fleetbeat::bus::{BusOptions, RedisBus};
use fleetbeat_actors::{
    event::{Event, EventDraft, EventType},
    ports::Publisher,
    roll::ClusterId,
};
use fred::prelude::*;
use support::{Redis, RedisFleet, eventually, stream_entries};
use tokio::time::Instant;

const STREAM: &str = "t:stream";
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(60);

fn options(url: &str) -> BusOptions {
    BusOptions {
        url: url.into(),
        channel_prefix: "t:events".to_owned(),
        stream: STREAM.to_owned(),
        stream_max_length: 100_000,
        ca_file: None,
        patience: Duration::from_millis(500),
    }
}

async fn connected(url: &str) -> RedisBus {
    let bus = RedisBus::start(&options(url)).unwrap();
    eventually(TAKES_OVER_WITHIN, || async { bus.health().connected.then_some(()).ok_or(bus.health()) }).await;
    bus
}

fn log() -> Vec<Arc<Event>> {
    let at = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let cluster_id = ClusterId::generate();
    let event = |position| {
        let draft = EventDraft::new(EventType::ClusterUpdated, cluster_id, at, serde_json::json!({ "n": position }));
        Arc::new(Event::place(draft, position, position))
    };
    (1..=400).map(event).collect()
}

/// Publishes a stretch of the log as the fan-out does: again and again, and again from where the server says that it is.
async fn publish(bus: &RedisBus, log: &[Arc<Event>], mut from: usize, to: usize) {
    let end = Instant::now() + TAKES_OVER_WITHIN;
    while from < to {
        let next = (from + 20).min(to);
        match bus.publish(&log[from..next]).await {
            Ok(()) => from = next,
            Err(error) if error.behind.is_some() => from = error.behind.map_or(0, |position| position as usize),
            Err(error) => {
                assert!(Instant::now() < end, "{error}, {:?}", bus.health());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Positions in the stream in the order in which each first came.
async fn first_seen(client: &Client) -> Vec<i64> {
    let entries: Vec<(String, std::collections::HashMap<String, String>)> =
        eventually(TAKES_OVER_WITHIN, || client.xrange_values(STREAM, "-", "+", None)).await;
    let mut seen = BTreeSet::new();
    let positions = entries.iter().map(|(_, fields)| fields["position"].parse().unwrap());
    positions.filter(|position| seen.insert(*position)).collect()
}

async fn nothing_is_lost_when_the_server_in_charge_dies(mut fleet: RedisFleet) {
    let bus = connected(fleet.url()).await;
    let log = log();
    publish(&bus, &log, 0, 200).await;
    let before = fleet.in_charge(STREAM).await;
    fleet.kill(before);
    let killed = Instant::now();
    publish(&bus, &log, 200, 220).await;
    println!("published again {:?} after the server in charge was killed", killed.elapsed());
    publish(&bus, &log, 220, 400).await;
    let client = fleet.client().await;
    assert_eq!(first_seen(&client).await, (1..=400).collect::<Vec<_>>());
    eventually(TAKES_OVER_WITHIN, || async { bus.health().connected }).await;
    tokio::time::timeout(Duration::from_secs(20), bus.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_another_server_and_nothing_is_lost() {
    nothing_is_lost_when_the_server_in_charge_dies(RedisFleet::with_sentinels().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_puts_a_replica_in_charge_and_nothing_is_lost() {
    nothing_is_lost_when_the_server_in_charge_dies(RedisFleet::cluster().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_forgotten_is_published_again() {
    let redis = Redis::start_new().await;
    let bus = connected(&redis.url()).await;
    let log = log();
    publish(&bus, &log, 0, 100).await;
    let client = redis.client();
    client.init().await.unwrap();
    let newest: Vec<(String, std::collections::HashMap<String, String>)> =
        client.xrevrange_values(STREAM, "+", "-", Some(30)).await.unwrap();
    let forgotten: Vec<String> = newest.into_iter().map(|(id, _)| id).collect();
    client.xdel::<(), _, _>(STREAM, forgotten).await.unwrap();
    let behind =
        eventually(TAKES_OVER_WITHIN, || async { bus.publish(&log[100..120]).await.unwrap_err().behind }).await;
    assert_eq!((behind, stream_entries(&redis, STREAM, None).await.len()), (70, 70), "all or none");
    publish(&bus, &log, 70, 400).await;
    let stored = stream_entries(&redis, STREAM, None).await;
    let positions: Vec<i64> = stored.iter().map(|(_, fields)| fields["position"].parse().unwrap()).collect();
    assert_eq!(positions, (1..=400).collect::<Vec<_>>());
}
