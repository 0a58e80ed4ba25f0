//! Traces of the real binary: where they begin, how they go on, who is told of them and who never is.
#![cfg(test)]

mod calls;
#[allow(dead_code, reason = "the tests of canaries use the rest")]
mod collector;
#[path = "../probes/spoke.rs"]
#[allow(dead_code, reason = "the probes' tests use the rest")]
mod spoke;
#[path = "../support/mod.rs"]
mod support;
mod tree;

use std::time::Duration;

use serde_json::{Value, json};

use collector::{Collector, Span};
use spoke::{Act, Authority, Serving, Spoke};
use support::{Client, Product, Scratch, eventually, kubeconfig};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const WITHIN: Duration = Duration::from_secs(15);

fn traced(client: &Client) -> Client {
    let client = client.clone().with_header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    client.with_header("tracestate", "aiops=gateway")
}

fn of_trace<'a>(spans: &'a [Span], name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.trace_id == TRACE && span.name == name)
}

/// The spans that a span is a part of, the nearest first.
fn around<'a>(spans: &'a [Span], span: &Span) -> Vec<&'a Span> {
    let parent = |of: &Span| spans.iter().find(|other| other.trace_id == of.trace_id && other.span_id == of.parent_id);
    std::iter::successors(parent(span), |inner| parent(inner)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_continues_its_caller_s_trace_to_the_database_and_never_to_the_spoke() {
    let (scratch, authority, collector) = (Scratch::new(), Authority::new(), Collector::start().await);
    let spoke = Spoke::start(&authority, Serving::Good, |_| Act::status(200));
    let mut product = Product::new()
        .set("tracing.otlp_endpoint", collector.url())
        .set("tracing.service_name", "fleet-under-test")
        .set("log.format", "json")
        .set("log.level", "debug")
        .set("probes.ca_file", scratch.write("ca.pem", &authority.pem(), None).display())
        .started()
        .await;
    let client = traced(&product.client());
    let made = client.post("/api/v1/clusters", &json!({ "name": "one", "api_server_url": spoke.https() })).await;
    let id = made.expect(201).json()["id"].as_str().unwrap().to_owned();
    let spans = eventually(WITHIN, async || {
        let spans = collector.spans();
        let request = of_trace(&spans, "POST /api/v1/clusters").cloned();
        let write = of_trace(&spans, "sqlite write").cloned();
        match request.zip(write) {
            Some((request, write)) => Ok((request, write, spans)),
            None => Err(spans),
        }
    });
    let (request, write, spans) = spans.await;
    assert_eq!((request.parent_id.as_str(), request.trace_state.as_str()), (PARENT, "aiops=gateway"));
    let names: Vec<_> = around(&spans, &write).into_iter().map(|span| (&*span.name, &*span.span_id)).collect();
    let [("backend request", work), ("POST /api/v1/clusters", whole)] = names[..] else { panic!("{names:?}") };
    assert_eq!((work, whole), (&*write.parent_id, &*request.span_id));
    assert_eq!(request.attribute("http.response.status_code"), "201");
    assert_eq!(request.attribute("http.route"), "/api/v1/clusters");
    assert_eq!(collector.service(), "fleet-under-test");

    eventually(WITHIN, async || !spoke.heads().is_empty()).await;
    let before = spoke.heads().len();
    client.post(&format!("/api/v1/clusters/{id}/refresh"), &Value::Null).await;
    eventually(WITHIN, async || spoke.heads().len() > before).await;
    for head in spoke.heads() {
        let head = head.to_lowercase();
        assert!(!head.contains("traceparent") && !head.contains("tracestate"), "{head}");
    }

    let missing = client.get("/api/v1/clusters/nobody").await;
    assert!(missing.status >= 400);
    assert_eq!(missing.json()["error"]["trace_id"], TRACE, "{}", missing.text());
    let own = product.client().get("/api/v1/clusters/nobody").await.json()["error"]["trace_id"].clone();
    product.terminate(Duration::from_secs(20)).await;
    // What was not sent yet is sent at the end, under the id that the caller was shown.
    assert!(collector.spans().iter().any(|span| own == json!(span.trace_id)), "{own}");
    let within = |line: &Value| line["span"]["trace_id"] == json!(TRACE);
    let lines = product.logs();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(lines.into_iter().any(|line| within(&line)), "no line inside a request names its trace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_is_told_of_the_trace_and_left_alone_when_it_fails() {
    let (scratch, authority, collector) = (Scratch::new(), Authority::new(), Collector::start().await);
    let hub = Spoke::start(&authority, Serving::Good, |_| Act::status(503));
    let product = Product::new()
        .set("tracing.otlp_endpoint", collector.url())
        .set("auth.tokens.enabled", true)
        .set("auth.kubernetes.enabled", true)
        .set("auth.kubernetes.grants", r#"[{"group": "*", "role": "viewer"}]"#)
        .set("circuit_breaker.failure_threshold", 2)
        .set(
            "hub.kubeconfig",
            scratch.write("hub", &kubeconfig(&hub.https(), &authority.pem(), "token: a-hub-token"), None).display(),
        )
        .started()
        .await;
    let admin = product.admin();
    let state = async || {
        let detail = admin.get("/health/detailed").await.json();
        detail["circuit_breakers"]["hub_kubernetes"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(state().await, "closed");
    let mut number = 0;
    eventually(WITHIN, async || {
        number += 1;
        let token = format!("Bearer a-token-of-the-hub-{number}");
        traced(&product.client()).with_header("authorization", &token).get("/api/v1/whoami").await;
        state().await == "open"
    })
    .await;
    let heads = hub.heads();
    assert!(heads.iter().all(|head| head.contains(&format!("traceparent: 00-{TRACE}-"))), "{heads:?}");
    let token = "Bearer another-token-of-the-hub";
    product.client().with_header("authorization", token).get("/api/v1/whoami").await.expect(503);
    assert_eq!(hub.heads().len(), heads.len());
    eventually(WITHIN, async || of_trace(&collector.spans(), "hub POST").map(|_| ())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_holds_up_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let mut product = Product::new().set("tracing.otlp_endpoint", url).started().await;
    let client = product.client();
    for _ in 0..3_000 {
        client.get("/api/v1/version").await.expect(200);
    }
    product.terminate(Duration::from_secs(40)).await;
}
