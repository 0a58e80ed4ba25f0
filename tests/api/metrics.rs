//! `/metrics`, the OpenAPI document and the page about it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use axum::{body::Body, http::Request};
use fleetbeat_actors::testing::Behaviour;
use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn every_cluster_has_its_series_until_it_is_removed() {
    let house = House::build().await;
    let nasty = json!({"name": "abc", "api_server_url": "https://x", "region": "a\"b\\c", "cluster_type": "EDGE"});
    let id = house.register_with(nasty).await;
    house.until(&id, "ONLINE").await;
    let answer = house.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let labels = r#"cluster="abc",cluster_type="EDGE",environment="DEVELOPMENT",region="a\"b\\c""#;
    for line in [
        format!("fleetbeat_cluster_state{{{labels},state=\"ONLINE\"}} 1"),
        format!("fleetbeat_cluster_state{{{labels},state=\"OFFLINE\"}} 0"),
        format!("fleetbeat_cluster_health_score{{{labels}}} 100"),
        format!("fleetbeat_cluster_up{{{labels}}} 1"),
        format!("fleetbeat_probe_healthy{{{labels},endpoint=\"api_server\"}} 1"),
        format!("fleetbeat_cluster_stale{{{labels}}} 0"),
    ] {
        assert!(answer.text().lines().any(|have| have == line), "{line}\n{}", answer.text());
    }
    assert!(!house.get("/metrics?clusters=false").await.text().contains("abc"));
    house.json("DELETE", &format!("/api/v1/clusters/{id}"), json!({})).await;
    assert!(!house.get("/metrics").await.text().contains("abc"));
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let recorder = fleetbeat::exposition::recorder().unwrap();
    // Everything of this test runs on this thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let house = House::build_with(Some(recorder.handle())).await;
    for (name, behaviour) in
        [("aaa", Behaviour::Healthy), ("bbb", Behaviour::PrometheusDown), ("ccc", Behaviour::Refuses)]
    {
        let id = house.register(name).await;
        house.fleet.set(id.parse().unwrap(), behaviour);
        house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    }
    let answer = house.get("/metrics").await;
    assert!(answer.text().contains("fleetbeat_schedule_lag_seconds_bucket"), "{}", answer.text());
    check_with_promtool(&answer.bytes);
}

fn check_with_promtool(text: &[u8]) {
    let tool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut tool) = tool else {
        println!("SKIPPED: promtool is not installed (Debian's prometheus package has it)");
        return;
    };
    tool.stdin.take().unwrap().write_all(text).unwrap();
    let done = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.trim().is_empty(), "{said}");
}

#[tokio::test]
async fn those_who_ask_get_it_zipped() {
    let house = House::build().await;
    let one = |i| json!({"name": format!("spoke-{i}"), "api_server_url": "https://x.example:6443"});
    house.json("POST", "/api/v1/clusters:import", json!({"clusters": (0..300).map(one).collect::<Vec<_>>()})).await;
    let plain = house.get("/metrics").await;
    let request = Request::get("/metrics").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let zipped = house.send(request).await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert!(zipped.bytes.len() * 5 < plain.bytes.len(), "{} of {}", zipped.bytes.len(), plain.bytes.len());
}

#[tokio::test]
async fn the_document_describes_every_operation_and_its_errors() {
    let house = House::build().await;
    let document = house.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"]["400"].is_object(), "{method} {path} says nothing of 400");
            operations.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    operations.sort();
    insta::assert_json_snapshot!("operations", operations);
    assert_resolved(&document, &document);
}

fn assert_resolved(value: &Value, document: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
            }
            map.values().for_each(|value| assert_resolved(value, document));
        }
        Value::Array(items) => items.iter().for_each(|item| assert_resolved(item, document)),
        _ => {}
    }
}

#[tokio::test]
async fn the_docs_page_needs_no_network() {
    let house = House::build().await;
    let page = house.get("/docs/").await;
    assert_eq!(page.status.as_u16(), 200);
    assert!(!page.text().contains("https://") && page.text().contains("swagger-ui"));
    assert_eq!(house.get("/docs").await.header("location"), "/docs/");
    assert_eq!(house.get("/docs/swagger-ui-bundle.js").await.status.as_u16(), 200);
}

#[tokio::test]
async fn health_is_told_in_the_shape_of_the_seed() {
    let house = House::build().await;
    assert_eq!(house.get("/health").await.json()["status"], "healthy");
    assert_eq!(house.get("/ready").await.json()["dependencies"]["sqlite"]["status"], "healthy");
    let detailed = house.get("/health/detailed").await.json();
    assert_eq!(detailed["status"], "healthy");
    assert_eq!(detailed["services"]["cluster-registry"]["status"], "healthy");
    assert!(detailed["dependencies"]["sqlite"]["latency_ms"].is_number());
    assert_eq!(detailed["engine"]["clusters"], json!(0));
    assert_eq!(house.get("/api/v1/version").await.json()["name"], "fleetbeat");
}
