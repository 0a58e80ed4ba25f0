//! Lists and the fleet as a whole.

use std::{collections::BTreeSet, sync::Arc};

use fleetbeat::exposition::Collector;
use fleetbeat_actors::{
    board::Entry,
    health::{State, Status},
    roll::{Cluster, Environment},
    testing::{cluster, instant},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::house::{House, steady};

/// Puts `count` clusters on the board alone: every tenth OFFLINE, every third in production.
fn furnish(house: &House, count: usize) {
    for i in 0..count {
        let labels = [("team".to_owned(), format!("t{}", i % 7))].into();
        let environment = if i % 3 == 0 { Environment::Production } else { Environment::Lab };
        let cluster = Cluster { labels, environment, ..cluster(&format!("spoke-{i:05}")) };
        let state = if i % 10 == 0 { State::Offline } else { State::Online };
        let health_score = if i % 10 == 0 { 50 } else { 100 };
        let status = Status { state, health_score, ..Status::unknown(cluster.created_at) };
        let (checked, fresh_for) = (instant(), std::time::Duration::from_secs(600));
        house.engine.board().put(Entry { cluster: Arc::new(cluster), status: Arc::new(status), checked, fresh_for });
    }
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_cover_everything_once() {
    let house = House::build().await;
    furnish(&house, 45);
    let first = house.get("/api/v1/clusters").await.json();
    assert_eq!((&first["total"], &first["page_size"], &first["total_pages"]), (&json!(45), &json!(20), &json!(3)));
    let third = house.get("/api/v1/clusters?page=3&page_size=20").await.json();
    assert_eq!(names(&third), ["spoke-00040", "spoke-00041", "spoke-00042", "spoke-00043", "spoke-00044"]);
    let beyond = house.get("/api/v1/clusters?page=100000&page_size=100").await.json();
    assert_eq!((names(&beyond).len(), &beyond["total"]), (0, &json!(45)));
}

#[tokio::test]
async fn keysets_cover_everything_once_in_every_order() {
    let house = House::build().await;
    furnish(&house, 57);
    for sort in ["name", "-name", "state", "-state", "health_score", "-updated_at", "last_check_at"] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let list = house.get(&format!("/api/v1/clusters?limit=10&sort={sort}{token}")).await.json();
            seen.extend(names(&list));
            assert_eq!(list["remaining"].as_u64().unwrap() as usize, 57 - seen.len());
            match list["continue"].as_str() {
                Some(next) => token = format!("&continue={next}"),
                None => break,
            }
        }
        assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (57, 57), "{sort}");
        if sort == "-state" {
            assert!(seen[..6].iter().all(|name| name.ends_with('0')), "{seen:?}");
        }
    }
    let token = house.get("/api/v1/clusters?limit=1").await.json()["continue"].as_str().unwrap().to_owned();
    let other = house.get(&format!("/api/v1/clusters?limit=1&sort=-name&continue={token}")).await;
    assert_eq!(other.fields(), ["continue"]);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let house = House::build().await;
    furnish(&house, 60);
    for (query, total) in [
        ("state=OFFLINE", 6),
        ("state=OFFLINE&state=ONLINE", 60),
        ("environment=PRODUCTION", 20),
        ("environment=PRODUCTION&state=OFFLINE", 2),
        ("name=0001", 11),
        ("label=team%3Dt1", 9),
        ("label_selector=team%20in%20(t1,t2)", 18),
        ("label_selector=!team", 0),
        ("has_gpu=true", 0),
        ("has_cnf=false", 60),
        ("stale=false", 60),
        ("region=eu", 0),
        ("cluster_type=SPOKE&platform=OPENSHIFT", 60),
    ] {
        assert_eq!(house.get(&format!("/api/v1/clusters?{query}")).await.json()["total"], json!(total), "{query}");
    }
}

#[tokio::test]
async fn a_filtered_page_of_ten_thousand_is_quick() {
    let house = House::build().await;
    furnish(&house, 10_000);
    let path = "/api/v1/clusters?state=OFFLINE&label_selector=team%20in%20(t1,t2,t3)&page_size=100";
    let mut took = Vec::new();
    for _ in 0..11 {
        let began = Instant::now();
        assert_eq!(names(&house.get(path).await.json()).len(), 100);
        took.push(began.elapsed());
    }
    took.sort();
    println!("a filtered page of 100 out of 10,000: {:?} (median, debug build)", took[5]);
    assert!(took[5].as_millis() < 250, "{took:?}");
}

#[tokio::test]
async fn the_fleet_is_counted() {
    let house = House::build().await;
    furnish(&house, 20);
    insta::assert_json_snapshot!("summary", house.get("/api/v1/fleet/summary").await.json());
    insta::assert_json_snapshot!("fleet_health", steady(house.get("/api/v1/fleet/health").await.json()));
    insta::assert_json_snapshot!("capabilities", house.get("/api/v1/fleet/capabilities").await.json());
}

#[tokio::test]
async fn the_series_of_ten_thousand_come_in_small_chunks() {
    let house = House::build().await;
    furnish(&house, 10_000);
    let began = Instant::now();
    let (mut chunks, mut largest, mut bytes) = (0, 0, 0);
    for chunk in Collector::default().collect(house.engine.board(), |_| true, None, None, instant()) {
        (chunks, largest, bytes) = (chunks + 1, largest.max(chunk.len()), bytes + chunk.len());
    }
    println!("10,000 clusters: {bytes} bytes in {chunks} chunks, {:?} (debug build)", began.elapsed());
    assert!(largest < 260 * 1024 && bytes > 9_000_000, "{largest} {bytes}");
}

#[tokio::test]
async fn tiles_show_the_whole_fleet_at_once() {
    let house = House::build().await;
    furnish(&house, 700);
    let all = house.get("/api/v1/fleet/tiles").await.json();
    let tiles = all["tiles"].as_array().unwrap();
    assert_eq!((tiles.len(), &all["total_clusters"], &all["held"]), (700, &json!(700), &json!(false)));
    let tile = tiles.iter().find(|tile| tile["name"] == "spoke-00010").unwrap();
    assert_eq!(
        (&tile["state"], &tile["labels"], &tile["stale"]),
        (&json!("OFFLINE"), &json!({"team": "t3"}), &json!(false))
    );
}

#[tokio::test]
async fn tiles_after_a_time_are_those_checked_since_without_their_specs() {
    let house = House::build().await;
    furnish(&house, 5);
    let id = house.register_with(json!({"name": "abc", "api_server_url": "https://x"})).await;
    house.until(&id, "ONLINE").await;
    let early = house.get("/api/v1/fleet/tiles?checked_after=1970-01-01T00:00:00Z").await.json();
    assert_eq!((early["tiles"].as_array().unwrap().len(), &early["total_clusters"]), (1, &json!(6)));
    assert_eq!((&early["tiles"][0]["id"], &early["tiles"][0]["name"]), (&json!(id), &Value::Null));
    let document = house.get("/api/v1/openapi.json").await.json();
    let tile = document["components"]["schemas"]["Tile"].to_string();
    assert!(tile.contains(r#""name""#) && !required_in(&tile).contains(&"name".to_owned()), "{tile}");
    let late = house.get("/api/v1/fleet/tiles?checked_after=2999-01-01T00:00:00Z").await.json();
    assert_eq!(late["tiles"], json!([]));
    assert_eq!(house.get("/api/v1/fleet/tiles?checked_after=soon").await.fields(), ["checked_after"]);
}

/// Every name in a `required` list of a schema.
fn required_in(schema: &str) -> Vec<String> {
    let lists = schema.split(r#""required":"#).skip(1);
    lists
        .flat_map(|list| serde_json::Deserializer::from_str(list).into_iter::<Vec<String>>().next())
        .flatten()
        .flatten()
        .collect()
}
