//! Outages of the database and of Redis: what goes on, what is refused, and what is there afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use fleetbeat_loadtest::spokes::Behaviour;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::house::{House, LONG, stories};
use crate::support::{Live, Postgres, Product, Redis, Subscriber, eventually, part_in_time, stream_entries};

/// How soon after the database's return it is ready and takes writes.
const BACK_WITHIN: Duration = Duration::from_secs(15);

async fn unready(house: &House) {
    eventually(LONG, async || house.client.get("/ready").await.status == 503).await;
}

/// Writes are refused soon, and in the envelope.
async fn refuses_writes(house: &House) {
    let body = json!({ "name": "too-late", "api_server_url": "https://127.0.0.1:6443" });
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let answer = house.client.post("/api/v1/clusters", &body).await.expect(503);
        assert_eq!(answer.json()["error"]["code"], "DEPENDENCY_UNAVAILABLE");
        quickest = quickest.min(began.elapsed());
    }
    println!("a write was refused after {:.2} s", quickest.as_secs_f64());
    assert!(quickest < Duration::from_millis(2_500), "{quickest:?}");
}

/// How the database goes away.
#[derive(Clone, Copy)]
enum Outage {
    Killed,
    Stopped,
}

impl Outage {
    async fn begin(self, house: &House, postgres: &mut Postgres) {
        match self {
            Self::Killed => postgres.kill(),
            Self::Stopped => postgres.pause(),
        }
        unready(house).await;
    }

    /// How long it took to be ready and to take a write after the return.
    async fn end(self, house: &House, postgres: &mut Postgres) -> Duration {
        match self {
            Self::Killed => postgres.start().await,
            Self::Stopped => postgres.resume(),
        }
        let back = Instant::now();
        eventually(LONG, async || house.client.get("/ready").await.status == 200).await;
        let ready = back.elapsed();
        let cluster = format!("/api/v1/clusters/{}", house.cluster(0).await["id"].as_str().unwrap());
        eventually(LONG, async || {
            let answer = house.client.put(&cluster, &json!({ "display_name": format!("{ready:?}") })).await;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        })
        .await;
        let (ready, written) = (ready.as_secs_f64(), back.elapsed().as_secs_f64());
        println!("ready {ready:.2} s and a write taken {written:.2} s after the database returned");
        back.elapsed()
    }
}

/// What goes on without the database, and how long it took to be ready again.
async fn goes_on_without(house: &House, postgres: &mut Postgres, outage: Outage) -> Duration {
    let head = house.log().await.last().unwrap()["position"].to_string();
    let mut live = Live::open(&house.client, "/api/v1/events/stream", Some(&head)).await;
    outage.begin(house, postgres).await;
    refuses_writes(house).await;
    house.set(5, Behaviour::Dead).await;
    house.until(5, "OFFLINE").await;
    house.set(6, Behaviour::Status { code: 503 }).await;
    house.until(6, "OFFLINE").await;
    house.set(5, Behaviour::Healthy).await;
    house.until(5, "ONLINE").await;
    let metrics = house.client.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("fleetbeat_events_unsaved"));
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(live.next(LONG).await.expect("the live stream goes on").json());
    }
    let took = outage.end(house, postgres).await;
    let ids = |events: &[Value]| events.iter().map(|event| event["event_id"].to_string()).collect::<BTreeSet<_>>();
    eventually(LONG, async || ids(&house.log().await).is_superset(&ids(&told))).await;
    house.set(6, Behaviour::Healthy).await;
    house.until(6, "ONLINE").await;
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_everything_but_writing_goes_on() {
    let mut postgres = Postgres::start_new().await;
    let url = postgres.database().await;
    let house = House::of(20, 5, Product::new().impatient().set("database_url", url)).await;
    for outage in [Outage::Killed, Outage::Stopped] {
        let mut took = Some(goes_on_without(&house, &mut postgres, outage).await);
        part_in_time(BACK_WITHIN, async || match took.take() {
            Some(took) => took,
            None => {
                outage.begin(&house, &mut postgres).await;
                outage.end(&house, &mut postgres).await
            }
        })
        .await;
    }
    house.until_logged(28).await;
    let stories = stories(&house.log().await);
    let again = ["ONLINE", "OFFLINE", "ONLINE", "OFFLINE", "ONLINE"];
    assert_eq!(stories[&house.name(5)], again);
    assert_eq!(stories[&house.name(6)], again);
    assert!(stories.values().filter(|story| story.len() > 1).count() == 2, "false transitions: {stories:?}");
    // What waits in memory is stored before any write of a user: the recorder asks the store once a second.
    let body = json!({ "name": "in-time", "api_server_url": "https://127.0.0.1:6443" });
    eventually(LONG, async || {
        let answer = house.client.post("/api/v1/clusters", &body).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

/// A commit with which each registration takes three seconds.
const SLOW_COMMIT: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(3); RETURN NULL; END'; \
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON clusters.events DEFERRABLE INITIALLY DEFERRED \
    FOR EACH ROW WHEN (NEW.event_type = 'CLUSTER_REGISTERED') EXECUTE FUNCTION slow()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cluster_of_an_import_in_doubt_is_watched_once_it_turns_out_to_be_stored() {
    let postgres = Postgres::start_new().await;
    let url = postgres.database().await;
    let product = Product::new().set("database_url", &url).set("registry.reconcile_seconds", 3_600);
    let product = product.set("store.call_timeout_ms", 4_000).started().await;
    let database = url.rsplit('/').next().expect("a URL ends with the database's name");
    postgres.execute(database, SLOW_COMMIT.to_owned()).await;
    let cluster = |name: &str| json!({ "name": name, "api_server_url": "https://127.0.0.1:1" });
    let names = ["first", "second", "third"];
    let answer = product.client().post("/api/v1/clusters:import", &json!({ "clusters": names.map(cluster) })).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    for name in names {
        let path = format!("/api/v1/clusters/by-name/{name}");
        eventually(LONG, async || {
            let answer = product.client().get(&path).await;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_with_unsaved_events_is_confessed_on_the_next_start() {
    let mut postgres = Postgres::start_new().await;
    let url = postgres.database().await;
    let mut house = House::of(12, 5, Product::new().set("database_url", url)).await;
    let head = house.log().await.last().unwrap()["position"].to_string();
    let mut live = Live::open(&house.client, "/api/v1/events/stream", Some(&head)).await;
    postgres.kill();
    house.set(5, Behaviour::Dead).await;
    live.next(LONG).await.expect("it is told");
    house.product.kill9();
    let marker = house.product.data_dir().join("unsaved");
    assert!(marker.exists(), "before anybody heard");
    postgres.start().await;
    house.product.start().await;
    eventually(LONG, async || house.log().await.iter().any(|event| event["event_type"] == "OBSERVATION_GAP")).await;
    eventually(LONG, async || !marker.exists()).await;
    house.until(5, "OFFLINE").await;
    house.until_logged(13).await;
    assert_eq!(stories(&house.log().await)[&house.name(5)], ["ONLINE", "OFFLINE"]);
}

fn parsed(texts: impl IntoIterator<Item = String>) -> Vec<Value> {
    texts.into_iter().map(|text| serde_json::from_str(&text).unwrap()).collect()
}

/// The first occurrence of every event, in order.
fn without_repetitions(events: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    events.into_iter().filter(|event| seen.insert(event["event_id"].to_string())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_sees_the_log_in_order_through_kills_and_stops_of_its_own() {
    let mut redis = Redis::start_new().await;
    let house = House::of(20, 5, Product::new().set("redis_url", redis.url())).await;
    let id = house.cluster(5).await["id"].as_str().unwrap().to_owned();
    let channel = format!("aiops:events:cluster:{id}");
    for outage in 0..2 {
        if outage == 0 {
            redis.kill()
        } else {
            redis.pause()
        }
        house.set(5, Behaviour::Dead).await;
        house.until(5, "OFFLINE").await;
        eventually(LONG, async || house.client.get("/ready").await.status == 200).await;
        house.set(5, Behaviour::Healthy).await;
        house.until(5, "ONLINE").await;
        if outage == 0 {
            redis.start().await
        } else {
            redis.resume()
        }
        eventually(LONG, async || {
            let log = house.log().await;
            let entries = stream_entries(&redis, "aiops:stream:events", None).await;
            let streamed =
                without_repetitions(parsed(entries.into_iter().map(|(_, mut fields)| fields.remove("json").unwrap())));
            if streamed == log { Ok(()) } else { Err((streamed.len(), log.len())) }
        })
        .await;
    }
    house.until_logged(24).await;
    let mut subscriber = Subscriber::listen(&redis, &[&channel]).await;
    house.set(5, Behaviour::Dead).await;
    house.until(5, "OFFLINE").await;
    let (_, text) = subscriber.next(LONG).await.expect("the channel carries the event");
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&event["event_type"], &event["cluster_id"]), (&json!("CLUSTER_STATUS_CHANGED"), &json!(id)));
    assert_eq!(house.log().await.last().unwrap(), &event);
}
