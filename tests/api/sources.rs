//! Where clusters were imported from: what keeps their identity when their name elsewhere changes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::house::House;

const SOURCE: &str = "argocd:hub/argocd/one";

fn item(name: &str, url: &str, source: &str) -> Value {
    json!({ "name": name, "api_server_url": url, "source": source })
}

async fn import(house: &House, items: Value) -> Vec<(String, String)> {
    let answer = house.json("POST", "/api/v1/clusters:import", json!({ "clusters": items })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let became = |item: &Value| (text(item, "name"), text(item, "result") + &text(&item["error"], "code"));
    answer.json()["items"].as_array().unwrap().iter().map(became).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, result)| ((*name).to_owned(), (*result).to_owned())).collect()
}

#[tokio::test]
async fn a_cluster_renamed_elsewhere_is_found_by_its_source() {
    let house = House::build().await;
    let one = item("one", "https://a:6443", SOURCE);
    assert_eq!(import(&house, json!([one])).await, pairs(&[("one", "created")]));
    assert_eq!(import(&house, json!([one])).await, pairs(&[("one", "unchanged")]));
    let renamed = item("other", "https://b:6443", SOURCE);
    assert_eq!(import(&house, json!([renamed])).await, pairs(&[("one", "updated")]));
    let cluster = house.get("/api/v1/clusters/by-name/one").await.json();
    assert_eq!((&cluster["api_server_url"], &cluster["source"]), (&json!("https://b:6443"), &json!(SOURCE)));
    assert_eq!(house.get("/api/v1/clusters/by-name/other").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_name_from_elsewhere_is_a_conflict_and_one_made_by_hand_is_taken_over_where_it_is() {
    let house = House::build().await;
    import(&house, json!([item("one", "https://a:6443", SOURCE)])).await;
    house.register_with(json!({ "name": "by-hand", "api_server_url": "https://h:6443" })).await;
    let items = json!([
        item("one", "https://a:6443", "capi:hub/ns/one"),
        item("by-hand", "https://elsewhere:6443", "capi:hub/ns/two"),
        item("twice", "https://t:6443", "capi:hub/ns/three"),
        item("twice-more", "https://t:6443", "capi:hub/ns/three"),
        item("odd", "https://t:6443", "no source"),
    ]);
    let (taken, invalid) = ("failedCLUSTER_ALREADY_EXISTS", "failedINVALID_REQUEST");
    let expected =
        [("one", taken), ("by-hand", taken), ("twice", "created"), ("twice-more", invalid), ("odd", invalid)];
    assert_eq!(import(&house, items).await, pairs(&expected));
    let same = item("by-hand", "https://h:6443/", "capi:hub/ns/two");
    assert_eq!(import(&house, json!([same])).await, pairs(&[("by-hand", "updated")]));
    assert_eq!(house.get("/api/v1/clusters/by-name/by-hand").await.json()["source"], "capi:hub/ns/two");
}

#[tokio::test]
async fn a_source_is_that_of_one_cluster() {
    let house = House::build().await;
    let first = house.register_with(item("one", "https://a:6443", SOURCE)).await;
    let again = house.json("POST", "/api/v1/clusters", item("two", "https://b:6443", SOURCE)).await;
    assert_eq!((again.status, again.fields()), (StatusCode::CONFLICT, vec!["source".to_owned()]), "{}", again.text());
    let second = house.register("two").await;
    let moved = house.json("PUT", &format!("/api/v1/clusters/{second}"), json!({ "source": SOURCE })).await;
    assert_eq!(moved.status, StatusCode::CONFLICT, "{}", moved.text());
    let let_go = house.json("PUT", &format!("/api/v1/clusters/{first}"), json!({ "source": null })).await;
    assert_eq!((let_go.status, let_go.json().get("source")), (StatusCode::OK, None));
    let moved = house.json("PUT", &format!("/api/v1/clusters/{second}"), json!({ "source": SOURCE })).await;
    assert_eq!((moved.status, &moved.json()["source"]), (StatusCode::OK, &json!(SOURCE)));
}
