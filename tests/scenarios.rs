//! Short forms of the load harness's scenarios against the real binary with real PostgreSQL and Redis: what the long
//! ones show with figures must hold here as well.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_transition_of_the_spokes_is_told_once_in_order_and_no_other() {
    run("transitions-10min");
}

#[test]
fn nothing_confirmed_is_lost_when_fleetbeat_is_killed() {
    run("kill9-loop");
}

#[test]
fn a_killed_redis_costs_no_event() {
    run("redis-killed");
}

#[test]
fn a_stopped_database_changes_no_state_and_costs_no_event() {
    run("postgres-stopped");
}

#[test]
fn a_stopped_fleetbeat_blames_nobody_afterwards() {
    run("sigstop-60");
}

/// Runs the short form of a scenario; every limit in it must be kept.
#[track_caller]
fn run(scenario: &str) {
    let fleetbeat = Path::new(env!("CARGO_BIN_EXE_fleetbeat"));
    let harness = fleetbeat.with_file_name("fleetbeat-loadtest");
    assert!(harness.exists(), "{} is missing: test the whole workspace", harness.display());
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scenarios").join(scenario);
    let mut command = Command::new(harness);
    command
        .args(["run", scenario, "--seed", "1", "--short", "--quiet", "--fleetbeat"])
        .arg(fleetbeat)
        .arg("--out")
        .arg(&out);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}\n{}", text(&output.stdout), text(&output.stderr), out.display());
}
