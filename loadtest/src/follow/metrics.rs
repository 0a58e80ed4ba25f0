//! Readings of `/metrics`, at a fixed pace.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Notes;
use crate::clock::wall_ms;
use crate::http::{Http, HttpError};
use crate::scrape::Reading;

/// One reading.
///
/// # Errors
/// When the monitor does not answer.
pub async fn read_metrics(http: &Http) -> Result<Reading, HttpError> {
    let began = Instant::now();
    let (_, body) = http.send(Method::GET, "/metrics", Bytes::new()).await?;
    let took = began.elapsed().as_secs_f64();
    let at = wall_ms();
    // 20 MB of text: read here, they would hold up the callers, whose answers are being timed.
    let reading = spawn_blocking(move || Reading::of(&String::from_utf8_lossy(&body), at, took)).await;
    reading.map_err(|error| HttpError::Network("/metrics".to_owned(), error.to_string()))
}

/// Reads for ever; a reading that fails is left out.
pub async fn follow_metrics(http: Http, every: Duration, notes: Notes<Reading>) {
    let http = http.patient_for(Duration::from_secs(5));
    let mut beat = interval(every.max(Duration::from_millis(100)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if let Ok(reading) = read_metrics(&http).await {
            notes.push(reading);
        }
    }
}
