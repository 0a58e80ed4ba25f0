//! The real binary: what it prints, writes, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use fleetbeat_loadtest::spokes::{RegistrationFile, Script};

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fleetbeat-loadtest"))
}

fn run(arguments: &[&str]) -> Output {
    binary().args(arguments).output().unwrap()
}

/// A running simulator; killed when a test ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_serves_writes_its_files_and_ends_politely_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["spokes", "-n", "5", "--ports", "any", "--control", "127.0.0.1:0", "--dir"];
    let child = binary().args(arguments).arg(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("5 simulated spokes"));
    let control = lines.find_map(|line| line.unwrap().strip_prefix("control API  http://").map(str::to_owned)).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("control.addr").trim(), control);
    assert!(read("ca.pem").starts_with("-----BEGIN CERTIFICATE"));
    let file: RegistrationFile = serde_json::from_str(&read("fleet.json")).unwrap();
    assert_eq!(file.clusters.len(), 5);
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());
    assert!(lines.next().unwrap().unwrap().starts_with("served 0 requests"));
}

#[test]
fn a_script_ends_the_run_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script.yaml");
    std::fs::write(&script, "changes: [{at_ms: 50, spoke: hub-00001, behaviour: dead}]").unwrap();
    let script = script.to_str().unwrap();
    let fleet = ["spokes", "-n", "3", "--ports", "any", "--control", "127.0.0.1:0", "--exit-after-script", "--script"];
    let refused = run(&[&fleet[..], &[script]].concat());
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hub-00001"), "an unknown spoke is named");
    std::fs::write(script, "changes: [{at_ms: 50, spoke: spoke-00001, behaviour: dead}]").unwrap();
    let played = run(&[&fleet[..], &[script]].concat());
    assert!(played.status.success());
    assert!(String::from_utf8_lossy(&played.stdout).contains("1 changes"));
}

#[test]
fn it_prints_scripts_and_behaviours() {
    let arguments = ["script", "-n", "50", "--minutes", "10", "--clean", "--troubles-per-hour", "60"];
    let printed = run(&arguments);
    let script = Script::parse(&String::from_utf8(printed.stdout).unwrap()).unwrap();
    assert!(script.changes.len() > 10 && script.duration_ms == 600_000);
    let words = String::from_utf8(run(&["behaviours"]).stdout).unwrap();
    assert!(words.contains("blackhole") && words.contains("certificate:expired"));
}

#[test]
fn a_word_that_means_nothing_is_refused_with_what_would() {
    let refused = run(&["spokes", "--endpoints", "grafana"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("prometheus,loki=0.25"));
}
