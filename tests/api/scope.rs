//! What a scoped caller can find out about the rest of the fleet from answers that show nothing of it: nothing.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use fleetbeat::identity::{Role, Scope};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::house::House;

/// A cluster of ours, one of ours that is gone, and many of others; memory does not reach back to the first events.
struct Crowd {
    house: House,
    admin: String,
    mine: String,
    theirs: String,
}

fn cluster(name: &str, team: &str) -> Value {
    json!({ "name": name, "api_server_url": format!("https://{name}.example:6443"), "labels": { "team": team } })
}

impl Crowd {
    async fn gather() -> Self {
        let house = House::guarded().await;
        let admin = house.token(Role::Admin, Scope::Everything).await;
        let mut crowd = Self { house, admin, mine: String::new(), theirs: String::new() };
        crowd.theirs = crowd.register("theirs-1", "red").await;
        crowd.mine = crowd.register("mine-1", "blue").await;
        let gone = crowd.register("gone-1", "blue").await;
        assert_eq!(crowd.ask("DELETE", &format!("/api/v1/clusters/{gone}"), Value::Null).await, 204);
        for n in 0..70 {
            let path = format!("/api/v1/clusters/{}", crowd.theirs);
            assert_eq!(crowd.ask("PUT", &path, json!({ "display_name": format!("x{n}") })).await, 200);
        }
        for round in 0..9 {
            let many = (0..1_000).map(|n| cluster(&format!("theirs-{round}-{n}"), "red")).collect::<Vec<_>>();
            assert_eq!(crowd.ask("POST", "/api/v1/clusters:import", json!({ "clusters": many })).await, 200);
        }
        crowd
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> u16 {
        self.house.as_bearer(&self.admin, method, path, body).await.status.as_u16()
    }

    async fn register(&self, name: &str, team: &str) -> String {
        let made = self.house.as_bearer(&self.admin, "POST", "/api/v1/clusters", cluster(name, team)).await;
        let id = made.json()["id"].as_str().unwrap().to_owned();
        self.house.until(&id, "ONLINE").await;
        id
    }

    /// What may be seen of the log by the bearer of a token, page by page, and where each page says to go on.
    async fn pages(&self, token: &str, limit: usize) -> (Vec<Value>, Vec<i64>) {
        let (mut seen, mut nexts, mut after) = (Vec::new(), Vec::new(), 0);
        loop {
            let path = format!("/api/v1/events?limit={limit}&after={after}");
            let page = self.house.as_bearer(token, "GET", &path, Value::Null).await.json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() == limit || page["has_more"] == false, "{page}");
            seen.extend(items.iter().cloned());
            after = page["next_after"].as_i64().unwrap();
            nexts.push(after);
            if page["has_more"] == false {
                return (seen, nexts);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_out_of_scope_and_one_that_never_was_are_answered_alike() {
    let crowd = Crowd::gather().await;
    let nobody = "00000000-0000-4000-8000-000000000001";
    for scope in [Scope::labels("team=blue".to_owned()).unwrap(), Scope::clusters(&[&crowd.mine]).unwrap()] {
        let token = crowd.house.token(Role::Viewer, scope).await;
        for query in ["limit=1", "limit=5", "limit=1000", "after=7&limit=2", "event_type=CLUSTER_UPDATED"] {
            let about = async |id: &str| {
                let path = format!("/api/v1/events?cluster_id={id}&{query}");
                crowd.house.as_bearer(&token, "GET", &path, Value::Null).await.text()
            };
            let answer = about(&crowd.theirs).await;
            assert_eq!(answer, about(nobody).await, "{query}");
            assert!(answer.contains("\"items\":[]") && answer.contains("\"has_more\":false"), "{answer}");
        }
    }
    let path = format!("/api/v1/events?cluster_id={}&limit=1000", crowd.theirs);
    let all = crowd.house.as_bearer(&crowd.admin, "GET", &path, Value::Null).await.json();
    assert!(all["items"].as_array().unwrap().len() > 70, "an administrator sees them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_a_scoped_caller_tell_nothing_of_what_lies_between_their_events() {
    let crowd = Crowd::gather().await;
    let labels = crowd.house.token(Role::Viewer, Scope::labels("team=blue".to_owned()).unwrap()).await;
    let ids = crowd.house.token(Role::Viewer, Scope::clusters(&[&crowd.mine]).unwrap()).await;
    let (all, _) = crowd.pages(&crowd.admin, 1_000).await;
    let of_mine = |event: &&Value| event["cluster_id"] == crowd.mine.as_str();
    let mine: Vec<Value> = all.iter().filter(of_mine).cloned().collect();
    assert!(mine.len() >= 2, "{mine:?}");
    for limit in [1, 2, 1_000] {
        let (seen, nexts) = crowd.pages(&ids, limit).await;
        assert_eq!(seen, mine, "by {limit}");
        let shown: Vec<_> = seen.iter().map(|event| event["position"].as_i64().unwrap()).collect();
        assert!(nexts.iter().all(|next| shown.contains(next)), "{nexts:?} are not among {shown:?}");
        assert_eq!(nexts.len(), mine.len().div_ceil(limit), "the last page says that it is the last");
        let (seen, _) = crowd.pages(&labels, limit).await;
        let of_gone: Vec<_> =
            seen.iter().filter(|event| !of_mine(event)).map(|event| event["event_type"].clone()).collect();
        assert_eq!(of_gone, ["CLUSTER_REGISTERED", "CLUSTER_DELETED"], "of what is gone, what tells its labels");
        assert_eq!(seen.len(), mine.len() + 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_change_of_labels_brings_into_sight_is_found_by_whoever_asked_in_vain_before() {
    let house = House::guarded().await;
    let admin = house.token(Role::Admin, Scope::Everything).await;
    let viewer = house.token(Role::Viewer, Scope::labels("team=blue".to_owned()).unwrap()).await;
    let made = house.as_bearer(&admin, "POST", "/api/v1/clusters", cluster("late-1", "red")).await.json();
    let path = format!("/api/v1/clusters/{}", made["id"].as_str().unwrap());
    house.until(made["id"].as_str().unwrap(), "ONLINE").await;
    let seen = async || {
        let page = house.as_bearer(&viewer, "GET", "/api/v1/events", Value::Null).await.json();
        let types = page["items"].as_array().unwrap().iter().map(|event| event["event_type"].clone());
        types.collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(seen().await, [json!(null); 0]);
    }
    let moved = house.as_bearer(&admin, "PUT", &path, json!({ "labels": { "team": "blue" } })).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!(seen().await, ["CLUSTER_STATUS_CHANGED", "CLUSTER_UPDATED"]);
    assert_eq!(house.as_bearer(&admin, "PUT", &path, json!({ "labels": { "team": "red" } })).await.status, 200);
    for _ in 0..2 {
        assert_eq!(seen().await, [json!(null); 0]);
    }
    assert_eq!(house.as_bearer(&admin, "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(seen().await, ["CLUSTER_UPDATED"], "what tells that it was blue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_fleet_s_log_ends_is_told_to_those_who_see_all_of_it() {
    let house = House::guarded().await;
    let admin = house.token(Role::Admin, Scope::Everything).await;
    let made = house.as_bearer(&admin, "POST", "/api/v1/clusters", cluster("theirs-1", "red")).await.json();
    house.until(made["id"].as_str().unwrap(), "ONLINE").await;
    let position = async |token: &str| {
        house.as_bearer(token, "GET", "/health/detailed", Value::Null).await.json()["engine"]["event_position"].clone()
    };
    let head = position(&admin).await.as_i64().unwrap();
    let viewer = house.token(Role::Viewer, Scope::labels("team=blue".to_owned()).unwrap()).await;
    assert_eq!(position(&viewer).await, Value::Null);
    let told = async |token: &str| heartbeat(&house, token).await;
    let (known, hidden) = tokio::join!(told(&admin), told(&viewer));
    assert!(known >= head, "{known} {head}");
    // A place in time, not in the log: what is told from now on comes after it.
    assert!(hidden != known && hidden != head && hidden.abs_diff(head) < 600_000_000, "{hidden} {known} {head}");
}

/// The position in the first heartbeat of a stream.
async fn heartbeat(house: &House, token: &str) -> i64 {
    let request = Request::get("/api/v1/events/stream").header("authorization", format!("Bearer {token}"));
    let response = house.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut chunks: BodyDataStream = response.into_body().into_data_stream();
    loop {
        let chunk = tokio::time::timeout(Duration::from_secs(60), chunks.next()).await.expect("in time");
        let text = String::from_utf8(chunk.expect("open").unwrap().to_vec()).unwrap();
        if let Some((_, id)) = text.split_once(": heartbeat\nid: ") {
            return id.trim().parse().unwrap();
        }
    }
}
