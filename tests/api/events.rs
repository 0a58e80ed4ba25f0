//! The event log and the live stream.

use std::time::Duration;

use axum::{body::Body, http::Request};
use fleetbeat_actors::testing::Behaviour;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::house::{House, steady};

struct Reader {
    chunks: axum::body::BodyDataStream,
    text: String,
}

impl Reader {
    async fn open(house: &House, path: &str, headers: &[(&str, &str)]) -> Self {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        let response = house.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { chunks: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event with its id.
    async fn next(&mut self) -> (i64, Value) {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let line = |name| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let event = line("id: ").zip(line("data: "));
                self.text = rest.to_owned();
                if let Some((id, data)) = event {
                    return (id.parse().unwrap(), serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(40), self.chunks.next()).await.expect("an event");
            self.text += std::str::from_utf8(&chunk.expect("open").unwrap()).unwrap();
        }
    }

    async fn ends(mut self) -> bool {
        let rest = async { while self.chunks.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(40), rest).await.is_ok()
    }
}

#[tokio::test]
async fn the_log_is_read_in_order_and_by_pages() {
    let house = House::build().await;
    for name in ["aaa", "bbb", "ccc"] {
        let id = house.register(name).await;
        house.until(&id, "ONLINE").await;
    }
    let mut reader = Reader::open(&house, "/api/v1/events/stream?after=0", &[]).await;
    for _ in 0..6 {
        reader.next().await;
    }
    let all = house.get("/api/v1/events").await.json();
    let kinds: Vec<_> = all["items"].as_array().unwrap().iter().map(|e| e["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["CLUSTER_REGISTERED", "CLUSTER_STATUS_CHANGED"].repeat(3));
    insta::assert_json_snapshot!("events", steady(json!([all["items"][0], all["items"][1]])));
    let (mut after, mut positions) = (0, Vec::new());
    loop {
        let page =
            house.get(&format!("/api/v1/events?limit=1&event_type=CLUSTER_REGISTERED&after={after}")).await.json();
        positions.extend(page["items"].as_array().unwrap().iter().map(|e| e["position"].as_i64().unwrap()));
        after = page["next_after"].as_i64().unwrap();
        if page["has_more"] == json!(false) {
            break;
        }
    }
    assert_eq!(positions.len(), 3);
    assert!(positions.is_sorted());
}

#[tokio::test]
async fn the_stream_brings_events_live_and_resumes() {
    let house = House::build().await;
    let mut live = Reader::open(&house, "/api/v1/events/stream", &[]).await;
    let id = house.register("abc").await;
    house.until(&id, "ONLINE").await;
    let (first, registered) = live.next().await;
    assert_eq!((&registered["event_type"], &registered["sequence"]), (&json!("CLUSTER_REGISTERED"), &json!(1)));
    let (second, changed) = live.next().await;
    assert_eq!(changed["payload"]["new_state"], "ONLINE");
    assert!(second > first);
    let mut resumed = Reader::open(&house, "/api/v1/events/stream", &[("last-event-id", &first.to_string())]).await;
    assert_eq!(resumed.next().await.0, second);
    let path = format!("/api/v1/events/stream?after=0&event_type=CLUSTER_STATUS_CHANGED&cluster_id={id}");
    let mut filtered = Reader::open(&house, &path, &[]).await;
    assert_eq!(filtered.next().await.0, second);
    house.fleet.set(id.parse().unwrap(), Behaviour::Refuses);
    house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    for reader in [&mut live, &mut resumed, &mut filtered] {
        assert_eq!(reader.next().await.1["payload"]["new_state"], "OFFLINE");
    }
    house.stop.send_replace(true);
    assert!(live.ends().await && resumed.ends().await && filtered.ends().await);
}

#[tokio::test]
async fn a_log_longer_than_memory_is_read_from_the_store() {
    let house = House::build().await;
    let one = |i| json!({"name": format!("spoke-{i}"), "api_server_url": "https://x.example:6443"});
    for round in 0..9 {
        let body = json!({ "clusters": (round * 1000..round * 1000 + 1000).map(one).collect::<Vec<_>>() });
        assert_eq!(house.json("POST", "/api/v1/clusters:import", body).await.json()["created"], json!(1_000));
    }
    let (mut after, mut seen) = (0, 0);
    loop {
        let path = format!("/api/v1/events?limit=1000&event_type=CLUSTER_REGISTERED&after={after}");
        let page = house.get(&path).await.json();
        seen += page["items"].as_array().unwrap().len();
        after = page["next_after"].as_i64().unwrap();
        if page["has_more"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, 9_000);
    let mut stream = Reader::open(&house, "/api/v1/events/stream?after=0&event_type=CLUSTER_REGISTERED", &[]).await;
    for _ in 0..9_000 {
        stream.next().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_leaves_behind_what_it_was_given_was_too_slow_and_one_that_just_leaves_was_not() {
    let house = House::build().await;
    let path = "/api/v1/events/stream?event_type=CLUSTER_REGISTERED";
    let (mut quick, mut slow) = (Reader::open(&house, path, &[]).await, Reader::open(&house, path, &[]).await);
    house.register("told-1").await;
    assert_eq!(
        (quick.next().await.1["sequence"].clone(), slow.next().await.1["sequence"].clone()),
        (json!(1), json!(1))
    );
    let dropped = async || house.get("/api/v1/streaming/status").await.json()["clients_dropped"].clone();
    // The quick one waits for more while the other takes nothing.
    let waited = tokio::time::timeout(Duration::from_millis(5_200), quick.next()).await;
    assert!(waited.is_err(), "nothing else happened");
    drop(quick);
    assert_eq!(dropped().await, 0);
    drop(slow);
    assert_eq!(dropped().await, 1);
}
