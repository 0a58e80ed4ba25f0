//! Silences and webhooks: what is held back, what is told after, and that nothing is told twice.

use std::time::Duration;

use chrono::TimeDelta;
use fleetbeat::clock::SystemClock;
use fleetbeat_actors::ports::Clock;
use serde_json::{Value, json};

use crate::{
    SOON, make, path, product,
    receiver::{Message, Receiver},
    support::{Client, Product, eventually},
};

/// One that checks clusters when it is told to.
async fn started() -> Product {
    product().set("health_check.enabled", true).started().await
}

/// A cluster that is what a receiver is: there or away.
async fn watch(client: &Client, name: &str, server: &Receiver) -> String {
    let body = json!({
        "name": name, "api_server_url": server.origin(), "labels": { "team": "blue" },
        "health_check": { "interval_seconds": 3600, "failure_threshold": 1, "success_threshold": 1 },
    });
    let id = client.post("/api/v1/clusters", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    until_state(client, &id, "ONLINE").await;
    // In the log as well: what a webhook made from now on is not told.
    let log = format!("/api/v1/events?event_type=CLUSTER_STATUS_CHANGED&cluster_id={id}");
    eventually(SOON, async || (client.get(&log).await.json()["items"] != json!([])).then_some(())).await;
    id
}

async fn until_state(client: &Client, id: &str, state: &str) {
    eventually(SOON, async || {
        client.post(&format!("/api/v1/clusters/{id}/refresh"), &json!({})).await;
        let shown = client.get(&format!("/api/v1/clusters/{id}")).await.expect(200).json();
        (shown["status"]["state"] == state).then_some(())
    })
    .await;
}

async fn change(client: &Client, server: &Receiver, id: &str, state: &str) {
    server.answer(if state == "ONLINE" { 200 } else { 503 });
    until_state(client, id, state).await;
}

async fn silence(client: &Client) -> String {
    let ends_at = SystemClock.wall() + TimeDelta::hours(2);
    let body = json!({ "comment": "work", "label_selector": "team=blue", "ends_at": ends_at });
    client.post("/api/v1/silences", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned()
}

async fn end(client: &Client, silence: &str) {
    client.post(&format!("/api/v1/silences/{silence}/end"), &json!({})).await.expect(200);
}

/// Which clusters went to which state, as it was told.
fn told(messages: &[Message]) -> Vec<(String, String)> {
    let word = |message: &Message, field: &str| message.json()["data"]["payload"][field].as_str().unwrap().to_owned();
    messages.iter().map(|message| (word(message, "cluster_name"), word(message, "new_state"))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

async fn told_of_changes(client: &Client, receiver: &Receiver) -> Value {
    make(client, json!({ "name": "ops", "url": receiver.url(), "event_types": ["CLUSTER_STATUS_CHANGED"] })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_mutes_a_webhook_and_a_later_event_is_told_again() {
    let (product, receiver, server) = (started().await, Receiver::start().await, Receiver::start().await);
    server.answer(200);
    let client = product.client();
    let id = watch(&client, "blue-1", &server).await;
    told_of_changes(&client, &receiver).await;
    let silence = silence(&client).await;
    change(&client, &server, &id, "OFFLINE").await;
    change(&client, &server, &id, "ONLINE").await;
    end(&client, &silence).await;
    change(&client, &server, &id, "OFFLINE").await;
    let messages = receiver.until(1, SOON).await;
    assert_eq!(told(&messages), pairs(&[("blue-1", "OFFLINE")]), "nothing of what came and went meanwhile");
    let log = client.get(&format!("/api/v1/events?event_type=CLUSTER_STATUS_CHANGED&cluster_id={id}")).await.json();
    assert_eq!(log["items"].as_array().unwrap().last().unwrap()["event_id"], messages[0].id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_still_down_when_a_silence_ends_is_told_of_then_and_once() {
    let (mut product, receiver) = (started().await, Receiver::start().await);
    let (broken, mended, passing) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let client = product.client();
    let mut ids = Vec::new();
    for (name, server) in [("broken", &broken), ("mended", &mended), ("passing", &passing)] {
        server.answer(200);
        ids.push(watch(&client, name, server).await);
    }
    let made = told_of_changes(&client, &receiver).await;
    change(&client, &mended, &ids[1], "OFFLINE").await;
    receiver.until(1, SOON).await;
    let silence = silence(&client).await;
    change(&client, &broken, &ids[0], "OFFLINE").await;
    change(&client, &mended, &ids[1], "ONLINE").await;
    change(&client, &passing, &ids[2], "OFFLINE").await;
    change(&client, &passing, &ids[2], "ONLINE").await;
    // What is held back outlives the process.
    product.terminate(Duration::from_secs(40)).await;
    product.start().await;
    let client = product.client();
    end(&client, &silence).await;
    let messages = receiver.until(3, SOON).await;
    assert_eq!(told(&messages), pairs(&[("mended", "OFFLINE"), ("broken", "OFFLINE"), ("mended", "ONLINE")]));

    // Told once: neither later nor after another start.
    eventually(SOON, async || {
        let shown = client.get(&path(&made, "")).await.expect(200).json();
        shown["status"]["waiting_since"].is_null().then_some(())
    })
    .await;
    product.terminate(Duration::from_secs(40)).await;
    product.start().await;
    let client = product.client();
    change(&client, &passing, &ids[2], "OFFLINE").await;
    let messages = receiver.until(4, SOON).await;
    assert_eq!(told(&messages)[3..], pairs(&[("passing", "OFFLINE")]));
}
