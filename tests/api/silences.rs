//! Silences and maintenance windows: what they mute, mark and leave out, and who may make and end them.

use std::time::Duration;

use axum::http::StatusCode;
use fleetbeat::identity::{Role, Scope};
use fleetbeat_actors::{roll::ClusterId, testing::Behaviour};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::house::House;

const LATER: &str = "2027-01-15T20:00:00Z";

async fn register(house: &House, name: &str, team: &str) -> String {
    let url = format!("https://{name}.example:6443");
    let id = house.register_with(json!({ "name": name, "api_server_url": url, "labels": { "team": team } })).await;
    house.until(&id, "ONLINE").await;
    id
}

async fn silence(house: &House, body: Value) -> Value {
    let made = house.json("POST", "/api/v1/silences", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    made.json()
}

async fn fail(house: &House, id: &str) {
    house.fleet.set(id.parse().unwrap(), Behaviour::Refuses);
    house.json("POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    house.until(id, "OFFLINE").await;
}

/// A cluster's history once it has so many transitions.
async fn history(house: &House, id: &str, transitions: usize) -> Value {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let told = house.get(&format!("/api/v1/clusters/{id}/history")).await.json();
        if told["transitions"].as_array().unwrap().len() == transitions {
            return told;
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_silenced_cluster_is_marked_everywhere_and_its_outage_counts_for_nothing() {
    let house = House::build().await;
    let (mine, other) = (register(&house, "mine", "blue").await, register(&house, "other", "red").await);
    let made =
        silence(&house, json!({ "comment": "new switch", "label_selector": "team=blue", "ends_at": LATER })).await;
    assert_eq!((&made["state"], &made["clusters"], &made["may_end"]), (&json!("active"), &json!(1), &json!(true)));
    assert_eq!((&made["current"]["to"], &made["next"]), (&json!(LATER), &Value::Null));
    fail(&house, &mine).await;
    fail(&house, &other).await;
    let told = history(&house, &mine, 2).await;
    assert_eq!(told["transitions"][0]["silenced_by"], json!([made["id"]]), "{told}");
    assert!(told["transitions"][1].get("silenced_by").is_none(), "before the silence was made: {told}");
    assert_eq!(
        (&told["silences"][0]["silence_id"], &told["silences"][0]["comment"]),
        (&made["id"], &json!("new switch"))
    );
    let told = history(&house, &other, 2).await;
    assert!(told["transitions"][0].get("silenced_by").is_none() && told["silences"] == json!([]), "{told}");
    let uptime = |id: String| {
        let house = &house;
        async move { house.get(&format!("/api/v1/clusters/{id}/uptime")).await.json() }
    };
    let (quiet, loud) = (uptime(mine.clone()).await, uptime(other.clone()).await);
    assert_eq!(
        (&quiet["outages"], &quiet["down_seconds"], &quiet["state"]),
        (&json!(0), &json!(0.0), &json!("OFFLINE"))
    );
    assert!(quiet["excluded_seconds"].as_f64().unwrap() > 0.0, "{quiet}");
    assert_eq!((&loud["outages"], &loud["excluded_seconds"]), (&json!(1), &json!(0.0)));
    let events = house.get(&format!("/api/v1/events?event_type=CLUSTER_STATUS_CHANGED&cluster_id={mine}")).await.json();
    let events = events["items"].as_array().unwrap();
    assert_eq!(events.last().unwrap()["silenced_by"], json!([made["id"]]), "{events:?}");
    assert!(events[0].get("silenced_by").is_none(), "{events:?}");
    let shown = house.get(&format!("/api/v1/clusters/{mine}")).await;
    assert_eq!(shown.json()["silenced_by"], json!([made["id"]]));
    assert!(house.get(&format!("/api/v1/clusters/{other}")).await.json().get("silenced_by").is_none());
    let tiles = house.get("/api/v1/fleet/tiles").await.json();
    let silenced: Vec<_> = tiles["tiles"].as_array().unwrap().iter().filter(|tile| tile["silenced"] == true).collect();
    assert_eq!((silenced.len(), &silenced[0]["name"]), (1, &json!("mine")));
    let metrics = house.get("/metrics").await.text();
    for (name, value) in [("mine", 1), ("other", 0)] {
        let line =
            metrics.lines().find(|line| line.starts_with(&format!("fleetbeat_cluster_silenced{{cluster=\"{name}\"")));
        assert!(line.unwrap().ends_with(&format!("}} {value}")), "{line:?}");
    }
    let ended = house.json("POST", &format!("/api/v1/silences/{}/end", made["id"].as_str().unwrap()), json!({})).await;
    assert_eq!((ended.status, &ended.json()["state"]), (StatusCode::OK, &json!("expired")));
    let again = house.json("POST", &format!("/api/v1/silences/{}/end", made["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(again.code(), "NOT_FOUND");
    let after = house.get(&format!("/api/v1/clusters/{mine}")).await;
    assert!(after.json().get("silenced_by").is_none() && after.header("etag") != shown.header("etag"));
    assert_eq!(
        history(&house, &mine, 2).await["transitions"][0]["silenced_by"],
        json!([made["id"]]),
        "it stays marked"
    );
}

#[tokio::test]
async fn the_calendar_answers_whoever_wants_to_notify() {
    let house = House::build().await;
    let (mine, other) = (register(&house, "mine", "blue").await, register(&house, "other", "red").await);
    let entry = |id: &str| house.engine.board().get(id.parse::<ClusterId>().unwrap()).unwrap();
    let calendar = house.silences.calendar();
    let now = house.clock.wall();
    assert!(calendar.muting(&entry(&mine).cluster, now).is_empty());
    let made = silence(&house, json!({ "comment": "work", "cluster_ids": [mine], "ends_at": LATER })).await;
    let id: uuid::Uuid = serde_json::from_value(made["id"].clone()).unwrap();
    let now = house.clock.wall();
    assert_eq!(calendar.muting(&entry(&mine).cluster, now), [id]);
    assert!(!calendar.mutes(&entry(&other).cluster, now));
    let over = LATER.parse().unwrap();
    assert!(!calendar.mutes(&entry(&mine).cluster, over), "its end is not in it");
    assert!(calendar.mutes(&entry(&mine).cluster, now), "the present is answered after the future");
    assert!(!calendar.mutes(&entry(&mine).cluster, now - chrono::TimeDelta::hours(1)), "nothing before it was made");
}

#[tokio::test]
async fn a_repeated_window_shows_its_next_time_and_survives_a_restart() {
    let house = House::build().await;
    register(&house, "mine", "blue").await;
    // The house begins on a Friday, 2027-01-15 08:00 UTC.
    let body = json!({ "comment": "sundays", "label_selector": "team", "starts_at": "2027-01-10T01:00:00Z",
        "ends_at": "2027-01-10T03:00:00Z", "rrule": "FREQ=WEEKLY;BYDAY=SU", "time_zone": "Europe/Berlin" });
    let made = silence(&house, body).await;
    assert_eq!((&made["state"], &made["current"]), (&json!("upcoming"), &Value::Null));
    assert_eq!(made["next"], json!({ "from": "2027-01-17T01:00:00Z", "to": "2027-01-17T03:00:00Z" }));
    let keep = chrono::TimeDelta::days(90);
    let again = fleetbeat::silences::Silences::load(house.store.clone(), house.clock.clone(), keep).await.unwrap();
    let (again, known) = (again.calendar().list(), house.silences.calendar().list());
    assert_eq!((again.len(), again[0].id, &again[0].schedule), (1, known[0].id, &known[0].schedule));
    assert_eq!(house.get("/api/v1/silences?state=upcoming").await.json()["total"], 1);
    assert_eq!(house.get("/api/v1/silences?state=active&state=expired").await.json()["total"], 0);
}

#[tokio::test]
async fn bad_silences_name_their_fields() {
    let house = House::build().await;
    let id = register(&house, "mine", "blue").await;
    let good = json!({ "comment": "x", "label_selector": "team=blue", "ends_at": LATER });
    let table: Vec<(Value, &str)> = vec![
        (json!({ "comment": "" }), "comment"),
        (json!({ "comment": "a\nb" }), "comment"),
        (json!({ "comment": 1 }), "comment"),
        (json!({ "comment": "x".repeat(501) }), "comment"),
        (json!({ "label_selector": "a b" }), "label_selector"),
        (json!({ "label_selector": "" }), "label_selector"),
        (json!({ "label_selector": null }), "label_selector"),
        (json!({ "cluster_ids": "x" }), "cluster_ids"),
        (json!({ "cluster_ids": [id, "00000000-0000-0000-0000-000000000001"] }), "cluster_ids[1]"),
        (json!({ "label_selector": null, "cluster_ids": [] }), "cluster_ids"),
        (json!({ "starts_at": "now" }), "starts_at"),
        (json!({ "starts_at": "1970-01-01T00:00:00Z", "ends_at": "1970-01-02T00:00:00Z" }), "starts_at"),
        (json!({ "ends_at": null }), "ends_at"),
        (json!({ "ends_at": "2027-01-15T07:00:00Z" }), "ends_at"),
        (json!({ "ends_at": "2030-01-15T07:00:00Z" }), "ends_at"),
        (json!({ "rrule": "FREQ=SECONDLY" }), "rrule"),
        (json!({ "rrule": "" }), "rrule"),
        (json!({ "rrule": "FREQ=DAILY", "time_zone": "Mars/Olympus" }), "time_zone"),
        (json!({ "time_zone": 1 }), "time_zone"),
        (json!({ "colour": "red" }), "colour"),
    ];
    for (change, field) in table {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = house.json("POST", "/api/v1/silences", body).await;
        assert_eq!((answer.status, answer.fields()), (StatusCode::BAD_REQUEST, vec![field.to_owned()]), "{change}");
    }
    assert_eq!(house.get("/api/v1/silences").await.json(), json!({ "items": [], "total": 0 }));
    assert_eq!(house.get("/api/v1/silences/x").await.fields(), ["id"]);
    assert_eq!(house.get("/api/v1/silences?state=loud").await.fields(), ["state"]);
}

#[tokio::test]
async fn nobody_silences_or_sees_more_than_their_scope() {
    let house = House::guarded().await;
    let admin = house.token(Role::Admin, Scope::Everything).await;
    let blue = house.token(Role::Operator, Scope::labels("team=blue".to_owned()).unwrap()).await;
    let mut ids = Vec::new();
    for (name, team) in [("mine", "blue"), ("theirs", "red")] {
        let url = format!("https://{name}.example:6443");
        let body = json!({ "name": name, "api_server_url": url, "labels": { "team": team } });
        ids.push(house.as_bearer(&admin, "POST", "/api/v1/clusters", body).await.json()["id"].clone());
        house.until(ids.last().unwrap().as_str().unwrap(), "ONLINE").await;
    }
    let make = |token: String, body: Value| {
        let house = &house;
        async move { house.as_bearer(&token, "POST", "/api/v1/silences", body).await }
    };
    let wide =
        make(blue.clone(), json!({ "comment": "all teams", "label_selector": "team", "ends_at": LATER })).await.json();
    assert_eq!(wide["clusters"], 1, "it reaches no further than its maker sees: {wide}");
    let theirs = house.engine.board().by_name("theirs").unwrap().cluster;
    assert!(!house.silences.calendar().mutes(&theirs, house.clock.wall()));
    let foreign = make(blue.clone(), json!({ "comment": "x", "cluster_ids": [ids[1]], "ends_at": LATER })).await;
    assert_eq!(foreign.fields(), ["cluster_ids[0]"]);
    let red =
        make(admin.clone(), json!({ "comment": "red", "label_selector": "team=red", "ends_at": LATER })).await.json();
    let both = make(admin.clone(), json!({ "comment": "both", "cluster_ids": ids, "ends_at": LATER })).await.json();
    let seen = house.as_bearer(&blue, "GET", "/api/v1/silences", Value::Null).await;
    let comments: Vec<_> = seen.json()["items"].as_array().unwrap().iter().map(|one| one["comment"].clone()).collect();
    assert_eq!(comments, ["both", "all teams"]);
    assert!(!seen.text().contains(ids[1].as_str().unwrap()), "{}", seen.text());
    let end = |token: String, id: Value| {
        let house = &house;
        let path = format!("/api/v1/silences/{}/end", id.as_str().unwrap());
        async move { house.as_bearer(&token, "POST", &path, Value::Null).await }
    };
    assert_eq!(end(blue.clone(), red["id"].clone()).await.code(), "NOT_FOUND");
    assert_eq!(end(blue.clone(), both["id"].clone()).await.code(), "PERMISSION_DENIED");
    assert_eq!(end(blue.clone(), wide["id"].clone()).await.status, StatusCode::OK);
    assert_eq!(end(admin.clone(), both["id"].clone()).await.status, StatusCode::OK);
    let audit = house.as_bearer(&admin, "GET", "/api/v1/audit?action=silence.end", Value::Null).await.json();
    assert_eq!(audit["items"].as_array().unwrap().iter().filter(|row| row["outcome"] == "succeeded").count(), 2);
    let audit = house.as_bearer(&admin, "GET", "/api/v1/audit?action=silence.create", Value::Null).await.json();
    let last = &audit["items"][0];
    assert_eq!((&last["object"], &last["details"]["comment"]), (&both["id"], &json!("both")), "{audit}");
}

#[tokio::test]
async fn the_live_stream_tells_of_silenced_transitions_with_their_mark() {
    let house = House::guarded().await;
    let admin = house.token(Role::Admin, Scope::Everything).await;
    let body = json!({ "name": "mine", "api_server_url": "https://mine.example:6443", "labels": { "team": "blue" } });
    let id = house.as_bearer(&admin, "POST", "/api/v1/clusters", body).await.json()["id"].as_str().unwrap().to_owned();
    house.until(&id, "ONLINE").await;
    let body = json!({ "comment": "work", "label_selector": "team=blue", "ends_at": LATER });
    let made = house.as_bearer(&admin, "POST", "/api/v1/silences", body).await.json();
    let mut stream = house.stream(&admin).await.into_data_stream();
    house.fleet.set(id.parse().unwrap(), Behaviour::Refuses);
    house.as_bearer(&admin, "POST", &format!("/api/v1/clusters/{id}/refresh"), json!({})).await;
    let read = async {
        let mut text = String::new();
        while !text.contains("\"new_state\":\"OFFLINE\"") {
            text.push_str(&String::from_utf8_lossy(&stream.next().await.unwrap().unwrap()));
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
    let line = text.lines().find(|line| line.contains("\"new_state\":\"OFFLINE\"")).unwrap();
    let event: Value = serde_json::from_str(line.trim_start_matches("data: ")).unwrap();
    assert_eq!(event["silenced_by"], json!([made["id"]]), "{event}");
}
