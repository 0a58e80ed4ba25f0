//! The event bus against a real Redis: what arrives, in which order, and what happens while the server is away.
#![cfg(test)]

mod support;

use std::{sync::Arc, time::Duration};

use fleetbeat::bus::{BusOptions, RedisBus};
use fleetbeat_actors::{
    event::{Event, EventDraft, EventType},
    ports::Publisher,
    roll::ClusterId,
};
use fred::{
    prelude::*,
    types::{ClusterHash, CustomCommand},
};
use support::{Authority, Product, Redis, Scratch, Subscriber, eventually, in_time, part_in_time, stream_entries};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(40);
/// What a call may take that is not answered, with what a busy machine adds.
const REFUSED_WITHIN: Duration = Duration::from_millis(600);
/// How soon after the server's return events are published again.
const BACK_WITHIN: Duration = Duration::from_secs(3);
const STREAM: &str = "t:stream";

fn options(redis: &Redis) -> BusOptions {
    BusOptions {
        url: redis.url().into(),
        channel_prefix: "t:events".to_owned(),
        stream: STREAM.to_owned(),
        stream_max_length: 100_000,
        ca_file: None,
        patience: Duration::from_secs(20),
    }
}

/// As the product's: what a server that is silent or away costs.
fn impatient(redis: &Redis) -> BusOptions {
    BusOptions { patience: Duration::from_millis(500), ..options(redis) }
}

async fn connected(options: &BusOptions) -> RedisBus {
    let bus = RedisBus::start(options).unwrap();
    eventually(SOON, || async { if bus.health().connected { Ok(()) } else { Err(format!("{:?}", bus.health())) } })
        .await;
    bus
}

fn event(cluster_id: ClusterId, position: i64) -> Arc<Event> {
    let at = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let payload = serde_json::json!({ "name": "edge-1", "old_state": "ONLINE", "new_state": "OFFLINE" });
    let draft = EventDraft::new(EventType::ClusterStatusChanged, cluster_id, at, payload);
    Arc::new(Event::place(draft, position, position))
}

fn events(cluster_id: ClusterId, positions: std::ops::Range<i64>) -> Vec<Arc<Event>> {
    positions.map(|position| event(cluster_id, position)).collect()
}

async fn positions(redis: &Redis) -> Vec<i64> {
    stream_entries(redis, STREAM, None).await.iter().map(|(_, fields)| fields["position"].parse().unwrap()).collect()
}

/// The stream without repetitions, which a failed try may leave.
async fn first_seen(redis: &Redis) -> Vec<i64> {
    let mut seen = std::collections::BTreeSet::new();
    let mut positions = positions(redis).await;
    positions.retain(|position| seen.insert(*position));
    positions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_cluster_arrives_on_three_channels_and_in_the_stream() {
    let redis = Redis::start_new().await;
    let bus = connected(&options(&redis)).await;
    let mut listener = Subscriber::listen(&redis, &["t:events:*"]).await;
    let id = ClusterId::generate();
    let (own, fleet) = (event(id, 7), event(ClusterId::FLEET, 8));
    bus.publish(&[own.clone(), fleet.clone()]).await.unwrap();

    let json = |event: &Event| event.json.to_string();
    let expected = [
        ("t:events:all".to_owned(), json(&own)),
        ("t:events:cluster".to_owned(), json(&own)),
        (format!("t:events:cluster:{id}"), json(&own)),
        ("t:events:all".to_owned(), json(&fleet)),
    ];
    for message in expected {
        assert_eq!(listener.next(SOON).await, Some(message));
    }
    assert_eq!(listener.drain(Duration::from_millis(300)).await, []);
    let stored = stream_entries(&redis, STREAM, None).await;
    assert_eq!(stored.len(), 2);
    let fields = &stored[0].1;
    assert_eq!(fields["event_id"], own.event_id.to_string());
    assert_eq!(fields["event_type"], "CLUSTER_STATUS_CHANGED");
    assert_eq!(fields["cluster_id"], id.to_string());
    assert_eq!((fields["sequence"].as_str(), fields["position"].as_str()), ("7", "7"));
    assert_eq!(fields["json"], json(&own));
    assert!(bus.health().ping_latency.is_some());
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_events_keep_their_order_and_the_stream_its_length() {
    let redis = Redis::start_new().await;
    let bus = connected(&BusOptions { stream_max_length: 1_000, ..options(&redis) }).await;
    let all = events(ClusterId::generate(), 0..20_000);
    let began = Instant::now();
    for batch in all.chunks(500) {
        bus.publish(batch).await.unwrap();
    }
    println!("{:.0} events/s in batches of 500", 20_000.0 / began.elapsed().as_secs_f64());
    let kept = positions(&redis).await;
    assert!(kept.len() < 1_500, "{}", kept.len());
    assert_eq!(kept, (20_000 - kept.len() as i64..20_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_took_without_the_bus_hearing_of_it_is_not_told_twice() {
    let redis = Redis::start_new().await;
    // What another bus sent is to this one as what it sent itself and heard no answer to.
    let (bus, other) = (connected(&options(&redis)).await, connected(&options(&redis)).await);
    let all = events(ClusterId::FLEET, 1..1_001);
    bus.publish(&all[..300]).await.unwrap();
    other.publish(&all[300..400]).await.unwrap();
    let mut listener = Subscriber::listen(&redis, &["t:events:all"]).await;
    bus.publish(&all).await.unwrap();
    assert_eq!(positions(&redis).await, (1..1_001).collect::<Vec<_>>());
    assert_eq!(listener.next(SOON).await.map(|(_, json)| json), Some(all[400].json.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_told_at_once_and_the_first_try_after_its_return_succeeds() {
    let mut redis = Redis::start_new().await;
    let bus = connected(&impatient(&redis)).await;
    let (id, mut next) = (ClusterId::generate(), 3);
    eventually(SOON, || async { bus.publish(&events(id, 0..3)).await }).await;
    part_in_time(BACK_WITHIN, async || {
        let batch = events(id, next..next + 3);
        redis.kill();
        in_time(REFUSED_WITHIN, async || assert!(bus.publish(&batch).await.is_err())).await;
        assert!(!bus.health().connected && bus.health().last_error.is_some());
        redis.start().await;
        let back = Instant::now();
        eventually(SOON, || async { bus.publish(&batch).await }).await;
        println!("published {:?} after the server's return", back.elapsed());
        next += 3;
        back.elapsed()
    })
    .await;
    assert_eq!(first_seen(&redis).await, (0..next).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_told_within_its_patience_and_found_again() {
    let mut redis = Redis::start_new().await;
    let bus = connected(&impatient(&redis)).await;
    let (id, mut next, mut took) = (ClusterId::generate(), 0, Vec::new());
    part_in_time(BACK_WITHIN, async || {
        let batch = events(id, next..next + 5);
        redis.pause();
        let stopped = Instant::now();
        while stopped.elapsed() < Duration::from_secs(6) {
            let began = Instant::now();
            assert!(bus.publish(&batch).await.is_err());
            took.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        redis.resume();
        let back = Instant::now();
        eventually(SOON, || async { bus.publish(&batch).await }).await;
        println!("published {:?} after the server went on", back.elapsed());
        next += 5;
        back.elapsed()
    })
    .await;
    took.sort();
    assert!(took[took.len() / 2] < REFUSED_WITHIN, "{took:?}");
    eventually(SOON, || async { bus.publish(&events(id, next..next + 3)).await }).await;
    assert_eq!(first_seen(&redis).await, (0..next + 3).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_found() {
    let mut redis = Redis::start_new().await;
    redis.kill();
    let bus = RedisBus::start(&impatient(&redis)).unwrap();
    in_time(REFUSED_WITHIN, async || {
        assert!(bus.publish(&events(ClusterId::generate(), 0..1)).await.is_err());
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    redis.start().await;
    eventually(SOON, || async { bus.publish(&events(ClusterId::generate(), 0..1)).await }).await;
    tokio::time::timeout(SOON, bus.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_a_bus_that_never_connected_takes_no_time() {
    let mut redis = Redis::start_new().await;
    redis.kill();
    let bus = RedisBus::start(&impatient(&redis)).unwrap();
    tokio::time::timeout(Duration::from_secs(20), bus.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_passwords_and_tls_are_used_and_never_shown() {
    let named = Redis::start_with_user("watcher", "canary-password").await;
    connected(&options(&named)).await.publish(&events(ClusterId::generate(), 0..1)).await.unwrap();
    let encrypted = Redis::start_with_tls().await;
    let trusting = BusOptions { ca_file: Some(encrypted.ca_file()), ..options(&encrypted) };
    connected(&trusting).await.publish(&events(ClusterId::generate(), 0..1)).await.unwrap();

    let wrong = BusOptions { url: named.url().replace("canary-password", "canary-wrong").into(), ..options(&named) };
    let bus = RedisBus::start(&wrong).unwrap();
    eventually(SOON, || async { bus.health().last_error.ok_or("no error yet") }).await;
    let refused = bus.publish(&events(ClusterId::generate(), 0..1)).await.unwrap_err();
    let shown = format!("{:?} {refused} {refused:?} {wrong:?}", bus.health());
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(bus.health().last_error.as_deref(), Some("refused our credentials (WRONGPASS)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_without_tls_is_told_as_such() {
    let plain = Redis::start_new().await;
    // To what it does not understand it says nothing; that it is full it says at once.
    let only = plain.client();
    only.init().await.unwrap();
    let command = CustomCommand::new_static("CONFIG", ClusterHash::FirstKey, false);
    only.custom::<(), _>(command, vec!["SET", "maxclients", "1"]).await.unwrap();
    let mistaken = BusOptions { url: plain.url().replace("redis://", "rediss://").into(), ..options(&plain) };
    let bus = RedisBus::start(&mistaken).unwrap();
    eventually(SOON, || async {
        match bus.health().last_error.as_deref() {
            Some("TLS failed: it does not speak TLS") => Ok(()),
            other => Err(other.map(str::to_owned)),
        }
    })
    .await;
    assert!(!bus.health().connected);
}

/// A product that publishes to this Redis, counts callers there, and trusts the authorities of a file.
fn believer(redis: &Redis, ca_file: &std::path::Path) -> Product {
    let product = Product::new().set("redis_url", redis.url()).set("redis_ca_file", ca_file.display());
    product.set("auth.tokens.enabled", true).set("health_check.enabled", false)
}

/// What it says of Redis, to its administrator.
async fn of_redis(product: &Product) -> String {
    let health = product.admin().get("/health/detailed").await.expect(200).json();
    health["dependencies"]["redis"]["status"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_with_a_private_authority_is_believed_by_its_file_and_no_other() {
    let redis = Redis::start_with_tls().await;
    let product = believer(&redis, &redis.ca_file()).started().await;
    let (stream, buckets) = (redis.client(), redis.client());
    stream.init().await.unwrap();
    buckets.init().await.unwrap();
    buckets.select(1).await.unwrap();
    eventually(SOON, || async {
        let status = of_redis(&product).await;
        let (keys, kept): (i64, i64) = (buckets.dbsize().await.unwrap(), stream.dbsize().await.unwrap());
        if status == "\"healthy\"" && keys > 0 { Ok(()) } else { Err(format!("{status} {keys} {kept}")) }
    })
    .await;

    let scratch = Scratch::new();
    let other = scratch.write("other.pem", &Authority::new().pem(), None);
    for (file, verdict) in [(redis.ca_file(), "good"), (other, "bad")] {
        let run = believer(&redis, &file).run(&["doctor", "-o", "json"]);
        let said: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        let redis = said["items"].as_array().unwrap().iter().find(|item| item["what"] == "Redis").unwrap();
        assert_eq!(redis["verdict"], verdict, "{said}");
    }
    let nothing = scratch.write("nothing.pem", "no certificate", None);
    for (url, file, named) in [
        (redis.url(), nothing, "redis_ca_file"),
        (redis.url().replace("rediss", "redis"), redis.ca_file(), "redis_ca_file"),
    ] {
        let run = Product::new().set("redis_url", url).set("redis_ca_file", file.display()).run(&["serve"]);
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && told.contains(named), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_the_documents_name_are_enough() {
    let redis = Redis::start_new().await;
    let document = include_str!("../docs/operations.md");
    let rights = document.split('`').find(|code| code.starts_with("+eval")).expect("named in the documents");
    let user = format!("SETUSER narrow on >canary-narrow ~{STREAM} &t:events:* -@all {rights}");
    let client = redis.client();
    client.init().await.unwrap();
    let command = CustomCommand::new_static("ACL", ClusterHash::FirstKey, false);
    let words: Vec<String> = user.split(' ').map(str::to_owned).collect();
    client.custom::<(), _>(command, words).await.unwrap();
    let url = redis.url().replace("redis://", "redis://narrow:canary-narrow@");
    let bus = connected(&BusOptions { url: url.into(), ..options(&redis) }).await;
    bus.publish(&events(ClusterId::generate(), 1..30)).await.unwrap();
    assert_eq!(positions(&redis).await, (1..30).collect::<Vec<_>>());
    // Without one of them the server is there, and yet no event gets through: that is told until one does.
    let set = async |rule: &str| {
        let command = CustomCommand::new_static("ACL", ClusterHash::FirstKey, false);
        client.custom::<(), _>(command, vec!["SETUSER", "narrow", rule]).await.unwrap();
    };
    set("-eval").await;
    let more = events(ClusterId::generate(), 30..31);
    eventually(SOON, async || if bus.publish(&more).await.is_err() { Ok(()) } else { Err("taken") }).await;
    assert!(bus.health().refusal.is_some_and(|word| word.contains("NOPERM")), "{:?}", bus.health());
    set("+eval").await;
    eventually(SOON, async || bus.publish(&more).await.map_err(|error| error.reason)).await;
    assert_eq!(bus.health().refusal, None);
    bus.close().await;
}
