//! Callers of the API while a play runs: readers, writers, registrars, listeners. They note how long each answer took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::clock::{WallMs, wall_ms};
use crate::follow::Notes;
use crate::http::{Http, HttpError};
use crate::scenario::CallersPart;
use crate::spokes::Registration;

use super::written::Written;

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it was asked for.
    pub at: WallMs,
    /// Seconds until the whole answer was there.
    pub seconds: f64,
    /// Its status; 0 for none.
    pub status: u16,
}

impl Call {
    /// Was it answered with 2xx?
    pub fn is_well(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Notes of every kind of call.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// `GET` of one cluster or its status.
    pub gets: Notes<Call>,
    /// Pages of filtered lists.
    pub lists: Notes<Call>,
    /// Changes of metadata.
    pub writes: Notes<Call>,
    /// Registrations and removals.
    pub churn: Notes<Call>,
    /// What was written, and how it was answered.
    pub written: Written,
    /// Bytes that listeners of the live stream received.
    pub heard: Arc<AtomicU64>,
}

/// The clusters that callers ask about.
#[derive(Clone, Debug)]
pub struct Known {
    /// Ids of the fleet.
    pub ids: Arc<Vec<String>>,
    /// What registers a cluster like those of the fleet.
    pub sample: Arc<Vec<Registration>>,
}

/// Workers that share one pace.
const WORKERS: u32 = 8;
/// A registered cluster lives this long.
const CHURN_LIFE: Duration = Duration::from_secs(2);

/// Starts all callers; they end with the set.
pub fn start(part: &CallersPart, http: &Http, known: &Known, calls: &Calls) -> JoinSet<()> {
    let mut set = JoinSet::new();
    for worker in 0..WORKERS {
        let caller = Caller {
            http: http.patient_for(Duration::from_secs(10)),
            known: known.clone(),
            worker,
            calls: calls.clone(),
            run: wall_ms(),
        };
        for (kind, per_second) in [
            (Kind::Get, part.gets_per_second),
            (Kind::List, part.lists_per_second),
            (Kind::Write, part.writes_per_second),
            (Kind::Churn, part.churn_per_second),
        ] {
            if per_second > 0.0 {
                let every = Duration::from_secs_f64(f64::from(WORKERS) / per_second);
                set.spawn(caller.clone().call_for_ever(kind, every));
            }
        }
    }
    for _ in 0..part.listeners {
        set.spawn(listen(http.clone(), Arc::clone(&calls.heard)));
    }
    set
}

#[derive(Clone)]
struct Caller {
    http: Http,
    known: Known,
    worker: u32,
    calls: Calls,
    /// Makes names that no other run writes.
    run: WallMs,
}

#[derive(Clone, Copy)]
enum Kind {
    Get,
    List,
    Write,
    Churn,
}

const FILTERS: [&str; 4] = ["", "&cluster_type=SPOKE", "&environment=PRODUCTION", "&region=eu-west-1"];

impl Caller {
    /// Calls at a fixed pace; what was missed is not made up for.
    async fn call_for_ever(self, kind: Kind, every: Duration) {
        sleep(every * self.worker / WORKERS).await;
        let mut beat = interval(every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for nth in 0.. {
            beat.tick().await;
            match kind {
                Kind::Get => self.calls.gets.push(self.get(nth).await),
                Kind::List => self.calls.lists.push(self.list(nth).await),
                Kind::Write => self.calls.writes.push(self.write(nth).await),
                Kind::Churn => self.churn(nth).await,
            }
        }
    }

    async fn get(&self, nth: usize) -> Call {
        let path = if nth.is_multiple_of(2) { "" } else { "/status" };
        let path = format!("/api/v1/clusters/{}{path}", self.id(nth));
        timed(&self.http, Method::GET, &path, Bytes::new()).await.0
    }

    async fn list(&self, nth: usize) -> Call {
        let path = format!("/api/v1/clusters?limit=100{}", FILTERS[nth % FILTERS.len()]);
        timed(&self.http, Method::GET, &path, Bytes::new()).await.0
    }

    /// Gives a cluster a name that nobody else gives.
    async fn write(&self, nth: usize) -> Call {
        let (id, name) = (self.id(nth), format!("Renamed {} {} {nth}", self.run, self.worker));
        let body = json!({ "display_name": name }).to_string();
        let number = self.calls.written.begin(id, "CLUSTER_UPDATED", Some(name));
        let (call, answer) = timed(&self.http, Method::PUT, &format!("/api/v1/clusters/{id}"), body.into()).await;
        if call.is_well() {
            // An answer without a generation is no proof of anything: none of the log's events has this one.
            let generation = json_of(&answer)["generation"].as_i64().unwrap_or(-1);
            self.calls.written.acknowledge(number, Some(generation));
        }
        call
    }

    /// Registers a cluster, and removes it a while later.
    async fn churn(&self, nth: usize) {
        let Some(sample) = self.known.sample.get(nth % self.known.sample.len().max(1)) else { return };
        let name = format!("churn-{}-{nth}", self.worker);
        let body = serde_json::to_vec(&Registration { name, ..sample.clone() }).unwrap_or_default();
        let (call, answer) = timed(&self.http, Method::POST, "/api/v1/clusters", body.into()).await;
        self.calls.churn.push(call);
        let Some(id) = json_of(&answer)["id"].as_str().filter(|_| call.is_well()).map(str::to_owned) else { return };
        self.calls.written.registered([&id]);
        let (http, calls) = (self.http.clone(), self.calls.clone());
        tokio::spawn(async move {
            sleep(CHURN_LIFE).await;
            let number = calls.written.begin(&id, "CLUSTER_DELETED", None);
            let call = timed(&http, Method::DELETE, &format!("/api/v1/clusters/{id}"), Bytes::new()).await.0;
            if call.is_well() {
                calls.written.acknowledge(number, None);
            }
            calls.churn.push(call);
        });
    }

    fn id(&self, nth: usize) -> &str {
        let spread = nth.wrapping_mul(7_919).wrapping_add(self.worker as usize * 1_237);
        self.known.ids.get(spread % self.known.ids.len().max(1)).map_or("", String::as_str)
    }
}

fn json_of(answer: &Bytes) -> serde_json::Value {
    serde_json::from_slice(answer).unwrap_or_default()
}

async fn timed(http: &Http, method: Method, path: &str, body: Bytes) -> (Call, Bytes) {
    let (at, begin) = (wall_ms(), Instant::now());
    let answer: Result<(StatusCode, Bytes), HttpError> = http.send(method, path, body).await;
    let seconds = begin.elapsed().as_secs_f64();
    match answer {
        Ok((status, body)) => (Call { at, seconds, status: status.as_u16() }, body),
        Err(_) => (Call { at, seconds, status: 0 }, Bytes::new()),
    }
}

async fn listen(http: Http, heard: Arc<AtomicU64>) {
    loop {
        if let Ok(answer) = http.open(Method::GET, "/api/v1/events/stream", &[], Bytes::new()).await {
            let mut body = answer.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                heard.fetch_add(frame.data_ref().map_or(0, |data| data.len() as u64), Ordering::Relaxed);
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
}
