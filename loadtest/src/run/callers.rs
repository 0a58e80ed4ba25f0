//! Callers of the API while a play runs: readers, writers, registrars. They note how long each answer took.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::clock::{WallMs, wall_ms};
use crate::follow::Notes;
use crate::http::{Http, HttpError};
use crate::scenario::CallersPart;
use crate::spokes::Registration;

use super::written::Written;

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it was due, whether or not it could be sent then.
    pub at: WallMs,
    /// Seconds from then until the whole answer was there.
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
}

/// The clusters that callers ask about.
#[derive(Clone, Debug)]
pub struct Known {
    /// Ids of the fleet.
    pub ids: Arc<Vec<String>>,
    /// What registers a cluster like those of the fleet.
    pub sample: Arc<Vec<Registration>>,
}

/// Workers that share one pace: each has one call under way at a time.
const WORKERS: (f64, f64) = (8.0, 64.0);
/// Calls per second of one worker, within these bounds.
const OF_A_WORKER: f64 = 20.0;
/// The runtime's timer counts in milliseconds: who waits for a moment is woken up to one of them after it.
const GRAIN: Duration = Duration::from_millis(1);
/// Longest wait for an answer, and for what was due before the end to be made up for.
const PATIENCE: Duration = Duration::from_secs(10);
/// A registered cluster lives this long.
const CHURN_LIFE: Duration = Duration::from_secs(2);

/// Callers under way. They end when this is dropped.
pub struct Callers {
    calling: JoinSet<()>,
    ended: watch::Sender<bool>,
}

/// Starts all callers.
pub fn start(part: &CallersPart, http: &Http, known: &Known, calls: &Calls) -> Callers {
    let mut calling = JoinSet::new();
    let (ended, end) = watch::channel(false);
    for (kind, per_second) in [
        (Kind::Get, part.gets_per_second),
        (Kind::List, part.lists_per_second),
        (Kind::Write, part.writes_per_second),
        (Kind::Churn, part.churn_per_second),
    ] {
        let workers = workers_for(per_second);
        for worker in 0..workers {
            let caller = Caller {
                http: http.patient_for(PATIENCE),
                known: known.clone(),
                calls: calls.clone(),
                run: wall_ms(),
                place: (worker, workers),
                pages: Pages::default(),
            };
            let every = Duration::from_secs_f64(workers as f64 / per_second);
            calling.spawn(caller.call_until(end.clone(), kind, every));
        }
    }
    Callers { calling, ended }
}

/// So many that the pace is kept although some answers are late; none for no pace.
fn workers_for(per_second: f64) -> usize {
    if per_second > 0.0 { (per_second / OF_A_WORKER).ceil().clamp(WORKERS.0, WORKERS.1) as usize } else { 0 }
}

impl Callers {
    /// No further calls become due; those that are get made and answered, as far as that takes no longer than a call may.
    pub async fn finish(mut self) {
        self.ended.send_replace(true);
        let all = async { while self.calling.join_next().await.is_some() {} };
        let _ = timeout(PATIENCE, all).await;
    }
}

struct Caller {
    http: Http,
    known: Known,
    calls: Calls,
    /// Makes names that no other run writes.
    run: WallMs,
    /// Which of how many workers it is.
    place: (usize, usize),
    pages: Pages,
}

#[derive(Clone, Copy)]
enum Kind {
    Get,
    List,
    Write,
    Churn,
}

const FILTERS: [&str; 4] = ["", "&cluster_type=SPOKE", "&environment=PRODUCTION", "&region=eu-west-1"];

/// The page of a filtered list that is due next: from the first one to the last, then the first of the next filter.
#[derive(Debug, Default)]
struct Pages {
    filter: usize,
    next: Option<String>,
}

impl Pages {
    fn path(&self) -> String {
        let next = self.next.as_ref().map_or(String::new(), |next| format!("&continue={next}"));
        format!("/api/v1/clusters?limit=100{}{next}", FILTERS[self.filter % FILTERS.len()])
    }

    fn turn(&mut self, page: &[u8]) {
        #[derive(Deserialize)]
        struct Page {
            #[serde(rename = "continue")]
            next: Option<String>,
        }
        self.next = serde_json::from_slice::<Page>(page).ok().and_then(|page| page.next);
        self.filter += usize::from(self.next.is_none());
    }
}

/// From when a call counts. One that a worker could not make in time, because the call before took so long, counts from when it was due.
fn counted_from(due: Instant, sent: Instant, was_waiting: bool) -> Instant {
    if was_waiting { due + sent.saturating_duration_since(due).min(GRAIN) } else { due }
}

impl Caller {
    /// Calls at a fixed pace. What was missed is made up for, at once, and counts from when it was due.
    async fn call_until(mut self, mut end: watch::Receiver<bool>, kind: Kind, every: Duration) {
        let (worker, workers) = self.place;
        self.pages.filter = worker;
        let mut beat = interval_at(Instant::now() + every * worker as u32 / workers as u32, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for nth in 0.. {
            let asked = Instant::now();
            let due = tokio::select! {
                biased;
                due = beat.tick() => due,
                _ = end.wait_for(|ended| *ended) => return,
            };
            self.call(kind, nth * workers + worker, counted_from(due, Instant::now(), asked <= due)).await;
        }
    }

    async fn call(&mut self, kind: Kind, number: usize, from: Instant) {
        match kind {
            Kind::Get => self.calls.gets.push(self.get(number, from).await),
            Kind::List => {
                let (call, page) = timed(&self.http, from, Method::GET, &self.pages.path(), Bytes::new()).await;
                self.calls.lists.push(call);
                self.pages.turn(&page);
            }
            Kind::Write => self.calls.writes.push(self.write(number, from).await),
            Kind::Churn => self.churn(number, from).await,
        }
    }

    async fn get(&self, number: usize, from: Instant) -> Call {
        let path = if number.is_multiple_of(2) { "" } else { "/status" };
        let path = format!("/api/v1/clusters/{}{path}", self.id(number));
        timed(&self.http, from, Method::GET, &path, Bytes::new()).await.0
    }

    /// Gives a cluster a name that nobody else gives.
    async fn write(&self, number: usize, from: Instant) -> Call {
        let (id, name) = (self.id(number), format!("Renamed {} {number}", self.run));
        let body = json!({ "display_name": name }).to_string();
        let note = self.calls.written.begin(id, "CLUSTER_UPDATED", Some(name));
        let (call, answer) = timed(&self.http, from, Method::PUT, &format!("/api/v1/clusters/{id}"), body.into()).await;
        if call.is_well() {
            // An answer without a generation is no proof of anything: none of the log's events has this one.
            let generation = json_of(&answer)["generation"].as_i64().unwrap_or(-1);
            self.calls.written.acknowledge(note, Some(generation));
        }
        call
    }

    /// Registers a cluster, and removes it a while later.
    async fn churn(&self, number: usize, from: Instant) {
        let Some(sample) = self.known.sample.get(number % self.known.sample.len().max(1)) else { return };
        let name = format!("churn-{number}");
        let body = serde_json::to_vec(&Registration { name, ..sample.clone() }).unwrap_or_default();
        let (call, answer) = timed(&self.http, from, Method::POST, "/api/v1/clusters", body.into()).await;
        self.calls.churn.push(call);
        let Some(id) = json_of(&answer)["id"].as_str().filter(|_| call.is_well()).map(str::to_owned) else { return };
        self.calls.written.registered([&id]);
        let (http, calls) = (self.http.clone(), self.calls.clone());
        tokio::spawn(async move {
            sleep(CHURN_LIFE).await;
            let number = calls.written.begin(&id, "CLUSTER_DELETED", None);
            let call =
                timed(&http, Instant::now(), Method::DELETE, &format!("/api/v1/clusters/{id}"), Bytes::new()).await.0;
            if call.is_well() {
                calls.written.acknowledge(number, None);
            }
            calls.churn.push(call);
        });
    }

    fn id(&self, number: usize) -> &str {
        self.known.ids.get(number.wrapping_mul(7_919) % self.known.ids.len().max(1)).map_or("", String::as_str)
    }
}

fn json_of(answer: &Bytes) -> serde_json::Value {
    serde_json::from_slice(answer).unwrap_or_default()
}

/// One call, counted from the moment given.
async fn timed(http: &Http, from: Instant, method: Method, path: &str, body: Bytes) -> (Call, Bytes) {
    let at = wall_ms() - i64::try_from(from.elapsed().as_millis()).unwrap_or(0);
    let answer: Result<(StatusCode, Bytes), HttpError> = http.send(method, path, body).await;
    let seconds = from.elapsed().as_secs_f64();
    match answer {
        Ok((status, body)) => (Call { at, seconds, status: status.as_u16() }, body),
        Err(_) => (Call { at, seconds, status: 0 }, Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_waits_for_the_one_before_counts_from_when_it_was_due() {
        let due = Instant::now();
        let late = |ms| due + Duration::from_millis(ms);
        assert_eq!(counted_from(due, late(700), false), due);
        assert_eq!(counted_from(due, late(1), true), late(1), "the timer's own lateness is no call's");
        assert_eq!(counted_from(due, late(700), true), late(1), "all beyond that is");
    }

    #[test]
    fn a_high_pace_has_many_workers_and_no_pace_none() {
        assert_eq!([0.0, 2.0, 400.0, 2_000.0].map(workers_for), [0, 8, 20, 64]);
    }

    #[test]
    fn pages_are_turned_to_the_last_and_then_another_filter_is_asked_for() {
        let mut pages = Pages { filter: 1, next: None };
        pages.turn(br#"{"items":[{"id":"a"}],"continue":"bmV4dA"}"#);
        assert_eq!(pages.path(), "/api/v1/clusters?limit=100&cluster_type=SPOKE&continue=bmV4dA");
        pages.turn(br#"{"items":[]}"#);
        assert_eq!(pages.path(), "/api/v1/clusters?limit=100&environment=PRODUCTION");
        pages.turn(b"busy");
        assert_eq!(pages.path(), "/api/v1/clusters?limit=100&region=eu-west-1");
    }

    /// A server that answers after this long.
    async fn slow_server(pause: Duration) -> Http {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = Http::new(&format!("http://{}", listener.local_addr().unwrap()));
        let answer = move || async move {
            sleep(pause).await;
            "{}"
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        http
    }

    #[tokio::test]
    async fn what_was_due_while_the_server_was_slow_is_made_up_for_and_counted() {
        let http = slow_server(Duration::from_millis(400)).await;
        let known = Known { ids: Arc::new(vec!["a".to_owned()]), sample: Arc::default() };
        // Eight workers with 2.5 answers a second each are asked for five times as many.
        let (part, calls) = (CallersPart { gets_per_second: 100.0, ..CallersPart::default() }, Calls::default());
        let callers = start(&part, &http, &known, &calls);
        sleep(Duration::from_secs(2)).await;
        callers.finish().await;
        let calls = calls.gets.take();
        assert!(calls.len() > 100, "{}", calls.len());
        let late = calls.iter().filter(|call| call.seconds > 0.8).count();
        assert!(late > calls.len() / 3, "{late} of {}", calls.len());
    }
}
