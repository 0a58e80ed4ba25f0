//! The public status page: chosen clusters only, and of those only what everybody may know.

use axum::http::StatusCode;
use fleetbeat_actors::testing::Behaviour;
use serde_json::{Value, json};

use crate::house::House;

async fn chosen(house: &House, name: &str, display_name: Option<&str>) -> String {
    let id = house
        .register_with(json!({
            "name": name, "display_name": display_name, "api_server_url": format!("https://{name}.internal.example:6443"),
            "region": "secret-region", "labels": { "public": "true", "team": "secret-team" },
        }))
        .await;
    house.until(&id, "ONLINE").await;
    id
}

#[tokio::test]
async fn everybody_sees_the_chosen_clusters_and_nothing_else_of_them() {
    let house = House::build().await;
    let id = chosen(&house, "spoke-one", Some("Berlin")).await;
    let other = house.register("not-chosen").await;
    let answer = house.get("/api/v1/status-page").await;
    assert_eq!(answer.status, StatusCode::OK);
    let told = answer.json();
    assert_eq!(told["title"], "Our fleet");
    let clusters = told["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 1, "{told}");
    let keys: Vec<_> = clusters[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["days", "name", "state", "uptime_percent"]);
    assert_eq!((&clusters[0]["name"], &clusters[0]["state"]), (&json!("Berlin"), &json!("operational")));
    for word in [id.as_str(), &other, "not-chosen", "spoke-one", "secret", "internal.example", "team"] {
        assert!(!answer.text().contains(word), "{word} in {}", answer.text());
    }
}

#[tokio::test]
async fn states_and_uptimes_are_told_by_day() {
    let house = House::build().await;
    let id = chosen(&house, "spoke-one", None).await;
    house.fleet.set(id.parse().unwrap(), Behaviour::Refuses);
    house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    house.until(&id, "OFFLINE").await;
    let told = house.get("/api/v1/status-page").await.json();
    let one = &told["clusters"][0];
    assert_eq!((&one["name"], &one["state"]), (&json!("spoke-one"), &json!("outage")));
    let days = one["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(days[0], Value::Null, "nobody looked a month ago");
    assert!(days[29].is_number() && one["uptime_percent"].is_number(), "{one}");
}

#[tokio::test]
async fn it_needs_no_credentials() {
    let house = House::guarded().await;
    assert_eq!(house.get("/api/v1/status-page").await.status, StatusCode::OK);
    assert_eq!(house.get("/api/v1/fleet/tiles").await.status, StatusCode::UNAUTHORIZED);
}
