//! `fleetbeat watch` and `fleetbeat events`: what happens, as it happens, and what happened.

use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::Value;

use super::desk::Desk;
use super::steady::steady;
use super::support::{Running, Scratch, eventually};

/// `fleetbeat watch`, writing into a file.
struct Watching {
    running: Running,
    _scratch: Scratch,
}

impl Watching {
    fn begin(desk: &Desk, arguments: &[&str]) -> Self {
        let scratch = Scratch::new();
        let program = Path::new(env!("CARGO_BIN_EXE_fleetbeat"));
        let running = Running::spawn(program, None, &scratch.path().join("out"), |command| {
            command.arg("watch").args(arguments).env("FLEETBEAT_SERVER", desk.product.url());
        });
        Self { running, _scratch: scratch }
    }

    async fn until(&self, words: &str) -> String {
        eventually(Duration::from_secs(20), async || {
            let text = self.running.log();
            if text.contains(words) { Ok(text) } else { Err(text) }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_every_change_even_across_a_restart_of_the_server() {
    let mut desk = Desk::open().await;
    desk.add_dead("before", &[]).await;
    let watching = Watching::begin(&desk, &["--after", "0"]);
    watching.until("UNKNOWN → OFFLINE").await;
    desk.product.kill9();
    watching.until("connection lost").await;
    desk.product.start().await;
    desk.add_dead("after", &[]).await;
    desk.ask(&["clusters", "rm", "before", "--yes"]).expect(0);
    watching.until("- before").await;
    let seen = watching.running.log();
    let lines: Vec<_> = seen.lines().filter(|line| !line.starts_with("connect")).collect();
    let told: Vec<_> = lines.iter().filter(|line| !line.contains("OBSERVATION_GAP")).copied().collect();
    assert!(seen.contains("connected again; nothing was missed"), "{seen}");
    assert_snapshot!("watch", steady(&told.join("\n")));
    let listed = desk.ask(&["events", "list"]).expect(0).out;
    assert_eq!(listed.lines().collect::<Vec<_>>(), lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_may_choose_by_label_by_cluster_and_by_type() {
    let desk = Desk::open().await;
    desk.add_dead("mine", &["--label", "team=core"]).await;
    let by_label = Watching::begin(&desk, &["-l", "team=core", "-o", "json", "--after", "0"]);
    let types = "cluster_status_changed,cluster_deleted";
    let by_cluster = Watching::begin(&desk, &["--cluster", "mine", "--event", types, "--after", "0"]);
    by_label.until("OFFLINE").await;
    by_cluster.until("OFFLINE").await;
    desk.add_dead("theirs", &["--label", "team=other"]).await;
    desk.add_dead("mine-too", &["--label", "team=core"]).await;
    desk.ask(&["clusters", "rm", "theirs", "mine", "mine-too", "--yes"]).expect(0);
    by_cluster.until("removed").await;
    let log = eventually(Duration::from_secs(20), async || {
        let log = by_label.running.log();
        let complete = log.matches("CLUSTER_DELETED").count() == 2;
        if complete { Ok(log) } else { Err(log) }
    })
    .await;
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 6);
    assert!(!log.contains("theirs"), "{log}");
    assert_eq!(by_cluster.running.log().lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_in_parts_and_a_reader_that_leaves_is_no_error() {
    let desk = Desk::open().await;
    desk.add_dead("abc", &[]).await;
    desk.add_dead("xyz", &[]).await;
    let events: Vec<Value> = eventually(Duration::from_secs(20), async || {
        let all = desk.ask(&["events", "list", "-o", "json"]).expect(0).out;
        let events: Vec<_> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if events.len() == 4 { Ok(events) } else { Err(all) }
    })
    .await;
    assert_eq!(desk.ask(&["events", "list", "--limit", "3"]).expect(0).out.lines().count(), 3);
    let after = events[1]["position"].to_string();
    assert_eq!(desk.ask(&["events", "list", "--after", &after]).expect(0).out.lines().count(), 2);
    assert_eq!(desk.ask(&["events", "list", "--cluster", "abc"]).expect(0).out.lines().count(), 2);
    let registered = desk.ask(&["events", "list", "--event", "cluster_registered"]).expect(0).out;
    assert_eq!(registered.lines().count(), 2);
    desk.shell("for each in 1 2 3 4 5; do $fleetbeat events list; done | head -1").expect(0);
    desk.ask(&["watch", "--cluster", "nobody"]).expect(3);
    desk.ask(&["watch", "--server", "127.0.0.1:1"]).expect(4);
}
