//! What the machine gave to a run: how much its host took of it, and how long it stood still.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// How often the thread wakes whose lateness is measured.
const BEAT: Duration = Duration::from_millis(10);

/// What a machine gave over some time.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// How much of the time its host gave to others, in per cent of all processors.
    pub stolen_percent: f64,
    /// The longest time by which a thread with nothing to do was woken too late.
    pub stood_still_max: Duration,
}

/// Watches a machine from when it is made until it is dropped.
#[derive(Debug)]
pub struct MachineWatch {
    before: Option<Processors>,
    longest_micros: Arc<AtomicU64>,
}

impl MachineWatch {
    /// Begins to watch, with a thread of its own.
    pub fn begin() -> Self {
        let longest_micros = Arc::default();
        let noted = Arc::downgrade(&longest_micros);
        thread::spawn(move || note_lateness(&noted));
        Self { before: Processors::now(), longest_micros }
    }

    /// What the machine gave so far.
    pub fn given(&self) -> Given {
        let stolen = Processors::now().zip(self.before).map(|(now, before)| now.stolen_percent_since(before));
        Given {
            stolen_percent: stolen.unwrap_or_default(),
            stood_still_max: Duration::from_micros(self.longest_micros.load(Ordering::Relaxed)),
        }
    }
}

/// Wakes on every beat, and notes the longest lateness for as long as somebody wants to know.
fn note_lateness(longest_micros: &Weak<AtomicU64>) {
    loop {
        let due = Instant::now() + BEAT;
        thread::sleep(BEAT);
        let late = Instant::now().saturating_duration_since(due);
        let Some(longest) = longest_micros.upgrade() else { return };
        longest.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Time of all processors since this machine started, in ticks.
#[derive(Clone, Copy, Debug)]
struct Processors {
    all: u64,
    stolen: u64,
}

impl Processors {
    /// As it is now; nothing where the kernel does not tell.
    fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<u64> =
            stat.lines().next()?.split_whitespace().skip(1).map_while(|tick| tick.parse().ok()).collect();
        // The last two are part of the first two.
        Some(Self { all: ticks.iter().take(8).sum(), stolen: *ticks.get(7)? })
    }

    /// How much of the time since then the host of a virtual machine gave to others, in per cent.
    fn stolen_percent_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        100.0 * self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_a_share_of_all_time() {
        let before = Processors { all: 1_000, stolen: 50 };
        assert_eq!(Processors { all: 1_400, stolen: 150 }.stolen_percent_since(before), 25.0);
        let now = Processors::now().unwrap();
        assert!(now.all > now.stolen && now.stolen_percent_since(now) == 0.0, "{now:?}");
    }

    #[test]
    fn lateness_is_noted_while_it_is_watched_and_the_thread_ends_with_the_watch() {
        let watch = MachineWatch::begin();
        let noted = Arc::downgrade(&watch.longest_micros);
        let begin = Instant::now();
        while watch.given().stood_still_max.is_zero() {
            assert!(begin.elapsed() < Duration::from_secs(40), "no thread is woken on the microsecond for ever");
            thread::sleep(BEAT);
        }
        assert!(watch.given().stood_still_max <= begin.elapsed());
        drop(watch);
        while noted.strong_count() > 0 {
            thread::sleep(BEAT);
        }
        note_lateness(&noted);
    }
}
