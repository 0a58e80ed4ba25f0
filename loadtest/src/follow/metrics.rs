//! Readings of `/metrics`, at a fixed pace.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use rustix::process::nice;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{FirstChecks, Notes};
use crate::clock::wall_ms;
use crate::http::{Http, HttpError};
use crate::scrape::Reading;

/// The lowest priority that a thread can have.
const LOWEST: i32 = 19;

/// One reading; what it says of each cluster goes to the first checks.
///
/// # Errors
/// When the monitor does not answer.
pub async fn read_metrics(http: &Http, firsts: &FirstChecks) -> Result<Reading, HttpError> {
    let began = Instant::now();
    let (_, body) = http.collect(Method::GET, "/metrics", Bytes::new()).await?;
    let took = began.elapsed().as_secs_f64();
    let (at, firsts) = (wall_ms(), firsts.clone());
    let (read, reading) = oneshot::channel();
    // 20 MB of text: read here, or on a thread like others, they would hold up the callers, whose answers are being timed.
    thread::spawn(move || {
        let _ = nice(LOWEST);
        let text = body.to_bytes();
        let note = |cluster: &str, at| firsts.note(cluster, at);
        let _ = read.send(Reading::noting(&String::from_utf8_lossy(&text), at, took, note));
    });
    reading.await.map_err(|error| HttpError::Network("/metrics".to_owned(), error.to_string()))
}

/// Reads for ever; a reading that fails is left out.
pub async fn follow_metrics(http: Http, every: Duration, notes: Notes<Reading>, firsts: FirstChecks) {
    let http = http.patient_for(Duration::from_secs(5));
    let mut beat = interval(every.max(Duration::from_millis(100)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if let Ok(reading) = read_metrics(&http, &firsts).await {
            notes.push(reading);
        }
    }
}
