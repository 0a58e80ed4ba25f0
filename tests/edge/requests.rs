//! Requests at the real binary: how often, how large, from which page, and what every answer carries.

use std::{sync::Arc, time::Duration};

use fleetbeat::{
    breaker::{Breaker, BreakerRules},
    limits::{Asker, Limiter, Rate, Rates, Shared},
};
use fred::prelude::*;
use serde_json::json;

use crate::support::{Answer, Client, Product, Redis, eventually};

fn guarded() -> Product {
    Product::new().set("auth.tokens.enabled", true)
}

#[track_caller]
fn assert_safe(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("strict-transport-security"), "", "plain HTTP");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_a_browser_safe() {
    let product = Product::new().started().await;
    let client = product.client().with_header("origin", "https://evil.example");
    for path in ["/", "/health", "/api/v1/clusters", "/api/v1/nowhere", "/assets/none.js", "/docs/", "/metrics"] {
        assert_safe(&client.get(path).await);
    }
    assert_safe(&client.post("/api/v1/clusters", &json!({})).await.expect(403));
    assert_eq!(client.get("/api/v1/clusters").await.header("cache-control"), "no-store");
    let body = json!({ "name": "kept", "api_server_url": "https://127.0.0.1:9" });
    let made = product.client().post("/api/v1/clusters", &body).await.expect(201).json();
    let kept = client.get(&format!("/api/v1/clusters/{}", made["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(kept.header("cache-control"), "private, no-cache", "no proxy keeps it for somebody else");
    assert!(!kept.header("etag").is_empty());
}

#[tokio::test]
async fn an_open_api_is_not_reached_under_a_name_that_somebody_made_point_here() {
    let product = Product::new().set("server.allowed_hosts", "fleet.example").started().await;
    let as_host = |host: &str| product.client().with_header("host", host);
    as_host("evil.example:8080").get("/api/v1/clusters").await.expect(421);
    as_host("evil.example").get("/").await.expect(421);
    as_host("fleet.example").get("/api/v1/clusters").await.expect(200);
    as_host("localhost:1").get("/api/v1/clusters").await.expect(200);
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_read_and_ask_first() {
    let portal = "https://portal.example";
    let product = guarded().set("server.cors_allowed_origins", portal).started().await;
    let preflight = async |origin: &str| {
        let client = product.client().with_header("origin", origin).with_header("access-control-request-method", "PUT");
        client.send(hyper::Method::OPTIONS, "/api/v1/clusters", bytes::Bytes::new()).await.unwrap()
    };
    let allowed = preflight(portal).await.expect(204);
    assert_eq!(allowed.header("access-control-allow-origin"), portal);
    assert!(allowed.header("access-control-allow-headers").contains("Authorization"));
    assert_eq!(allowed.header("access-control-allow-credentials"), "");
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), "");
    let read = product.admin().with_header("origin", portal).get("/api/v1/clusters").await.expect(200);
    assert_eq!(read.header("access-control-allow-origin"), portal);
    assert!(read.header("vary").to_ascii_lowercase().contains("origin"));
}

/// Asks faster than once a second for as long as the machine manages that.
async fn until_refused(client: &Client) -> Answer {
    for _ in 0..100 {
        let answer = client.get("/api/v1/clusters").await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("a hundred questions, and none too many");
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_come_back_and_others_are_not_hurt() {
    let product = guarded().set("limits.requests_per_second", 1).set("limits.burst", 5).started().await;
    let (greedy, body) =
        (product.admin(), json!({ "name": "modest", "role": "viewer", "scope": { "everything": true } }));
    let token = greedy.post("/api/v1/tokens", &body).await.expect(201).json()["token"].as_str().unwrap().to_owned();
    let modest = product.bearing(&token);
    let refused = until_refused(&greedy).await;
    assert_eq!(refused.json()["error"]["code"], "RATE_LIMITED");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    modest.get("/api/v1/clusters").await.expect(200);
    for _ in 0..20 {
        product.client().get("/health").await.expect(200);
    }
}

#[tokio::test]
async fn an_address_that_guesses_tokens_is_slowed_down() {
    let product =
        guarded().set("limits.anonymous_requests_per_second", 1).set("limits.anonymous_burst", 5).started().await;
    let guess = product.client().with_header("authorization", "Bearer guess");
    assert_eq!(guess.get("/api/v1/clusters").await.status, 401);
    until_refused(&guess).await;
    product.admin().get("/api/v1/clusters").await.expect(200);
}

#[tokio::test]
async fn two_processes_share_a_caller_s_limit_through_redis() {
    let redis = Redis::start_new().await;
    let clock: Arc<dyn fleetbeat_actors::ports::Clock> = Arc::new(fleetbeat::clock::SystemClock);
    let process = || {
        let rate = Rate { per_second: 0.01, burst: 5.0 };
        let breaker = Arc::new(Breaker::new("redis_limits", Arc::clone(&clock), BreakerRules::default()));
        let shared =
            Arc::new(Shared::start(&redis.url().into(), None, 1, breaker).unwrap().patient(Duration::from_secs(20)));
        Limiter::new(Arc::clone(&clock), Rates { known: rate, unknown: rate }, Some(shared))
    };
    let (one, other) = (process(), process());
    // Until both are connected, each counts for itself.
    eventually(Duration::from_secs(40), async || {
        let _ = one.ask(Asker::Known("warm")).await;
        let _ = other.ask(Asker::Known("warm too")).await;
        let client = redis.client();
        client.init().await.unwrap();
        client.select(1).await.unwrap();
        let keys: Vec<String> = client.custom(fred::cmd!("KEYS"), vec!["ratelimit:user:*:api"]).await.unwrap();
        keys.len() == 2
    })
    .await;
    let mut passed = 0;
    for _ in 0..5 {
        passed += u32::from(one.ask(Asker::Known("ada")).await.is_ok());
        passed += u32::from(other.ask(Asker::Known("ada")).await.is_ok());
    }
    assert_eq!(passed, 5);
    let wait = one.ask(Asker::Known("ada")).await.unwrap_err();
    assert!(wait > Duration::from_secs(60), "{wait:?}");
}

#[tokio::test]
async fn while_redis_is_silent_each_process_counts_for_itself_and_nobody_waits() {
    let mut redis = Redis::start_new().await;
    let product = guarded().set("redis_url", redis.url()).started().await;
    let client = product.admin();
    client.get("/api/v1/clusters").await.expect(200);
    redis.pause();
    for _ in 0..50 {
        client.get("/api/v1/clusters").await.expect(200);
    }
    let metrics = client.get("/metrics?clusters=false").await.expect(200).text();
    let failed = metrics.lines().find_map(|line| line.strip_prefix("fleetbeat_api_shared_limit_errors_total "));
    assert!(failed.is_some_and(|count| count.parse::<u32>().unwrap() <= 10), "{failed:?} of 50 waited");
    let detail = client.get("/health/detailed").await;
    assert_eq!(detail.json()["circuit_breakers"]["redis_limits"], "open", "{}", detail.text());
    redis.resume();
}

#[tokio::test]
async fn what_is_too_long_or_too_deep_is_refused_by_name() {
    let product = Product::new().started().await;
    let client = product.client();
    let long = client.get(&format!("/api/v1/clusters?name={}", "x".repeat(9_000))).await.expect(414);
    assert_eq!(long.json()["error"]["code"], "URI_TOO_LONG");
    let deep = format!("{{\"labels\": {}{}}}", "[".repeat(40), "]".repeat(40));
    let deep = client.send(hyper::Method::POST, "/api/v1/clusters", deep.into()).await.unwrap().expect(400);
    assert_eq!(deep.json()["error"]["details"][0]["field"], "body");
    let many = (0..150).fold(client, |client, at| client.with_header(&format!("x-{at}"), "y"));
    many.get("/health").await.expect(431);
}

#[tokio::test]
async fn health_and_metrics_have_a_listener_of_their_own_on_request() {
    let port = crate::support::free_port();
    let product = guarded().set("server.observability_listen", format!("127.0.0.1:{port}")).started().await;
    let own = Client::new(&format!("http://127.0.0.1:{port}"));
    own.get("/health").await.expect(200);
    own.get("/ready").await.expect(200);
    own.get("/metrics").await.expect(401);
    own.get("/api/v1/clusters").await.expect(404);
    own.get("/").await.expect(404);
    product.client().get("/health").await.expect(200);
}

#[tokio::test]
async fn tokens_over_plain_http_on_the_network_are_warned_of_unless_a_proxy_speaks_tls() {
    let port = crate::support::free_port();
    let mut product = guarded().set("server.listen", format!("0.0.0.0:{port}"));
    product.launch();
    eventually(Duration::from_secs(20), async || product.logs().contains("fleetbeat is ready")).await;
    assert!(product.logs().contains("PLAIN HTTP ON THE NETWORK"));
    product.kill9();
    let mut quiet = guarded().set("server.listen", format!("0.0.0.0:{port}")).set("server.behind_tls_proxy", true);
    quiet.launch();
    eventually(Duration::from_secs(20), async || quiet.logs().contains("fleetbeat is ready")).await;
    assert!(!quiet.logs().contains("PLAIN HTTP"));
}
