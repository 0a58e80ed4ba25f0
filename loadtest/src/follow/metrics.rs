//! Readings of `/metrics`, at a fixed pace.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{FirstChecks, Notes};
use crate::clock::wall_ms;
use crate::http::{Http, HttpError};
use crate::scrape::Reading;

/// One reading; what it says of each cluster goes to the first checks.
///
/// # Errors
/// When the monitor does not answer.
pub async fn read_metrics(http: &Http, firsts: &FirstChecks) -> Result<Reading, HttpError> {
    let began = Instant::now();
    let (_, body) = http.collect(Method::GET, "/metrics", Bytes::new()).await?;
    let took = began.elapsed().as_secs_f64();
    let (at, firsts) = (wall_ms(), firsts.clone());
    // 20 MB of text: read here, they would hold up the callers, whose answers are being timed.
    let reading = spawn_blocking(move || {
        Reading::noting(&String::from_utf8_lossy(&body.to_bytes()), at, took, |cluster, at| firsts.note(cluster, at))
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
