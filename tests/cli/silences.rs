//! `fleetbeat silences`: made, listed and ended by hand in front of a real server.

use std::time::Duration;

use super::desk::Desk;
use super::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_made_listed_seen_and_ended() {
    let mut desk = Desk::open().await;
    let made = desk.ask(&["silences", "create", "new switch", "-l", "team=core", "--for", "2h"]).expect(0).out;
    let id = made.trim().to_owned();
    desk.add_dead("prod-east-1", &["--label", "team=core"]).await;
    let told = desk.ask(&["clusters", "get", "prod-east-1", "-o", "json"]).expect(0).json();
    assert_eq!(told["silenced_by"][0], *id);
    assert!(desk.ask(&["clusters", "get", "prod-east-1"]).expect(0).out.contains("Silenced by"));
    let nightly = ["silences", "create", "nightly", "--cluster", "prod-east-1", "--from", "2026-01-01T21:00:00Z"];
    let nightly = [&nightly[..], &["--for", "30m", "--rrule", "FREQ=DAILY", "--time-zone", "Europe/Berlin"]].concat();
    let nightly = desk.ask(&nightly).expect(0).out.trim().to_owned();
    let list = desk.ask(&["silences", "list"]).expect(0).out;
    assert!(list.contains("team=core") && list.contains("1 by id") && list.contains("FREQ=DAILY"), "{list}");
    let found = desk.ask(&["silences", "list", "--cluster", "prod-east-1", "-o", "json"]).expect(0).json();
    assert_eq!((&found["total"], &found["items"][0]["comment"]), (&2.into(), &"nightly".into()));
    desk.product.terminate(Duration::from_secs(10)).await;
    desk.product.start().await;
    let client = desk.product.client();
    eventually(Duration::from_secs(20), async || {
        let metrics = client.get("/metrics").await.text();
        let wanted = ["fleetbeat_silences{state=\"active\"} ", "fleetbeat_cluster_silenced{cluster=\"prod-east-1\""];
        if wanted.iter().all(|wanted| metrics.contains(wanted)) { Ok(()) } else { Err(metrics) }
    })
    .await;
    assert_eq!(desk.ask(&["silences", "end", &id, &nightly]).expect(0).out, format!("ended {id}\nended {nightly}\n"));
    assert_eq!(desk.ask(&["silences", "list", "--state", "expired", "-o", "json"]).expect(0).json()["total"], 2);
    desk.ask(&["silences", "end", &id]).expect(1);
    let uptime = client.get(&format!("/api/v1/clusters/{}/uptime", told["id"].as_str().unwrap())).await.json();
    assert!(uptime["excluded_seconds"].as_f64().unwrap() > 0.0, "{uptime}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_told_before_or_by_the_server() {
    let desk = Desk::open().await;
    desk.ask(&["silences", "create", "x", "--for", "2h"]).expect(2);
    desk.ask(&["silences", "create", "x", "-l", "a=b"]).expect(2);
    desk.ask(&["silences", "create", "x", "-l", "a=b", "--for", "long"]).expect(2);
    desk.ask(&["silences", "create", "x", "-l", "a=b", "--for", "1h", "--time-zone", "UTC"]).expect(2);
    desk.ask(&["silences", "create", "x", "--cluster", "nobody", "--for", "1h"]).expect(3);
    let said = desk.ask(&["silences", "create", "x", "-l", "a=b", "--for", "1h", "--rrule", "FREQ=HOURLY"]).expect(1);
    assert!(said.err.contains("rrule"), "{}", said.err);
}
