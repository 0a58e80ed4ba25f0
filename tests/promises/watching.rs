//! The main job: a real Prometheus, a real API server where there is one, and what a user sees of their troubles.

use std::time::Duration;

use fleetbeat_loadtest::spokes::Behaviour;
use serde_json::json;
use tokio::time::Instant;

use crate::house::{House, LONG, stories};
use crate::support::{KubeApiserver, Product, Prometheus, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_and_a_real_prometheus_are_watched_through_death_and_return() {
    let Some(mut apiserver) = KubeApiserver::start_if_present().await else { return };
    let mut prometheus = Prometheus::start_new().await;
    let product = Product::new().started().await;
    let client = product.client();
    let cluster = json!({
        "name": "real-one", "api_server_url": apiserver.url(), "cluster_type": "SPOKE", "ca_bundle": apiserver.ca_pem(),
        "platform": "KUBERNETES", "endpoints": { "prometheus_url": prometheus.url() },
        "health_check": { "interval_seconds": 120 },
    });
    let id = client.post("/api/v1/clusters", &cluster).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let status = async || client.get(&format!("/api/v1/clusters/{id}/status")).await.expect(200).json();
    let until = async |state: &str| {
        eventually(Duration::from_secs(40), async || {
            let status = status().await;
            if status["state"] == state { Ok(status) } else { Err(status) }
        })
        .await
    };
    until("ONLINE").await;
    prometheus.kill();
    client.post(&format!("/api/v1/clusters/{id}/refresh"), &json!({})).await.expect(200);
    let degraded = until("DEGRADED").await;
    assert_eq!((&degraded["health_score"], &degraded["prometheus_healthy"]), (&json!(80), &json!(false)));
    prometheus.start().await;
    client.post(&format!("/api/v1/clusters/{id}/refresh"), &json!({})).await.expect(200);
    until("ONLINE").await;
    let died = Instant::now();
    apiserver.kill();
    until("OFFLINE").await;
    println!("a killed kube-apiserver was OFFLINE after {:.2} s, at a period of 120 s", died.elapsed().as_secs_f64());
    assert!(died.elapsed() < Duration::from_secs(60), "{:?}", died.elapsed());
    apiserver.start().await;
    client.post(&format!("/api/v1/clusters/{id}/refresh"), &json!({})).await.expect(200);
    until("ONLINE").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_connection_is_noticed_long_before_the_next_period() {
    let house = House::of(12, 120, Product::new()).await;
    let died = Instant::now();
    house.set(3, Behaviour::Dead).await;
    house.until(3, "OFFLINE").await;
    println!("a dead spoke was OFFLINE after {:.2} s, at a period of 120 s", died.elapsed().as_secs_f64());
    assert_eq!(house.cluster(3).await["status"]["reason"], "refused");
    for index in [0, 1, 2, 4, 5] {
        assert_eq!(house.state(index).await, "ONLINE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_the_process_changes_no_state() {
    let mut house = House::of(40, 5, Product::new()).await;
    for _ in 0..3 {
        house.product.pause();
        tokio::time::sleep(Duration::from_secs(8)).await;
        house.product.resume();
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    house.until_all("ONLINE").await;
    assert!(stories(&house.log().await).values().all(|story| story == &["ONLINE"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_spoke_vanishes_at_once_states_are_held_until_they_return() {
    let house = House::of(30, 5, Product::new()).await;
    let everyone: Vec<usize> = (0..30).collect();
    for index in &everyone {
        house.set(*index, Behaviour::Unreachable).await;
    }
    let monitor = async |event_type: &str| {
        eventually(LONG, async || house.log().await.iter().any(|event| event["event_type"] == event_type)).await;
    };
    monitor("MONITOR_DEGRADED").await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(house.cluster(7).await["status"]["stale"], true);
    for index in &everyone {
        house.set(*index, Behaviour::Healthy).await;
    }
    monitor("MONITOR_RECOVERED").await;
    eventually(LONG, async || house.cluster(7).await["status"]["stale"] == false).await;
    assert!(stories(&house.log().await).values().all(|story| story == &["ONLINE"]));
}
