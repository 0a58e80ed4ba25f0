//! Listeners of the live stream: a crowd that hears everything, and a few that read nothing for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::figures::Figures;
use crate::clock::{WallMs, wall_ms};
use crate::follow::{Door, Heard, Line, hear, read_the_rest};
use crate::http::Http;
use crate::judge::{Record, heard, percentile};
use crate::scenario::CallersPart;

/// Longest wait for everybody to come in.
const ALL_IN_WITHIN: Duration = Duration::from_secs(60);
/// Before somebody who was sent away comes again.
const PAUSE: Duration = Duration::from_millis(500);
/// A slow listener reads nothing until the monitor has dropped all of them, or for this share of the play.
const ASLEEP: f64 = 0.66;
/// How often the monitor is asked whom it dropped.
const LOOK: Duration = Duration::from_millis(500);

/// Everybody who listens. They end when this is dropped.
pub struct Listening {
    crowds: Vec<(Door, Vec<Heard>)>,
    came: Arc<AtomicU64>,
    since: WallMs,
    slow: JoinSet<anyhow::Result<bool>>,
    _listening: JoinSet<()>,
}

impl Listening {
    /// Lets them come in, and waits until they are.
    pub async fn begin(part: &CallersPart, http: &Http, play: Duration) -> Self {
        let came = Arc::new(AtomicU64::new(0));
        let (mut listening, mut crowds) = (JoinSet::new(), Vec::new());
        for (door, count) in [(Door::Sse, part.listeners), (Door::WebSocket, part.websockets)] {
            let crowd: Vec<Heard> = (0..count).map(|_| Heard::default()).collect();
            for heard in &crowd {
                listening.spawn(listen(door, http.clone(), heard.clone(), Arc::clone(&came)));
            }
            crowds.push((door, crowd));
        }
        let mut slow = JoinSet::new();
        let (dropped, all_dropped) = watch::channel(false);
        if part.slow_websockets > 0 {
            listening.spawn(notice_dropped(http.clone(), part.slow_websockets as u64, dropped));
        }
        for _ in 0..part.slow_websockets {
            let (http, mut all_dropped) = (http.clone(), all_dropped.clone());
            slow.spawn(async move {
                let line = Line::open_narrow(Door::WebSocket, &http).await?;
                let _ = timeout(play.mul_f64(ASLEEP), all_dropped.wait_for(|dropped| *dropped)).await;
                read_the_rest(line).await
            });
        }
        let (begin, all) = (Instant::now(), (part.listeners + part.websockets) as u64);
        while came.load(Ordering::Relaxed) < all && begin.elapsed() < ALL_IN_WITHIN {
            sleep(Duration::from_millis(20)).await;
        }
        Self { crowds, came, since: wall_ms(), slow, _listening: listening }
    }

    /// Ends them, and holds what they heard against the log.
    pub async fn judge(mut self, log: &[Record], figures: &mut Figures) {
        self._listening.shutdown().await;
        let all: usize = self.crowds.iter().map(|(_, crowd)| crowd.len()).sum();
        for (door, crowd) in self.crowds {
            if !crowd.is_empty() {
                let heard: Vec<_> = crowd.iter().map(Heard::take).collect();
                put(figures, door, heard::compare(log, self.since, &heard));
            }
        }
        if all > 0 {
            figures.insert("heard_reopened".to_owned(), self.came.load(Ordering::Relaxed) as f64 - all as f64);
        }
        let (slow, mut told) = (self.slow.len(), 0);
        while let Some(one) = self.slow.join_next().await {
            told += usize::from(one.is_ok_and(|one| one.is_ok_and(|told| told)));
        }
        if slow > 0 {
            figures.insert("slow_not_told".to_owned(), (slow - told) as f64);
        }
    }
}

/// Says when the monitor has dropped so many listeners more than until now.
async fn notice_dropped(http: Http, count: u64, dropped: watch::Sender<bool>) {
    let so_far = async || http.get::<Value>("/api/v1/streaming/status").await.ok()?["clients_dropped"].as_u64();
    let before = so_far().await.unwrap_or(0);
    while so_far().await.is_none_or(|now| now < before + count) {
        sleep(LOOK).await;
    }
    dropped.send_replace(true);
}

fn put(figures: &mut Figures, door: Door, mut hearing: heard::Hearing) {
    let name = match door {
        Door::Sse => "heard",
        Door::WebSocket => "heard_ws",
    };
    let counts = [
        ("due", hearing.due),
        ("deliveries", hearing.heard),
        ("lost", hearing.lost),
        ("twice", hearing.twice),
        ("order_violations", hearing.order_violations),
    ];
    figures.extend(counts.map(|(what, count)| (format!("{name}_{what}"), count as f64)));
    for (share, suffix) in [(0.5, "p50"), (0.99, "p99"), (1.0, "max")] {
        let value = percentile(&mut hearing.seconds, share);
        figures.extend(value.map(|value| (format!("{name}_{suffix}_seconds"), value)));
    }
}

/// Listens for ever; who is sent away comes again and has missed what happened meanwhile.
async fn listen(door: Door, http: Http, heard: Heard, came: Arc<AtomicU64>) {
    loop {
        if let Ok(line) = Line::open(door, &http).await {
            came.fetch_add(1, Ordering::Relaxed);
            hear(line, &heard).await;
        }
        sleep(PAUSE).await;
    }
}
