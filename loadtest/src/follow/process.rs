//! What a process uses, from `/proc`: CPU time, memory, threads, descriptors.

use std::fs;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Notes;
use crate::clock::{WallMs, wall_ms};

/// A look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// When.
    pub at: WallMs,
    /// Which process: figures of another one begin anew.
    pub pid: u32,
    /// CPU time so far, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub rss_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// Does this process run? One that has ended and is not yet collected does not.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    state.is_some_and(|state| !["Z", "X"].contains(&state))
}

/// Looks at a process; nothing once it is gone.
pub fn usage_of(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    Some(Usage {
        at: wall_ms(),
        pid,
        cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        rss_kib: line("VmRSS").unwrap_or(0),
        threads: line("Threads").unwrap_or(0),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64),
    })
}

/// Looks every second, for ever, at whichever process the channel names.
pub async fn follow_process(pid: watch::Receiver<Option<u32>>, notes: Notes<Usage>) {
    let mut beat = interval(Duration::from_secs(1));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let now = *pid.borrow();
        if let Some(usage) = now.and_then(usage_of) {
            notes.push(usage);
        }
    }
}

/// How often it is looked whether a process still runs.
const ALIVE: Duration = Duration::from_millis(500);

/// Waits until the process that is meant to run does not.
pub async fn ended_by_itself(pid: watch::Receiver<Option<u32>>) {
    loop {
        sleep(ALIVE).await;
        let meant = *pid.borrow();
        if meant.is_some_and(|pid| !is_running(pid)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_process_that_is_gone_is_noticed_and_one_that_is_meant_to_be_is_not() {
        let (pid, follows) = watch::channel(Some(std::process::id()));
        let mut ended = std::pin::pin!(ended_by_itself(follows));
        let moment = Duration::from_millis(1_200);
        assert!(timeout(moment, &mut ended).await.is_err());
        pid.send_replace(None);
        assert!(timeout(moment, &mut ended).await.is_err());
        pid.send_replace(Some(u32::MAX));
        assert!(timeout(Duration::from_secs(30), &mut ended).await.is_ok());
    }

    #[test]
    fn this_process_uses_something_and_a_missing_one_nothing() {
        let usage = usage_of(std::process::id()).unwrap();
        assert!(usage.rss_kib > 100 && usage.threads >= 1 && usage.descriptors >= 3, "{usage:?}");
        assert_eq!(usage_of(u32::MAX), None);
        assert!(is_running(std::process::id()) && !is_running(u32::MAX));
    }
}
