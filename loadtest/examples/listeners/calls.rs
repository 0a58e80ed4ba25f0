//! Calls of the API: what makes events, and what the log says of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fleetbeat_loadtest::http::Http;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// Callers that share the pace.
const WRITERS: u32 = 4;

/// Microseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "the clock of the harness, finer than its own")]
pub fn wall_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// An event of the log.
#[derive(Debug)]
pub struct Logged {
    /// Its id.
    pub event_id: Uuid,
    /// When it happened, in microseconds of wall time.
    pub at_us: i64,
    /// The call that made it, where one of ours did.
    pub call: Option<usize>,
}

/// A call: when it was made, and how long its answer took.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// In microseconds of wall time.
    pub at_us: i64,
    /// Until the answer.
    pub took: Duration,
    /// Did it change something?
    pub good: bool,
}

/// The API.
#[derive(Clone)]
pub struct Api {
    http: Http,
    authorization: Option<String>,
}

impl Api {
    /// At this address.
    pub fn new(address: &str) -> Self {
        let authorization = std::env::var("FLEETBEAT_TOKEN").ok().map(|token| format!("Bearer {token}"));
        Self { http: Http::new(&format!("http://{address}")), authorization }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(self.authorization.as_deref().map(|value| ("authorization", value)));
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.http.open(method, path, &headers, body).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status == StatusCode::OK, "{path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }

    /// Position of the newest event; those up to `after` are known.
    pub async fn newest(&self, after: i64) -> Result<i64> {
        let items = self.items(after).await?;
        let last = items.last().and_then(|item| item["position"].as_i64());
        Ok(last.unwrap_or(after))
    }

    /// What the log has after a position.
    pub async fn log(&self, after: i64) -> Result<Vec<Logged>> {
        self.items(after).await?.iter().map(logged).collect()
    }

    async fn items(&self, mut after: i64) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        loop {
            let mut page =
                self.ask(Method::GET, &format!("/api/v1/events?limit=1000&after={after}"), Value::Null).await?;
            let items = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let Some(last) = items.last() else { return Ok(all) };
            after = last["position"].as_i64().context("an event without a position")?;
            all.extend(items);
        }
    }

    async fn clusters(&self) -> Result<Vec<String>> {
        let list = self.ask(Method::GET, "/api/v1/clusters?limit=100", Value::Null).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect())
    }
}

fn logged(item: &Value) -> Result<Logged> {
    let text = |key: &str| item[key].as_str().with_context(|| format!("an event without {key}"));
    let at = chrono::DateTime::parse_from_rfc3339(text("timestamp")?)?;
    let call = item["payload"]["display_name"].as_str().and_then(|name| name.strip_prefix("call "));
    let call = call.filter(|_| item["event_type"] == "CLUSTER_UPDATED").and_then(|number| number.parse().ok());
    Ok(Logged { event_id: text("event_id")?.parse()?, at_us: at.timestamp_micros(), call })
}

/// Renames clusters at an even pace; what was late is made up for.
pub async fn rename(api: &Api, rate: u32, span: Duration) -> Result<Vec<Call>> {
    let clusters = api.clusters().await?;
    ensure!(!clusters.is_empty(), "no cluster is registered");
    let total = rate as usize * span.as_secs() as usize;
    let mut writers = JoinSet::new();
    for first in 0..WRITERS as usize {
        let (api, clusters) = (api.clone(), clusters.clone());
        writers.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) * WRITERS / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut calls = Vec::new();
            for number in (first..total).step_by(WRITERS as usize) {
                ticks.tick().await;
                let at_us = wall_us();
                let path = format!("/api/v1/clusters/{}", clusters[number % clusters.len()]);
                let answer = api.ask(Method::PATCH, &path, json!({ "display_name": format!("call {number}") })).await;
                if let Err(refused) = &answer {
                    eprintln!("{refused:#}");
                }
                let took = Duration::from_micros((wall_us() - at_us).unsigned_abs());
                calls.push((number, Call { at_us, took, good: answer.is_ok() }));
            }
            calls
        });
    }
    let mut calls = Vec::new();
    while let Some(own) = writers.join_next().await {
        calls.extend(own?);
    }
    calls.sort_unstable_by_key(|(number, _)| *number);
    Ok(calls.into_iter().map(|(_, call)| call).collect())
}
