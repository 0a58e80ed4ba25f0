//! The live stream (server-sent events), followed through every restart by `Last-Event-ID`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};

use super::Arrivals;
use crate::http::Http;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// The server says something at least every 15 s.
const SILENCE: Duration = Duration::from_secs(40);

/// Follows for ever, from the position given.
pub async fn follow_live(http: Http, after: i64, arrivals: Arrivals) {
    let mut last = after.to_string();
    loop {
        let headers = [("accept", "text/event-stream"), ("last-event-id", last.as_str())];
        let opened = http.open(Method::GET, "/api/v1/events/stream", &headers, Bytes::new()).await;
        if let Ok(answer) = opened
            && answer.status().is_success()
        {
            last = read(answer.into_body(), last, &arrivals).await;
        }
        sleep(PAUSE).await;
    }
}

/// Reads until the stream ends; returns the last id.
async fn read(mut body: Incoming, mut last: String, arrivals: &Arrivals) -> String {
    let mut lines = Lines::default();
    while let Ok(Some(Ok(frame))) = timeout(SILENCE, body.frame()).await {
        let Some(data) = frame.data_ref() else { continue };
        for line in lines.take(data) {
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut last),
                Some(("data", json)) => arrivals.note(json, None),
                Some(_) | None => {}
            }
        }
    }
    last
}

/// Cuts bytes into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let Some(end) = self.0.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let whole: Vec<u8> = self.0.drain(..=end).collect();
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"id: 1\nda"), ["id: 1"]);
        assert_eq!(lines.take(b"ta"), Vec::<String>::new());
        assert_eq!(lines.take(b": {}\n\nid"), ["data: {}", ""]);
    }
}
