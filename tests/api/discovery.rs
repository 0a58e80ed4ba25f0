//! What clusters can do: found out on demand, shown, counted, filtered, told of when it changes, never guessed.

use axum::http::StatusCode;
use fleetbeat::credentials::{Credential, Part};
use fleetbeat_actors::{health::Endpoint, roll::ClusterId};
use serde_json::{Value, json};

use crate::house::{House, steady};

const REVIEWS: &str = "/apis/authorization.k8s.io";

fn give_token(house: &House, id: &str) {
    let credential = Credential::default().with(Endpoint::ApiServer, Part::of_token("secret"));
    house.memory.put(id.parse::<ClusterId>().unwrap(), credential);
}

/// A cluster with eight GPUs and a network function that may not be asked for its pods.
fn answers(gpus: u32) -> Vec<(&'static str, u16, String)> {
    let node = json!({ "metadata": { "name": "a", "labels": { "nvidia.com/gpu.product": "NVIDIA-<A100>" } },
        "status": { "capacity": { "nvidia.com/gpu": gpus.to_string() }, "conditions": [{ "type": "Ready", "status": "True" }] } });
    let namespaces = ["default", "du-1", "monitoring"].map(|name| json!({ "metadata": { "name": name } }));
    let list = |items: &[Value]| json!({ "metadata": {}, "items": items }).to_string();
    vec![
        ("/version", 200, json!({ "gitVersion": "v1.33.1" }).to_string()),
        ("/apis?", 404, String::new()),
        (REVIEWS, 201, json!({ "status": { "allowed": false } }).to_string()),
        ("/apis/", 404, String::new()),
        ("/apis", 200, json!({ "groups": [{ "name": "apps" }, { "name": "linkerd.io" }] }).to_string()),
        ("/api/v1/nodes", 200, list(&[node])),
        ("/api/v1/namespaces?", 200, list(&namespaces)),
        ("/api/v1/namespaces/monitoring/pods", 403, String::new()),
        (
            "/api/v1/namespaces/monitoring/services",
            200,
            list(&[json!({ "metadata": { "name": "prometheus-operated" }, "spec": { "ports": [{ "port": 9090 }] } })]),
        ),
    ]
}

async fn told(house: &House, id: &str) -> Vec<Value> {
    let path = format!("/api/v1/events?cluster_id={id}&event_type=CLUSTER_CAPABILITIES_CHANGED");
    house.get(&path).await.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_a_cluster_can_do_is_found_shown_counted_and_told_once() {
    let house = House::build().await;
    let id = house.register("alpha").await;
    house.register("beta").await;
    let path = format!("/api/v1/clusters/{id}");
    give_token(&house, &id);
    *house.answers.0.lock().unwrap() = answers(8);
    let before = house.get(&path).await;
    let found = house.json("POST", &format!("{path}/discover"), Value::Null).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text());
    insta::assert_json_snapshot!("discovered", steady(found.json()));

    let shown = house.get(&path).await;
    assert_eq!(shown.json()["capabilities"], found.json()["capabilities"]);
    assert_eq!(shown.json()["platform_version"], "v1.33.1");
    assert_eq!(shown.json()["generation"], 1);
    assert_ne!(shown.header("etag"), before.header("etag"));
    assert_eq!(shown.json()["endpoints"], json!({}), "what is suggested is not adopted");
    for (query, names) in [("has_gpu=true", 1), ("has_gpu=false", 1), ("has_cnf=true", 1), ("has_cnf=false", 1)] {
        assert_eq!(house.get(&format!("/api/v1/clusters?{query}")).await.json()["total"], names, "{query}");
    }
    let summary = house.get("/api/v1/fleet/summary").await.json();
    assert_eq!((&summary["total_gpu_count"], &summary["clusters_with_gpu"]), (&json!(8), &json!(1)));
    assert_eq!((&summary["clusters_with_cnf"], &summary["discovered_clusters"]), (&json!(1), &json!(1)));
    let fleet = house.get("/api/v1/fleet/capabilities").await.json();
    assert_eq!(fleet["gpus_by_type"], json!({ "NVIDIA-_A100_": 8 }));
    assert_eq!(fleet["by_cnf_type"], json!({ "vdu": 1 }));
    assert_eq!(fleet["unknown"], json!({ "cnf": 1, "gpu": 1, "nodes": 1, "observability": 2 }));

    let events = told(&house, &id).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["payload"]["capabilities"], found.json()["capabilities"]);
    assert_eq!(events[0]["payload"]["cluster_id"], json!(id));
    let again = house.json("POST", &format!("{path}/discover"), Value::Null).await.json();
    assert_eq!(again["changed"], false);
    assert_eq!(told(&house, &id).await.len(), 1, "nothing changed, nobody is told");
    *house.answers.0.lock().unwrap() = answers(4);
    house.json("POST", &format!("{path}/discover"), Value::Null).await;
    let events = told(&house, &id).await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["payload"]["changed_fields"], json!(["gpu_count", "gpu_types"]));
    // A change of the spec keeps what was found.
    house.json("PATCH", &path, json!({ "region": "eu" })).await;
    assert_eq!(house.get(&path).await.json()["capabilities"]["gpu_count"], 4);
    assert_eq!(house.store.discoveries().await.unwrap()[0].outcome, "partial");
}

#[tokio::test]
async fn who_cannot_be_asked_is_said_so_and_loses_nothing() {
    let house = House::build().await;
    let id = house.register("alpha").await;
    let path = format!("/api/v1/clusters/{id}");
    let discover = async || house.json("POST", &format!("{path}/discover"), Value::Null).await;
    assert_eq!(discover().await.code(), "CREDENTIALS_NOT_FOUND");
    give_token(&house, &id);
    assert_eq!(discover().await.code(), "CLUSTER_UNREACHABLE");
    *house.answers.0.lock().unwrap() = vec![("/version", 401, String::new())];
    let refused = discover().await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "DISCOVERY_FAILED"));
    *house.answers.0.lock().unwrap() = answers(8);
    assert_eq!(discover().await.status, StatusCode::OK);
    house.answers.0.lock().unwrap().clear();
    assert_eq!(discover().await.code(), "CLUSTER_UNREACHABLE");
    assert_eq!(house.get(&path).await.json()["capabilities"]["gpu_count"], 8);
    let unknown = "/api/v1/clusters/00000000-0000-7000-8000-000000000000/discover";
    assert_eq!(house.json("POST", unknown, Value::Null).await.code(), "CLUSTER_NOT_FOUND");
}

#[tokio::test]
async fn validation_lists_what_the_account_may_not_do() {
    let house = House::build().await;
    let id = house.register("alpha").await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    *house.answers.0.lock().unwrap() = answers(8);
    let upload = json!({ "auth_type": "TOKEN", "token": "secret" });
    let stored = house.json("POST", &path, upload).await.json();
    let valid = house.json("POST", &format!("{path}/validate"), Value::Null).await.json();
    for answer in [&stored, &valid] {
        let lacking = answer["lacking_permissions"].as_array().unwrap();
        assert_eq!(lacking.len(), 9, "{answer}");
        let first = json!({ "wanted_for": "probe:api_server", "verb": "list", "group": "", "resource": "namespaces" });
        assert_eq!(lacking[0], first);
    }
    *house.answers.0.lock().unwrap() = vec![(REVIEWS, 404, String::new())];
    let silent = house.json("POST", &format!("{path}/validate"), Value::Null).await.json();
    assert_eq!((&silent["status"], &silent["lacking_permissions"]), (&json!("valid"), &Value::Null));
}
