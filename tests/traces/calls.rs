//! Spans of what requests ask of PostgreSQL and of Redis, and the share of requests that is traced at all.

use serde_json::json;

use crate::collector::{Collector, Span};
use crate::support::{Postgres, Product, Redis, eventually};
use crate::{PARENT, TRACE, WITHIN, around, of_trace, traced};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_s_trace_goes_on_into_postgresql_and_redis() {
    let (redis, collector) = (Redis::start_new().await, Collector::start().await);
    let product = Product::new()
        .set("tracing.otlp_endpoint", collector.url())
        .set("database_url", Postgres::shared().await.database().await)
        .set("redis_url", redis.url())
        .set("auth.tokens.enabled", true)
        .set("health_check.enabled", false)
        .started()
        .await;
    let caller = traced(&product.admin());
    let body = json!({ "name": "one", "api_server_url": "https://127.0.0.1:9" });
    caller.post("/api/v1/clusters", &body).await.expect(201);
    // The audit log is read from the database; how often a caller may ask is counted in Redis.
    let spans = eventually(WITHIN, async || {
        caller.get("/api/v1/audit").await.expect(200);
        let spans = collector.spans();
        let all = ["POST /api/v1/clusters", "postgresql write", "GET /api/v1/audit", "postgresql read", "redis EVAL"];
        let missing: Vec<_> = all.into_iter().filter(|name| of_trace(&spans, name).is_none()).collect();
        if missing.is_empty() { Ok(spans) } else { Err(missing) }
    })
    .await;
    let request = of_trace(&spans, "POST /api/v1/clusters").unwrap();
    assert_eq!((request.parent_id.as_str(), request.trace_state.as_str()), (PARENT, "aiops=gateway"));
    // A call ends, and is sent, before the request that it is a part of.
    eventually(WITHIN, async || {
        let spans = collector.spans();
        let of_a_request = |call: &Span| around(&spans, call).last().is_some_and(|one| one.parent_id == PARENT);
        let mut calls = spans.iter().filter(|span| span.trace_id == TRACE && span.parent_id != PARENT);
        calls.find(|call| !of_a_request(call)).map_or(Ok(()), |orphan| Err(orphan.name.clone()))
    })
    .await;
    for (name, system) in
        [("postgresql write", "postgresql"), ("postgresql read", "postgresql"), ("redis EVAL", "redis")]
    {
        assert_eq!(of_trace(&spans, name).unwrap().attribute("db.system.name"), system);
    }
    let write = of_trace(&spans, "postgresql write").unwrap();
    let around: Vec<_> = around(&spans, write).into_iter().map(|span| &*span.span_id).collect();
    assert_eq!((around.len(), around.last()), (2, Some(&&*request.span_id)), "the registration wrote");
    // Events of many requests are published together, in a trace of its own.
    let published =
        eventually(WITHIN, async || collector.spans().into_iter().find(|span| span.name == "redis publish")).await;
    assert!(published.trace_id != TRACE && published.parent_id.is_empty(), "{published:?}");
    assert_eq!(published.attribute("messaging.batch.message_count"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_of_the_requests_is_traced_and_of_those_with_a_caller_s_trace_what_it_says() {
    const ASKED: usize = 400;
    let collector = Collector::start().await;
    let mut product = Product::new()
        .set("tracing.otlp_endpoint", collector.url())
        .set("tracing.sample_ratio", 0.25)
        .set("health_check.enabled", false)
        .started()
        .await;
    let client = product.client();
    let begin = collector.spans().len();
    for _ in 0..ASKED {
        // Every answer names its trace, whether or not that is sent.
        let answer = client.get("/api/v1/clusters/by-name/nobody").await.expect(404).json();
        assert_eq!(answer["error"]["trace_id"].as_str().map(str::len), Some(32), "{answer}");
    }
    let decided = |flag: &str| client.clone().with_header("traceparent", &format!("00-{TRACE}-{PARENT}-{flag}"));
    for _ in 0..20 {
        decided("01").get("/api/v1/fleet/summary").await.expect(200);
        decided("00").get("/api/v1/fleet/health").await.expect(200);
    }
    product.terminate(std::time::Duration::from_secs(20)).await;
    let spans = collector.spans().split_off(begin);
    let of = |name: &str| spans.iter().filter(|span| span.name == name).count();
    // A quarter of 400 is 100; five standard deviations are 43.
    let own = of("GET /api/v1/clusters/by-name/{name}");
    assert!((57..=143).contains(&own), "{own} of {ASKED}");
    assert_eq!((of("GET /api/v1/fleet/summary"), of("GET /api/v1/fleet/health")), (20, 0));
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    let known = |span: &Span| span.parent_id.is_empty() || span.parent_id == PARENT || ids.contains(&span.parent_id);
    assert!(spans.iter().all(known), "a call was traced whose request was not");
}
