//! The whole tree of a request: which span is a part of which, and which are not there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::collector::{Collector, Span};
use crate::spoke::{Act, Authority, Serving, Spoke};
use crate::support::{Client, Postgres, Product, Redis, Scratch, eventually};
use crate::{PARENT, WITHIN, kubeconfig};

/// `(name, name of what it is a part of)`, the whole request's being `-`.
type Tree = BTreeSet<(String, String)>;

fn tree(branches: &[(&str, &str)]) -> Tree {
    branches.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect()
}

fn grown(spans: &[Span], trace: &str) -> Tree {
    let ours: Vec<_> = spans.iter().filter(|span| span.trace_id == trace).collect();
    let name_of = |id: &str| {
        let parent = ours.iter().find(|span| span.span_id == id).map(|span| span.name.clone());
        parent.unwrap_or_else(|| if id == PARENT { "-".to_owned() } else { format!("nobody's {id}") })
    };
    ours.iter().map(|span| (span.name.clone(), name_of(&span.parent_id))).collect()
}

/// Does `act` in traces of its own until the tree of one is as expected: what an early one lacks is a connection that is
/// still being made.
async fn grows(collector: &Collector, client: &Client, expected: Tree, mut act: impl AsyncFnMut(Client)) {
    let mut number = 0_u128;
    eventually(WITHIN * 4, async || {
        number += 1;
        let trace = format!("{:032x}", uuid::Uuid::new_v4().as_u128());
        act(client.clone().with_header("traceparent", &format!("00-{trace}-{PARENT}-01"))).await;
        // The request ends last.
        let spans = eventually(WITHIN, async || {
            let spans = collector.spans();
            let whole = spans.iter().any(|span| span.trace_id == trace && span.parent_id == PARENT);
            if whole { Ok(spans) } else { Err(number) }
        })
        .await;
        let found = grown(&spans, &trace);
        if found == expected { Ok(()) } else { Err(format!("{found:#?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_limit_and_work_are_parts_of_a_request_and_calls_are_parts_of_these() {
    let (redis, collector) = (Redis::start_new().await, Collector::start().await);
    let product = Product::new()
        .set("tracing.otlp_endpoint", collector.url())
        .set("database_url", Postgres::shared().await.database().await)
        .set("redis_url", redis.url())
        .set("auth.tokens.enabled", true)
        .set("health_check.enabled", false)
        .started()
        .await;
    let (admin, mut number) = (product.admin(), 0);
    let made = "POST /api/v1/clusters";
    let expected = tree(&[
        (made, "-"),
        ("auth validation", made),
        ("rate limit check", made),
        ("redis EVAL", "rate limit check"),
        ("backend request", made),
        ("postgresql write", "backend request"),
    ]);
    grows(&collector, &admin, expected, async |client| {
        number += 1;
        let body = json!({ "name": format!("one-{number}"), "api_server_url": "https://127.0.0.1:9" });
        client.post("/api/v1/clusters", &body).await.expect(201);
    })
    .await;
    // Whoever is refused gets no further, and is counted in this process only.
    let who = "GET /api/v1/whoami";
    let refused = tree(&[(who, "-"), ("auth validation", who), ("rate limit check", who)]);
    grows(&collector, &product.client(), refused, async |client| {
        client.get("/api/v1/whoami").await.expect(401);
    })
    .await;
    // Machines that ask whether the process lives are neither asked who they are nor counted.
    let alive = tree(&[("GET /health", "-"), ("backend request", "GET /health")]);
    grows(&collector, &product.client(), alive, async |client| {
        client.get("/health").await.expect(200);
    })
    .await;
}

/// A hub that knows every token, and lets its owner do anything.
fn knows_everybody(head: &str) -> Act {
    let (head, body) = head.split_once("\r\n\r\n").unwrap_or_default();
    let mut review: Value = serde_json::from_str(body).unwrap_or_default();
    review["status"] = if head.contains("/tokenreviews") {
        json!({ "authenticated": true, "audiences": review["spec"]["audiences"],
            "user": { "username": review["spec"]["token"], "groups": ["people"] } })
    } else {
        json!({ "allowed": true })
    };
    let text = review.to_string();
    let kind = "Content-Type: application/json";
    Act::Say(format!("HTTP/1.1 201 Created\r\n{kind}\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_is_asked_within_the_proof_and_a_cluster_within_the_work() {
    let (scratch, authority, collector) = (Scratch::new(), Authority::new(), Collector::start().await);
    let hub = Spoke::start(&authority, Serving::Good, |asked| knows_everybody(asked.head));
    let spoke = Spoke::start(&authority, Serving::Good, |_| Act::status(200));
    let product = Product::new()
        .set("tracing.otlp_endpoint", collector.url())
        .set("auth.kubernetes.enabled", true)
        .set("auth.kubernetes.rights", "access_review")
        .set(
            "hub.kubeconfig",
            scratch.write("hub", &kubeconfig(&hub.https(), &authority.pem(), "token: a-hub-token"), None).display(),
        )
        .set("probes.ca_file", scratch.write("ca.pem", &authority.pem(), None).display())
        .started()
        .await;
    let body = json!({ "name": "one", "api_server_url": spoke.https() });
    let id = product.bearing("maker").post("/api/v1/clusters", &body).await.expect(201).json()["id"].clone();
    let refreshed = "POST /api/v1/clusters/{id}/refresh";
    let expected = tree(&[
        (refreshed, "-"),
        ("auth validation", refreshed),
        ("hub POST", "auth validation"),
        ("rate limit check", refreshed),
        ("backend request", refreshed),
        ("cluster check", "backend request"),
    ]);
    let mut number = 0;
    grows(&collector, &product.client(), expected, async |client| {
        number += 1;
        // Whom the hub told of is remembered: somebody else each time.
        let client = client.with_header("authorization", &format!("Bearer somebody-{number}"));
        let path = format!("/api/v1/clusters/{}/refresh", id.as_str().unwrap());
        client.post(&path, &Value::Null).await.expect(200);
    })
    .await;
    assert!(hub.heads().iter().any(|head| head.contains("traceparent")));
    assert!(spoke.heads().iter().all(|head| !head.to_lowercase().contains("traceparent")));
}
