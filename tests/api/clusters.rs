//! Registering, reading, changing and removing clusters.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetbeat_actors::testing::Behaviour;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    house::{House, steady},
    support::{eventually, in_time, part_in_time},
};

/// Longest time anything is waited for.
const LONG: Duration = Duration::from_secs(60);
/// How soon writes are taken once the database is back.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);
/// How soon two writes are refused without it.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);

fn seed_example() -> Value {
    json!({
        "name": "prod-east-1", "display_name": "Production East 1",
        "api_server_url": "https://api.prod-east-1.example.com:6443", "cluster_type": "SPOKE",
        "platform": "OPENSHIFT", "region": "us-east-1", "environment": "PRODUCTION",
        "labels": {"team": "platform", "cost-center": "eng-001"},
        "endpoints": {"prometheus_url": "https://thanos-querier.openshift-monitoring.svc:9091"},
    })
}

#[tokio::test]
async fn the_seed_s_example_is_answered_as_the_seed_says() {
    let house = House::build().await;
    let answer = house.json("POST", "/api/v1/clusters", seed_example()).await;
    assert_eq!((answer.status, answer.header("etag")), (StatusCode::CREATED, "\"1\""));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/clusters/{id}"));
    insta::assert_json_snapshot!("registered", steady(answer.json()));
    house.until(&id, "ONLINE").await;
    insta::assert_json_snapshot!("online", steady(house.get(&format!("/api/v1/clusters/{id}")).await.json()));
    let by_name = house.get("/api/v1/clusters/by-name/prod-east-1").await;
    assert_eq!((by_name.status, by_name.json()["id"].as_str()), (StatusCode::OK, Some(id.as_str())));
}

#[tokio::test]
async fn a_name_is_taken_once_and_free_again_after_removal() {
    let house = House::build().await;
    let first = house.register("abc").await;
    let again = house.json("POST", "/api/v1/clusters", json!({"name": "abc", "api_server_url": "https://x"})).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "CLUSTER_ALREADY_EXISTS".to_owned()));
    assert_eq!(again.fields(), ["name"]);
    let gone = house.json("DELETE", &format!("/api/v1/clusters/{first}"), json!({})).await;
    assert_eq!((gone.status, gone.text()), (StatusCode::NO_CONTENT, String::new()));
    let missing = house.get(&format!("/api/v1/clusters/{first}")).await;
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "CLUSTER_NOT_FOUND".to_owned()));
    assert_eq!(missing.json()["error"]["message"], format!("Cluster with ID {first} not found"));
    let second = house.register("abc").await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_put_changes_what_it_carries_and_tells_one_event() {
    let house = House::build().await;
    let id = house.register_with(seed_example()).await;
    let path = format!("/api/v1/clusters/{id}");
    let changed = house.json("PUT", &path, json!({"region": "eu-1", "labels": {"team": "sre"}})).await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"2\""), "{}", changed.text());
    let body = changed.json();
    assert_eq!((&body["region"], &body["labels"]), (&json!("eu-1"), &json!({"team": "sre"})));
    assert_eq!((&body["display_name"], &body["generation"]), (&json!("Production East 1"), &json!(2)));
    let same = house.json("PUT", &path, json!({"region": "eu-1"})).await;
    assert_eq!((same.status, &same.json()["generation"]), (StatusCode::OK, &json!(2)));
    let events = house.get(&format!("/api/v1/events?cluster_id={id}&event_type=CLUSTER_UPDATED")).await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    assert_eq!(events["items"][0]["payload"]["changed_fields"], json!(["labels", "region"]));
}

#[tokio::test]
async fn a_patch_merges_and_null_removes() {
    let house = House::build().await;
    let id = house.register_with(seed_example()).await;
    let path = format!("/api/v1/clusters/{id}");
    let patch = json!({"labels": {"team": null, "tier": "1"}, "endpoints": null, "cluster_type": null});
    let request = Request::patch(&path).header("content-type", "application/merge-patch+json");
    let answer = house.send(request.body(Body::from(patch.to_string())).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["labels"], json!({"cost-center": "eng-001", "tier": "1"}));
    assert_eq!((&body["endpoints"], &body["cluster_type"]), (&json!({}), &json!("SPOKE")));
}

#[tokio::test]
async fn a_write_that_expects_another_generation_is_refused() {
    let house = House::build().await;
    let id = house.register("abc").await;
    let path = format!("/api/v1/clusters/{id}");
    let body = json!({"region": "x"});
    let other = house.json_with("PUT", &path, body.clone(), &[("if-match", "\"7\"")]).await;
    assert_eq!((other.status, other.code().as_str()), (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED"));
    assert_eq!(house.json_with("PUT", &path, body.clone(), &[("if-match", "garbage")]).await.fields(), ["If-Match"]);
    let tag = house.get(&path).await.header("etag").to_owned();
    assert!(tag.starts_with("\"1-"), "{tag}");
    assert_eq!(house.json_with("PATCH", &path, body, &[("if-match", &tag)]).await.status, StatusCode::OK);
    assert_eq!(house.json_with("DELETE", &path, json!({}), &[("if-match", "\"1\"")]).await.status.as_u16(), 412);
    assert_eq!(house.json_with("DELETE", &path, json!({}), &[("if-match", "\"2\"")]).await.status.as_u16(), 204);
}

#[tokio::test]
async fn a_tag_spares_the_body_until_anything_in_it_changes() {
    let house = House::build().await;
    let id = house.register("abc").await;
    house.until(&id, "ONLINE").await;
    let path = format!("/api/v1/clusters/{id}");
    let tag = house.get(&path).await.header("etag").to_owned();
    let conditional = || Request::get(&path).header("if-none-match", &tag).body(Body::empty()).unwrap();
    let same = house.send(conditional()).await;
    assert_eq!((same.status, same.bytes.len(), same.header("etag")), (StatusCode::NOT_MODIFIED, 0, tag.as_str()));
    house.fleet.set(id.parse().unwrap(), Behaviour::Refuses);
    house.json("POST", &format!("{path}/refresh"), json!({})).await;
    house.until(&id, "OFFLINE").await;
    let changed = house.send(conditional()).await;
    assert_eq!((changed.status, &changed.json()["status"]["state"]), (StatusCode::OK, &json!("OFFLINE")));
}

#[tokio::test]
async fn a_refresh_runs_a_check_and_tells_what_it_found() {
    let house = House::build().await;
    let id = house.register_with(seed_example()).await;
    house.until(&id, "ONLINE").await;
    house.fleet.set(id.parse().unwrap(), Behaviour::PrometheusDown);
    let before = house.fleet.checks(id.parse().unwrap());
    let answer = house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(house.fleet.checks(id.parse().unwrap()) > before);
    insta::assert_json_snapshot!("check", steady(answer.json()["check"].clone()));
    house.until(&id, "DEGRADED").await;
    insta::assert_json_snapshot!("degraded", steady(house.get(&format!("/api/v1/clusters/{id}/status")).await.json()));
}

#[tokio::test]
async fn a_refresh_that_nobody_can_run_is_unreachable() {
    let house = House::build().await;
    let id = house.register("abc").await;
    house.until(&id, "ONLINE").await;
    assert!(house.engine.stop(Duration::from_secs(30)).await);
    let answer = house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "CLUSTER_UNREACHABLE"));
}

#[tokio::test]
async fn an_import_is_idempotent_and_answers_for_each() {
    let house = House::build().await;
    house.register("known").await;
    let url = "https://x.example:6443";
    let body = json!({"clusters": [
        {"name": "new-1", "api_server_url": url}, {"name": "new-2", "api_server_url": url},
        {"name": "known", "api_server_url": "https://known.example:6443", "region": "eu"},
        {"name": "Bad", "api_server_url": url}, {"name": "new-1", "api_server_url": url}, {"nam": "x"},
    ]});
    let first = house.json("POST", "/api/v1/clusters:import", body.clone()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    insta::assert_json_snapshot!("import", steady(first.json()));
    let again = house.json("POST", "/api/v1/clusters:import", body).await.json();
    assert_eq!((&again["created"], &again["updated"], &again["unchanged"]), (&json!(0), &json!(0), &json!(3)));
    let events = house.get("/api/v1/events?event_type=CLUSTER_REGISTERED").await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_thousand_clusters_are_imported_at_once() {
    let house = House::build().await;
    let one = |i| json!({"name": format!("spoke-{i}"), "api_server_url": "https://x.example:6443"});
    let body = json!({ "clusters": (0..1_000).map(one).collect::<Vec<_>>() });
    let answer = house.json("POST", "/api/v1/clusters:import", body.clone()).await;
    assert_eq!(answer.json()["created"], json!(1_000));
    let more = json!({ "clusters": (0..1_001).map(one).collect::<Vec<_>>() });
    assert_eq!(house.json("POST", "/api/v1/clusters:import", more).await.fields(), ["clusters"]);
}

#[tokio::test]
async fn without_a_database_writes_are_refused_and_reads_go_on() {
    let house = House::impatient().await;
    let id = house.register("abc").await;
    house.until(&id, "ONLINE").await;
    house.store.close().await;
    in_time(REFUSED_WITHIN, async || {
        let body = json!({"name": "xyz", "api_server_url": "https://x"});
        let answer = house.json("POST", "/api/v1/clusters", body.clone()).await;
        let told = (answer.status.as_u16(), answer.code());
        assert_eq!(told, (503, "DEPENDENCY_UNAVAILABLE".to_owned()), "{}", answer.text());
        assert!(!answer.header("retry-after").is_empty());
        let import = house.json("POST", "/api/v1/clusters:import", json!({"clusters": [body]})).await;
        assert_eq!(import.status.as_u16(), 503);
    })
    .await;
    assert_eq!(house.get(&format!("/api/v1/clusters/{id}")).await.status, StatusCode::OK);
    assert_eq!(house.get("/api/v1/clusters").await.json()["total"], json!(1));
    assert_eq!(house.get("/ready").await.status.as_u16(), 503);
    assert_eq!(house.get("/health").await.status, StatusCode::OK);
    assert_eq!(house.get(&format!("/api/v1/clusters/{id}/history")).await.status.as_u16(), 503);
}

#[tokio::test]
async fn a_database_that_is_held_refuses_writes_and_takes_them_again_without_a_gap() {
    let house = House::impatient().await;
    let id = house.register("abc").await;
    house.until(&id, "ONLINE").await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(house.database());
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let (path, mut generation) = (format!("/api/v1/clusters/{id}"), 1);
    part_in_time(TAKEN_WITHIN, async || {
        let change = json!({"region": format!("eu-{generation}")});
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let mut quickest = Duration::MAX;
        for _ in 0..3 {
            let began = Instant::now();
            let refused = house.json("PUT", &path, change.clone()).await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "DEPENDENCY_UNAVAILABLE"));
            quickest = quickest.min(began.elapsed());
            assert_eq!(house.get(&path).await.json()["generation"], generation);
        }
        assert!(quickest.as_millis() < 2_100, "{quickest:?}");
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        let free = Instant::now();
        eventually(LONG, async || house.json("PUT", &path, change.clone()).await.status == StatusCode::OK).await;
        println!("a write was taken {:.2} s after the database was free", free.elapsed().as_secs_f64());
        generation += 1;
        free.elapsed()
    })
    .await;
    let events = house.get(&format!("/api/v1/events?cluster_id={id}")).await.json();
    let sequences: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|e| e["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>());
    assert_eq!(house.get(&path).await.json()["generation"], generation);
}
