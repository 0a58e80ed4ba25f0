//! Keeping processors awake, with the program itself.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use fleetbeat_loadtest::follow::usage_of;
use fleetbeat_loadtest::stage::{Scratch, can_keep_awake, keep_awake};
use tokio::time::{Instant, sleep};

/// `SCHED_IDLE`, as the kernel counts policies.
const IDLE: &str = "5";

fn policy_of(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(38).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn processors_are_kept_busy_below_every_other_priority_until_nobody_needs_it() {
    if !can_keep_awake() {
        eprintln!("SKIPPED: CPU time is rationed here, or there is no chrt");
        return;
    }
    let scratch = Scratch::new().unwrap();
    let awake = keep_awake(Path::new(env!("CARGO_BIN_EXE_fleetbeat-loadtest")), &scratch).unwrap();
    let (pid, began) = (awake.pid(), Instant::now());
    let works = || usage_of(pid).is_some_and(|usage| usage.cpu_seconds > 0.2) && policy_of(pid) == IDLE;
    while !works() {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}: {}", usage_of(pid), awake.last_words());
        sleep(Duration::from_millis(50)).await;
    }
    drop(awake);
    assert_eq!(usage_of(pid), None);
}
