//! The monitor's API as the harness uses it: register, list, read the log.

use std::time::Duration;

use anyhow::{Context, bail};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Http;
use crate::judge::{Kept, Record, Shown};
use crate::spokes::Registration;

/// Clusters of one import.
const BATCH: usize = 500;
/// How often an import is sent that the monitor could not store as a whole, and the pause before the next time.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Registers the fleet; returns every cluster's id, in order.
pub async fn register(http: &Http, fleet: &[Registration], mut done: impl FnMut(usize)) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::with_capacity(fleet.len());
    for batch in fleet.chunks(BATCH) {
        ids.extend(import(http, batch).await?);
        done(batch.len());
    }
    Ok(ids)
}

/// Imports until all are there: a busy store may have taken only some.
async fn import(http: &Http, batch: &[Registration]) -> anyhow::Result<Vec<String>> {
    let body = json!({ "clusters": batch });
    let mut refused = String::new();
    for _ in 0..TRIES {
        match http.json::<Value>(Method::POST, "/api/v1/clusters:import", Some(&body)).await {
            Ok(answer) => {
                let items = answer["items"].as_array().context("an import has no items")?;
                let ids = items.iter().map(|item| item["id"].as_str().map(str::to_owned).ok_or(item));
                match ids.collect::<Result<_, _>>() {
                    Ok(ids) => return Ok(ids),
                    Err(item) => refused = item.to_string(),
                }
            }
            Err(error) => refused = format!("{error:#}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("a cluster was not registered: {refused}")
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
