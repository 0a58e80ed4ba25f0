//! Short forms of the load harness's scenarios against the real binary with real PostgreSQL and Redis: what the long
//! ones show with figures must hold here as well.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex};
use std::thread::available_parallelism;

#[test]
fn every_transition_of_the_spokes_is_told_once_in_order_and_no_other() {
    run("transitions-10min");
}

#[test]
fn nothing_confirmed_is_lost_when_fleetbeat_is_killed() {
    run("kill9-loop");
}

#[test]
fn a_redis_that_is_killed_or_stopped_costs_no_event() {
    run_both("redis-killed", "redis-stopped");
}

#[test]
fn a_redis_that_cannot_be_reached_and_a_consumer_that_dies_cost_no_event() {
    run_both("redis-blackholed", "consumer-killed");
}

#[test]
fn a_database_that_is_killed_or_stopped_changes_no_state_and_costs_no_event() {
    run_both("postgres-killed", "postgres-stopped");
}

#[test]
fn both_gone_and_everything_in_turn_cost_no_event() {
    run_both("both-gone", "fault-cycles");
}

#[test]
fn a_stopped_fleetbeat_blames_nobody_afterwards() {
    run("sigstop-60");
}

/// Runs that are under way.
static UNDER_WAY: Mutex<usize> = Mutex::new(0);
static ONE_ENDED: Condvar = Condvar::new();

/// The right to run a scenario. Every core has one: more at once starve each other.
struct Turn;

impl Turn {
    fn wait() -> Self {
        let most = available_parallelism().map_or(1, usize::from);
        *ONE_ENDED.wait_while(UNDER_WAY.lock().unwrap(), |count| *count >= most).unwrap() += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *UNDER_WAY.lock().unwrap() -= 1;
        ONE_ENDED.notify_one();
    }
}

#[track_caller]
fn run_both(one: &str, other: &str) {
    std::thread::scope(|scope| {
        let [one, other] = [one, other].map(|scenario| scope.spawn(move || run(scenario)));
        assert!(one.join().is_ok() & other.join().is_ok(), "told above");
    });
}

/// Runs the short form of a scenario; every limit in it must be kept.
fn run(scenario: &str) {
    let fleetbeat = Path::new(env!("CARGO_BIN_EXE_fleetbeat"));
    let harness = fleetbeat.with_file_name("fleetbeat-loadtest");
    assert!(harness.exists(), "{} is missing: test the whole workspace", harness.display());
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scenarios").join(scenario);
    let mut command = Command::new(harness);
    command
        .args(["run", scenario, "--seed", "1", "--short", "--quiet", "--let-sleep", "--fleetbeat"])
        .arg(fleetbeat)
        .arg("--out")
        .arg(&out);
    let turn = Turn::wait();
    let output = command.output().unwrap();
    drop(turn);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}\n{}", text(&output.stdout), text(&output.stderr), out.display());
}
