//! `fleetbeat demo`: it shows what it says, tells the truth about itself, and leaves nothing behind.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::support::{Client, Running, Scratch, eventually, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_shows_changes_and_ends_within_two_seconds_leaving_nothing() {
    let (scratch, port) = (Scratch::new(), free_port());
    let (listen, base) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let program = Path::new(env!("CARGO_BIN_EXE_fleetbeat"));
    let mut demo = Running::spawn(program, None, &scratch.path().join("out"), |command| {
        command.args(["demo", "--spokes", "20", "--listen", &listen]).env("TMPDIR", scratch.path());
    });
    let client = Client::new(&base);
    eventually(Duration::from_secs(30), async || {
        let log = demo.log();
        if log.contains("20 ONLINE") { Ok(()) } else { Err(log) }
    })
    .await;
    let summary = client.get("/api/v1/fleet/summary").await.expect(200).json();
    assert_eq!(summary["total_clusters"], 20);
    let page = client.get("/").await.expect(200).text();
    assert!(
        page.contains("<html") && demo.log().contains(&format!("{base}/\n")),
        "the dashboard is there and told of: {page}"
    );
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(demo.exited(), None, "{}", demo.log());
    let status = demo.end(Signal::INT, Duration::from_secs(20)).await;
    let said = demo.log();
    assert!(status.success(), "{said}");
    assert!(said.contains(&format!("{base}/docs")) && said.contains(" ONLINE → "), "{said}");
    assert!(said.contains("checks/s"), "{said}");
    let (announced, due) = verdict(&said);
    assert!(announced == due && due > 0, "{said}");
    assert!(said.contains("changes of state that happened, 0 that did not"), "{said}");
    assert!(client.try_get("/health").await.is_err(), "still answers");
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_ends_by_itself_when_its_minutes_are_over() {
    let (scratch, listen) = (Scratch::new(), format!("127.0.0.1:{}", free_port()));
    let program = Path::new(env!("CARGO_BIN_EXE_fleetbeat"));
    let mut demo = Running::spawn(program, None, &scratch.path().join("out"), |command| {
        command.args(["demo", "--spokes", "5", "--minutes", "0.1", "--listen", &listen]);
        command.env("TMPDIR", scratch.path());
    });
    let status = eventually(Duration::from_secs(40), async || demo.exited()).await;
    assert!(status.success() && demo.log().contains("announced 0 of 0"), "{}", demo.log());
}

/// `announced 57 of 57`
fn verdict(said: &str) -> (usize, usize) {
    let words: Vec<_> = said.split("announced ").nth(1).unwrap().split_whitespace().collect();
    (words[0].parse().unwrap(), words[2].parse().unwrap())
}
