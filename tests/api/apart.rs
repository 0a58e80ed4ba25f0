//! Two administrators of two parts of the fleet: what one makes does not exist for the other.

use axum::http::StatusCode;
use fleetbeat::identity::{Role, Scope};
use serde_json::{Value, json};

use crate::house::House;

const SOON: &str = "2027-02-01T00:00:00Z";

struct Parts {
    house: House,
    red: String,
    blue: String,
    cluster_of_red: String,
}

impl Parts {
    async fn new() -> Self {
        let house = House::guarded().await;
        let root = house.token(Role::Admin, Scope::Everything).await;
        let mut ids = Vec::new();
        for team in ["red", "blue"] {
            let cluster = json!({ "name": format!("{team}-1"), "api_server_url": format!("https://{team}.example:6443"),
                "labels": { "team": team, "paint": "yes" } });
            let made = house.as_bearer(&root, "POST", "/api/v1/clusters", cluster).await;
            ids.push(made.json()["id"].as_str().unwrap().to_owned());
        }
        let red = house.token(Role::Admin, Scope::labels("team=red".to_owned()).unwrap()).await;
        let blue = house.token(Role::Admin, Scope::clusters(&[&ids[1]]).unwrap()).await;
        Self { house, red, blue, cluster_of_red: ids.remove(0) }
    }

    async fn ask(&self, by: &str, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.house.as_bearer(by, method, path, body).await;
        (answer.status, serde_json::from_slice(&answer.bytes).unwrap_or_default())
    }

    async fn made_by_red(&self, path: &str, body: Value) -> String {
        let (status, made) = self.ask(&self.red, "POST", path, body).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_of_one_part_is_neither_seen_nor_touched_from_another() {
    let parts = Parts::new().await;
    let hook = json!({ "name": "of-red", "url": "https://hooks.example/red" });
    let id = parts.made_by_red("/api/v1/webhooks", hook.clone()).await;
    let one = format!("/api/v1/webhooks/{id}");
    let letter = uuid::Uuid::now_v7();
    for (method, path, body) in [
        ("GET", one.clone(), Value::Null),
        ("PUT", one.clone(), json!({ "name": "of-blue", "url": "https://evil.example/in" })),
        ("DELETE", one.clone(), Value::Null),
        ("POST", format!("{one}/test"), Value::Null),
        ("GET", format!("{one}/deliveries"), Value::Null),
        ("GET", format!("{one}/dead-letters"), Value::Null),
        ("POST", format!("{one}/dead-letters/{letter}/retry"), Value::Null),
        ("DELETE", format!("{one}/dead-letters/{letter}"), Value::Null),
    ] {
        let (status, told) = parts.ask(&parts.blue, method, &path, body).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {told}");
        assert!(!told.to_string().contains("of-red"), "{method} {path}: {told}");
    }
    assert_eq!(parts.ask(&parts.blue, "GET", "/api/v1/webhooks", Value::Null).await.1["items"], json!([]));
    let (status, kept) = parts.ask(&parts.red, "GET", &one, Value::Null).await;
    assert_eq!((status, &kept["url"]), (StatusCode::OK, &hook["url"]));
    // One that asks for everything gets what its maker may see, and says so.
    let wide = json!({ "name": "wide", "url": "https://hooks.example/wide", "label_selector": "paint=yes" });
    let (_, made) = parts.ask(&parts.red, "POST", "/api/v1/webhooks", wide).await;
    assert_eq!(made["scope"], json!({ "label_selector": "team=red" }), "{made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_of_one_part_reaches_no_other_and_is_not_ended_from_there() {
    let parts = Parts::new().await;
    let silence = json!({ "comment": "red is painted", "label_selector": "paint=yes", "ends_at": SOON });
    let id = parts.made_by_red("/api/v1/silences", silence).await;
    let one = format!("/api/v1/silences/{id}");
    for (method, path) in [("GET", one.clone()), ("POST", format!("{one}/end"))] {
        let (status, told) = parts.ask(&parts.blue, method, &path, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {told}");
    }
    assert_eq!(parts.ask(&parts.blue, "GET", "/api/v1/silences", Value::Null).await.1["items"], json!([]));
    for path in ["/api/v1/clusters", "/api/v1/fleet/tiles", "/api/v1/fleet/health", "/metrics"] {
        let told = parts.house.as_bearer(&parts.blue, "GET", path, Value::Null).await.text();
        assert!(!told.contains(&id) && !told.contains("painted") && !told.contains("red-1"), "{path}: {told}");
    }
    let of_theirs = json!({ "comment": "x", "cluster_ids": [parts.cluster_of_red], "ends_at": SOON });
    let (status, told) = parts.ask(&parts.blue, "POST", "/api/v1/silences", of_theirs).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    assert!(!told.to_string().contains("red-1"), "{told}");
    let (status, told) = parts.ask(&parts.red, "GET", &one, Value::Null).await;
    assert_eq!((status, &told["state"]), (StatusCode::OK, &json!("active")));
}
