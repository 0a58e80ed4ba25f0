//! The platform's own consumers, written to its documents and without a line of ours: a front end at the WebSocket and a
//! follower of Redis' channels, both of which see a cluster go down; and one with pydantic models, which reads every type of event.
#![cfg(test)]

#[path = "promises/house.rs"]
#[allow(dead_code, reason = "the promises' tests use the rest")]
mod house;
#[path = "probes/spoke.rs"]
#[allow(dead_code, reason = "the probes' tests use the rest")]
mod spoke;
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleetbeat_loadtest::spokes::Behaviour;
use house::{House, LONG};
use serde_json::{Value, json};
use spoke::{Act, Authority, Serving, Spoke};
use support::{Client, Live, Postgres, Product, Redis, Running, Scratch, eventually};

const SOON: Duration = Duration::from_secs(60);
/// What ends soon is looked for once a minute.
const LATER: Duration = Duration::from_secs(180);
/// Everything that fleetbeat tells of.
const EVERY_TYPE: [&str; 10] = [
    "CLUSTER_REGISTERED",
    "CLUSTER_UPDATED",
    "CLUSTER_DELETED",
    "CLUSTER_STATUS_CHANGED",
    "CLUSTER_CREDENTIALS_UPDATED",
    "CLUSTER_CREDENTIALS_EXPIRING",
    "CLUSTER_CAPABILITIES_CHANGED",
    "MONITOR_DEGRADED",
    "MONITOR_RECOVERED",
    "OBSERVATION_GAP",
];

/// A Python that has pydantic, or `None` with a line that says so (`tests/run` installs it).
fn python_with_pydantic() -> Option<PathBuf> {
    let python = std::env::var_os("FLEETBEAT_PYDANTIC").map(PathBuf::from);
    if python.is_none() {
        eprintln!("SKIPPED: no pydantic here, so its consumer is not run; tests/run installs it");
    }
    python
}

/// A program of `tests/clients`, run by this Python.
fn run_by(python: &Path, scratch: &Scratch, name: &str, arguments: &[&str]) -> Running {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
    let log = scratch.path().join(format!("{name}.log"));
    Running::spawn(python, None, &log, |command| {
        command.arg("-B").arg(program).args(arguments);
    })
}

/// A program of `tests/clients`, or `None` with a line that says so where there is no Python.
fn client(scratch: &Scratch, name: &str, arguments: &[&str]) -> Option<Running> {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no python3 here, so {name} is not run");
        return None;
    }
    Some(run_by(Path::new("python3"), scratch, name, arguments))
}

async fn wrote(running: &mut Running, word: &str) {
    eventually(LATER, async || {
        let log = running.log();
        assert!(running.exited().is_none_or(|status| status.success()), "{log}");
        if log.contains(word) { Ok(()) } else { Err(log) }
    })
    .await;
}

async fn ended_well(mut running: Running) -> String {
    let status = eventually(SOON, async || running.exited().ok_or_else(|| running.log())).await;
    assert!(status.success(), "{}", running.log());
    running.log()
}

/// The admin of a product that believes tokens, and a token of a viewer who sees one cluster only.
async fn callers(product: &Product, cluster: &Value) -> (Client, String) {
    let admin = product.admin();
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
    let first = product.admin();
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

/// A token that ends three hours after this time, as far as one can see.
fn token_that_ends_soon(now: &str) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let end = chrono::DateTime::parse_from_rfc3339(now).unwrap() + chrono::TimeDelta::hours(3);
    let claims = json!({ "exp": end.timestamp() }).to_string();
    format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

/// Changes a cluster, gives it credentials that end soon (which is told within a minute), discovers it, and removes another.
async fn change_clusters(house: &House) {
    let cluster = house.cluster(3).await;
    let path = format!("/api/v1/clusters/{}", cluster["id"].as_str().unwrap());
    let body = json!({ "display_name": "Zürich \"3\"", "labels": { "team": "sre" }, "region": null });
    house.client.put(&path, &body).await.expect(200);
    let token = json!({ "auth_type": "SERVICE_ACCOUNT", "token": token_that_ends_soon(cluster["created_at"].as_str().unwrap()) });
    house.client.post(&format!("{path}/credentials?force=true"), &token).await.expect(200);
    house.client.post(&format!("{path}/discover"), &Value::Null).await.expect(200);
    let other = house.cluster(4).await["id"].as_str().unwrap().to_owned();
    house.client.delete(&format!("/api/v1/clusters/{other}")).await.expect(204);
}

/// Lets every cluster vanish until the monitor doubts itself, and return until it no longer does.
async fn make_it_doubt(house: &House) {
    for (behaviour, told) in [(Behaviour::Unreachable, "MONITOR_DEGRADED"), (Behaviour::Healthy, "MONITOR_RECOVERED")] {
        for index in 0..house.fleet.spokes().len() {
            house.set(index, behaviour).await;
        }
        eventually(LONG, async || house.log().await.iter().any(|event| event["event_type"] == told)).await;
    }
}

/// Kills the product while only its memory holds a change: it says so when it is back.
async fn lose_a_change(house: &mut House, postgres: &mut Postgres) {
    let head = house.log().await.last().unwrap()["position"].to_string();
    let mut live = Live::open(&house.client, "/api/v1/events/stream", Some(&head)).await;
    postgres.kill();
    house.set(5, Behaviour::Dead).await;
    live.next(LONG).await.expect("it is told");
    house.product.kill9();
    postgres.start().await;
    house.product.start().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_with_pydantic_models_reads_every_type_of_event() {
    let Some(python) = python_with_pydantic() else { return };
    let (scratch, redis, mut postgres) = (Scratch::new(), Redis::start_new().await, Postgres::start_new().await);
    let port = redis.port().to_string();
    let arguments: Vec<&str> = ["127.0.0.1", &port, "600"].into_iter().chain(EVERY_TYPE).collect();
    let mut consumer = run_by(&python, &scratch, "pydantic_consumer.py", &arguments);
    wrote(&mut consumer, "listening").await;
    let product = Product::new().set("database_url", postgres.database().await).set("redis_url", redis.url());
    let mut house = House::of(20, 5, product).await;
    change_clusters(&house).await;
    for told in ["CLUSTER_CAPABILITIES_CHANGED", "CLUSTER_CREDENTIALS_EXPIRING"] {
        wrote(&mut consumer, &format!("heard {told}")).await;
    }
    make_it_doubt(&house).await;
    lose_a_change(&mut house, &mut postgres).await;
    wrote(&mut consumer, "heard OBSERVATION_GAP").await;
    let read = ended_well(consumer).await;
    println!("{read}");
    assert!(EVERY_TYPE.iter().all(|told| read.contains(&format!("\"{told}\""))), "{read}");
}
