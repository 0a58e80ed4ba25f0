//! The monitor's API as the harness uses it: register, list, read the log.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Http;
use crate::judge::{Kept, Record, Shown};
use crate::spokes::Registration;

/// Clusters of one import.
const BATCH: usize = 500;
/// How often an import is sent that the monitor could not store as a whole, and the pause before the next time where it names none.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);
/// A monitor that asks for a longer pause is asked again after this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest wait for one import: on a busy disk a large one takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A fleet that is registered.
#[derive(Debug, Default)]
pub struct Registered {
    /// Every cluster's id, in order.
    pub ids: Vec<String>,
    /// Imports that had to be sent again.
    pub repeated: u32,
}

/// Registers the fleet, batch by batch.
pub async fn register(http: &Http, fleet: &[Registration], mut done: impl FnMut(usize)) -> anyhow::Result<Registered> {
    let http = http.patient_for(PATIENCE);
    let mut registered = Registered::default();
    for batch in fleet.chunks(BATCH) {
        registered.ids.extend(import(&http, batch, &mut registered.repeated).await?);
        done(batch.len());
    }
    Ok(registered)
}

/// Imports until all are there: a busy store may have taken only some, or none and said when to come again.
async fn import(http: &Http, batch: &[Registration], repeated: &mut u32) -> anyhow::Result<Vec<String>> {
    let body = Bytes::from(json!({ "clusters": batch }).to_string());
    let mut refused = String::new();
    for _ in 0..TRIES {
        let pause = match http.post("/api/v1/clusters:import", body.clone()).await {
            Ok(answer) if answer.status.is_success() => {
                let answer: Value = serde_json::from_slice(&answer.body).context("an import was answered no JSON")?;
                let items = answer["items"].as_array().context("an import has no items")?;
                let ids = items.iter().map(|item| item["id"].as_str().map(str::to_owned).ok_or(item));
                match ids.collect::<Result<_, _>>() {
                    Ok(ids) => return Ok(ids),
                    Err(item) => refused = item.to_string(),
                }
                PAUSE
            }
            Ok(answer) => {
                refused = format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                answer.retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE)
            }
            Err(error) => {
                refused = format!("{error:#}");
                PAUSE
            }
        };
        *repeated += 1;
        tokio::time::sleep(pause).await;
    }
    bail!("a cluster was not registered: {refused}")
}

/// Removals under way at once.
const REMOVALS: usize = 16;

/// Removes clusters; returns how many could not be.
pub async fn remove(http: &Http, ids: &[String]) -> usize {
    let one = |id: &String| {
        let path = format!("/api/v1/clusters/{id}");
        async move { http.send(Method::DELETE, &path, Bytes::new()).await }
    };
    let gone = |answer: &Result<(StatusCode, Bytes), _>| {
        answer.as_ref().is_ok_and(|(status, _)| status.is_success() || *status == StatusCode::NOT_FOUND)
    };
    let answers: Vec<_> = stream::iter(ids).map(one).buffer_unordered(REMOVALS).collect().await;
    answers.iter().filter(|answer| !gone(answer)).count()
}

/// A cluster as a list shows it.
#[derive(Debug, Deserialize)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    display_name: Option<String>,
    generation: i64,
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Status {
    state: Shown,
}

impl Listed {
    /// Its state.
    pub fn state(&self) -> Shown {
        self.status.state
    }

    /// What writes left of it.
    pub fn kept(&self) -> Kept {
        Kept { display_name: self.display_name.clone(), generation: self.generation }
    }
}

/// Every cluster.
pub async fn clusters(http: &Http) -> anyhow::Result<Vec<Listed>> {
    #[derive(Deserialize)]
    struct Page {
        items: Vec<Listed>,
        #[serde(rename = "continue")]
        next: Option<String>,
    }
    let mut clusters = Vec::new();
    let mut path = "/api/v1/clusters?limit=100".to_owned();
    loop {
        let page: Page = http.get(&path).await?;
        clusters.extend(page.items);
        let Some(next) = page.next else { return Ok(clusters) };
        path = format!("/api/v1/clusters?limit=100&continue={next}");
    }
}

/// The event log after a position, and what of it was not as promised.
pub async fn log(http: &Http, after: i64) -> anyhow::Result<(Vec<Record>, Vec<String>)> {
    #[derive(Deserialize)]
    struct Page {
        items: Vec<Box<serde_json::value::RawValue>>,
        next_after: i64,
        has_more: bool,
    }
    let (mut records, mut misshapen, mut position) = (Vec::new(), Vec::new(), after);
    loop {
        let page: Page = http.get(&format!("/api/v1/events?after={position}&limit=1000")).await?;
        for item in &page.items {
            match Record::parse(item.get()) {
                Ok(record) => records.push(record),
                Err(error) => misshapen.push(error.to_string()),
            }
        }
        if !page.has_more {
            return Ok((records, misshapen));
        }
        if page.next_after <= position {
            bail!("the event log does not go on after {position}");
        }
        position = page.next_after;
    }
}

/// The last position of the log.
pub async fn log_end(http: &Http) -> anyhow::Result<i64> {
    Ok(log(http, 0).await?.0.last().map_or(0, |record| record.position))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::http::StatusCode;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn an_import_that_is_refused_is_sent_again_when_the_monitor_said() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = Http::new(&format!("http://{}", listener.local_addr().unwrap()));
        let asked = Arc::new(AtomicU32::new(0));
        let answer = move || {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            let busy = (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "2")], "busy");
            let taken = (StatusCode::OK, [("x", "y")], r#"{"items":[{"id":"a"}]}"#);
            async move { if first { busy } else { taken } }
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        let (begin, mut repeated) = (Instant::now(), 0);
        assert_eq!(import(&http, &[], &mut repeated).await.unwrap(), ["a"]);
        assert!(begin.elapsed() >= Duration::from_secs(2));
        assert_eq!(repeated, 1);
    }
}
