//! Whatever callers send, they get an error that names what is wrong.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};

use crate::house::{House, steady};

fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/api/v1/clusters").header("content-type", "application/json").body(body.into()).unwrap()
}

#[tokio::test]
async fn bad_bodies_name_their_fields() {
    let house = House::build().await;
    let url = "https://a.example:6443";
    let table: Vec<(Value, &str, &str)> = vec![
        (json!({"name": "Bad_Name", "api_server_url": url}), "INVALID_CLUSTER_NAME", "name"),
        (json!({"name": "a\u{0}bc", "api_server_url": url}), "INVALID_CLUSTER_NAME", "name"),
        (json!({"api_server_url": url}), "INVALID_REQUEST", "name"),
        (json!({"name": 5, "api_server_url": url}), "INVALID_REQUEST", "name"),
        (json!({"name": "abc"}), "INVALID_REQUEST", "api_server_url"),
        (json!({"name": "abc", "api_server_url": "ftp://x"}), "INVALID_REQUEST", "api_server_url"),
        (json!({"name": "abc", "api_server_url": "https://u:p@x"}), "INVALID_REQUEST", "api_server_url"),
        (json!({"name": "abc", "api_server_url": url, "colour": 1}), "INVALID_REQUEST", "colour"),
        (json!({"name": "abc", "api_server_url": url, "status": {}}), "INVALID_REQUEST", "status"),
        (json!({"name": "abc", "api_server_url": url, "cluster_type": "spoke"}), "INVALID_REQUEST", "cluster_type"),
        (json!({"name": "abc", "api_server_url": url, "region": "a\nb"}), "INVALID_REQUEST", "region"),
        (json!({"name": "abc", "api_server_url": url, "region": "x".repeat(65)}), "INVALID_REQUEST", "region"),
        (json!({"name": "abc", "api_server_url": url, "labels": []}), "INVALID_REQUEST", "labels"),
        (json!({"name": "abc", "api_server_url": url, "labels": {"a": "b c"}}), "INVALID_REQUEST", "labels.a"),
        (json!({"name": "abc", "api_server_url": url, "ca_bundle": "x"}), "INVALID_REQUEST", "ca_bundle"),
        (
            json!({"name": "abc", "api_server_url": url, "health_check": {"interval_seconds": 4}}),
            "INVALID_REQUEST",
            "health_check.interval_seconds",
        ),
        (json!([]), "INVALID_REQUEST", "body"),
    ];
    for (body, code, field) in table {
        let answer = house.send(post(body.to_string())).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code), "{body}");
        assert_eq!(answer.fields(), [field], "{body}");
    }
    assert_eq!(house.get("/api/v1/clusters").await.json()["total"], json!(0));
}

#[tokio::test]
async fn bad_envelopes_are_refused_in_the_envelope() {
    let house = House::build().await;
    let malformed = house.send(post("{\"name\": \"abc\",\n  oops}")).await;
    insta::assert_json_snapshot!("malformed", steady(malformed.json()));
    let untyped = Request::post("/api/v1/clusters").body(Body::from("{}")).unwrap();
    let large = post("x".repeat(10 << 20));
    let told = Request::post("/api/v1/clusters").header("content-type", "application/json");
    let told = told.header("content-length", "10485760").body(Body::from("{}")).unwrap();
    let deep = post("[".repeat(100_000));
    let elsewhere = Request::get("/api/v1/nothing").body(Body::empty()).unwrap();
    let method = Request::delete("/api/v1/clusters").body(Body::empty()).unwrap();
    let id = Request::get("/api/v1/clusters/not-a-uuid").body(Body::empty()).unwrap();
    let bad_utf8 = Request::get("/api/v1/clusters/%ff").body(Body::empty()).unwrap();
    let name = Request::get("/api/v1/clusters/by-name/Bad%00").body(Body::empty()).unwrap();
    for (request, status, code) in [
        (untyped, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (large, 413, "PAYLOAD_TOO_LARGE"),
        (told, 413, "PAYLOAD_TOO_LARGE"),
        (deep, 400, "INVALID_REQUEST"),
        (elsewhere, 404, "NOT_FOUND"),
        (method, 405, "METHOD_NOT_ALLOWED"),
        (id, 400, "INVALID_REQUEST"),
        (bad_utf8, 400, "INVALID_REQUEST"),
        (name, 400, "INVALID_CLUSTER_NAME"),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = house.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{what}");
        assert!(!answer.header("x-request-id").is_empty());
        assert!(status != 405 || answer.header("allow").contains("POST"), "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let house = House::build().await;
    for (query, parameter) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=1e9", "page"),
        ("page=99999999999999999999", "page"),
        ("page=1&page=2", "page"),
        ("page_size=101", "page_size"),
        ("page_size=", "page_size"),
        ("limit=0", "limit"),
        ("limit=5&page=1", "limit"),
        ("continue=zz", "continue"),
        ("continue=7b7d", "continue"),
        ("sort=colour", "sort"),
        ("state=online", "state"),
        ("cluster_type=MOON", "cluster_type"),
        ("has_gpu=yes", "has_gpu"),
        ("label=novalue", "label"),
        ("label_selector=a%20in%20(b", "label_selector"),
        ("name=%00", "name"),
        ("regoin=eu", "regoin"),
    ] {
        let answer = house.get(&format!("/api/v1/clusters?{query}")).await;
        assert_eq!((answer.status, answer.fields()), (StatusCode::BAD_REQUEST, vec![parameter.to_owned()]), "{query}");
    }
    for (path, parameter) in [
        ("/api/v1/events?after=-1", "after"),
        ("/api/v1/events?limit=100000", "limit"),
        ("/api/v1/events?event_type=NOPE", "event_type"),
        ("/api/v1/events?cluster_id=1", "cluster_id"),
        ("/api/v1/fleet/summary?x=1", "x"),
        ("/health?x=1", "x"),
    ] {
        assert_eq!(house.get(path).await.fields(), [parameter], "{path}");
    }
    let many = "label=a%3Db&".repeat(17);
    assert_eq!(house.get(&format!("/api/v1/clusters?{many}")).await.fields(), ["label"]);
}

#[tokio::test]
async fn those_who_ask_get_a_problem_and_their_own_ids_back() {
    let house = House::build().await;
    let request = Request::get("/api/v1/clusters/x")
        .header("accept", "application/problem+json")
        .header("x-request-id", "mine-1")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let answer = house.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("x-request-id"), "mine-1");
    let body = answer.json();
    assert_eq!(body["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&body["status"], &body["title"]), (&json!(400), &json!("Bad Request")));
}
