//! The platform's own consumers, written to its documents and without a line of ours: a front end at the WebSocket and a
//! follower of Redis' channels, both of which see a cluster go down.
#![cfg(test)]

#[path = "probes/spoke.rs"]
#[allow(dead_code, reason = "the probes' tests use the rest")]
mod spoke;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use spoke::{Act, Authority, Serving, Spoke};
use support::{Client, Product, Redis, Running, Scratch, eventually};

const SOON: Duration = Duration::from_secs(60);

/// A program of `tests/clients`, or `None` with a line that says so where there is no Python.
fn client(scratch: &Scratch, name: &str, arguments: &[&str]) -> Option<Running> {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no python3 here, so {name} is not run");
        return None;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
    let log = scratch.path().join(format!("{name}.log"));
    Some(Running::spawn(Path::new("python3"), None, &log, |command| {
        command.arg(program).args(arguments);
    }))
}

async fn wrote(running: &mut Running, word: &str) {
    eventually(SOON, async || {
        let log = running.log();
        assert!(running.exited().is_none_or(|status| status.success()), "{log}");
        if log.contains(word) { Ok(()) } else { Err(log) }
    })
    .await;
}

async fn ended_well(mut running: Running) -> String {
    let status = eventually(SOON, async || running.exited()).await;
    assert!(status.success(), "{}", running.log());
    running.log()
}

/// The admin of a product that believes tokens, and a token of a viewer who sees one cluster only.
async fn callers(product: &Product, cluster: &Value) -> (Client, String) {
    let first = std::fs::read_to_string(product.data_dir().join("admin-token")).unwrap();
    let admin = product.client().with_header("authorization", &format!("Bearer {}", first.trim()));
    let body = json!({ "name": "frontend", "role": "viewer", "scope": { "cluster_ids": [cluster] } });
    let made = admin.post("/api/v1/tokens", &body).await.expect(201).json();
    (admin, made["token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_end_and_a_streaming_consumer_of_the_platform_see_a_cluster_go_down() {
    let (scratch, authority, redis) = (Scratch::new(), Authority::new(), Redis::start_new().await);
    let up = Arc::new(AtomicBool::new(true));
    let spoke =
        {
            let up = Arc::clone(&up);
            Spoke::start(&authority, Serving::Good, move |_| {
                if up.load(Ordering::SeqCst) { Act::status(200) } else { Act::Close }
            })
        };
    let product = Product::new()
        .set("redis_url", redis.url())
        .set("auth.tokens.enabled", true)
        .set("probes.ca_file", scratch.write("ca.pem", &authority.pem(), None).display())
        .started()
        .await;
    let first = std::fs::read_to_string(product.data_dir().join("admin-token")).unwrap();
    let first = product.client().with_header("authorization", &format!("Bearer {}", first.trim()));
    let body = json!({ "name": "spoke", "api_server_url": spoke.https() });
    let id = first.post("/api/v1/clusters", &body).await.expect(201).json()["id"].clone();
    let (admin, token) = callers(&product, &id).await;
    let id = id.as_str().unwrap().to_owned();
    let status = format!("/api/v1/clusters/{id}/status");
    eventually(SOON, async || {
        let state = admin.get(&status).await.expect(200).json()["state"].clone();
        if state == "ONLINE" { Ok(()) } else { Err(state) }
    })
    .await;

    let url = format!("{}/ws", product.url().replace("http://", "ws://"));
    let Some(mut frontend) = client(&scratch, "frontend.py", &[&url, &token, &id, "OFFLINE", "60"]) else { return };
    let port = redis.port().to_string();
    let Some(mut consumer) = client(&scratch, "consumer.py", &["127.0.0.1", &port, &id, "OFFLINE", "60"]) else {
        return;
    };
    wrote(&mut frontend, "\"pong\"").await;
    wrote(&mut consumer, "listening").await;
    up.store(false, Ordering::SeqCst);
    spoke.cut();
    admin.post(&format!("/api/v1/clusters/{id}/refresh"), &Value::Null).await;
    let (shown, followed) = (ended_well(frontend).await, ended_well(consumer).await);
    let stored = admin.get("/api/v1/events?event_type=CLUSTER_STATUS_CHANGED&limit=1000").await.expect(200).json();
    let stored = stored["items"].as_array().unwrap().last().unwrap().clone();
    let told = stored["event_id"].as_str().unwrap();
    assert!(shown.contains(told) && followed.contains(told), "{told}\n{shown}\n{followed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_end_with_a_wrong_token_is_not_let_in() {
    let scratch = Scratch::new();
    let product = Product::new().set("auth.tokens.enabled", true).started().await;
    let url = format!("{}/ws", product.url().replace("http://", "ws://"));
    let id = "550e8400-e29b-41d4-a716-446655440000";
    let Some(mut frontend) = client(&scratch, "frontend.py", &[&url, "fbt_wrong", id, "OFFLINE", "20"]) else { return };
    let status = eventually(SOON, async || frontend.exited()).await;
    let log = frontend.log();
    assert!(!status.success() && log.contains("\"failed\"") && log.contains("AUTH_FAILED"), "{log}");
}
