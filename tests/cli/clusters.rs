//! `fleetbeat clusters`: every command, every format, every exit code.

use insta::assert_snapshot;

use super::desk::{Desk, spokes};
use super::steady::steady;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_registered_listed_shown_checked_and_removed() {
    let desk = Desk::open().await;
    assert_eq!(desk.ask(&["clusters", "list"]).expect(0).err, "no clusters\n");
    let more = ["--type", "hub", "--environment", "production", "--region", "us-east-1", "--label", "team=core"];
    desk.add_dead("prod-east-1", &more).await;
    assert_snapshot!("list", steady(&desk.ask(&["clusters", "list"]).expect(0).out));
    assert_snapshot!("list_wide", steady(&desk.ask(&["clusters", "list", "-o", "wide"]).expect(0).out));
    assert_eq!(desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out, "prod-east-1\n");
    assert_snapshot!("get", steady(&desk.ask(&["clusters", "get", "prod-east-1"]).expect(0).out));
    assert_snapshot!("get_wide", steady(&desk.ask(&["clusters", "get", "prod-east-1", "-o", "wide"]).expect(0).out));
    assert_snapshot!("status", steady(&desk.ask(&["clusters", "status", "prod-east-1"]).expect(0).out));
    let yaml = desk.ask(&["clusters", "get", "prod-east-1", "-o", "yaml"]).expect(0).out;
    assert!(yaml.contains("name: prod-east-1\n") && yaml.contains("  team: core\n"), "{yaml}");
    let refreshed = desk.ask(&["clusters", "refresh", "prod-east-1", "-o", "json"]).expect(0).json();
    assert_eq!(refreshed["check"]["probes"][0]["cause"], "refused");
    assert!(desk.ask(&["clusters", "refresh", "prod-east-1"]).expect(0).out.contains("api_server  failed"));
    let id = refreshed["id"].as_str().unwrap();
    assert_eq!(desk.ask(&["clusters", "get", id, "-o", "json"]).expect(0).json()["name"], "prod-east-1");
    desk.ask(&["clusters", "rm", "prod-east-1"]).expect(2);
    assert_eq!(desk.ask(&["clusters", "rm", "prod-east-1", "--yes"]).expect(0).out, "removed prod-east-1\n");
    desk.ask(&["clusters", "get", "prod-east-1"]).expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_fleet_is_listed_by_pages_filters_and_orders() {
    let (desk, fleet) = (Desk::open().await, spokes(7, 21));
    let file = desk.product.data_dir().join("fleet.json");
    std::fs::write(&file, serde_json::to_string(&fleet.registrations()).unwrap()).unwrap();
    desk.ask(&["clusters", "import", file.to_str().unwrap()]).expect(0);
    desk.add_dead("zz-dead", &["--environment", "lab", "--label", "team=none"]).await;
    for spoke in fleet.spokes() {
        desk.until(&spoke.name, "ONLINE").await;
    }
    let names = |arguments: &[&str]| -> Vec<String> {
        let said = desk.ask(&[&["clusters", "list", "-o", "name"], arguments].concat()).expect(0);
        said.out.lines().map(str::to_owned).collect()
    };
    assert_eq!(names(&[]).len(), 8);
    assert_eq!(names(&["--state", "offline"]), ["zz-dead"]);
    assert_eq!(names(&["--state", "online,degraded"]).len(), 7);
    assert_eq!(names(&["-l", "team=none"]), ["zz-dead"]);
    assert_eq!(names(&["--sort", "-name"])[0], "zz-dead");
    assert_eq!(names(&["--sort", "health_score"])[0], "zz-dead");
    assert_eq!(names(&["--name", "dead", "--type", "spoke", "--environment", "LAB"]), ["zz-dead"]);
    assert_eq!(desk.ask(&["clusters", "list", "-o", "json"]).expect(0).json()["total"], 8);
    let summary = desk.ask(&["fleet", "summary"]).expect(0).out;
    assert!(summary.starts_with("8 clusters  7 ONLINE  1 OFFLINE  mean score "), "{summary}");
    let health = desk.ask(&["fleet", "health"]).expect(0).out;
    assert!(health.contains("87.5 % online") && health.contains("zz-dead  OFFLINE"), "{health}");
    assert_eq!(desk.ask(&["fleet", "health", "-o", "json"]).expect(0).json()["by_reason"]["refused"], 1);
    assert!(desk.ask(&["fleet", "summary", "-o", "yaml"]).expect(0).out.contains("total_clusters: 8\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_in_words_and_by_the_exit_code() {
    let desk = Desk::open().await;
    let refused = desk.ask(&["clusters", "add", "BAD", "--api-server", "ftp://x", "--interval", "1"]).expect(1);
    assert_snapshot!("refused", refused.err);
    desk.add_dead("taken", &[]).await;
    let taken = desk.ask(&["clusters", "add", "taken", "--api-server", "https://127.0.0.1:1"]).expect(1);
    assert!(taken.err.contains("already exists (CLUSTER_ALREADY_EXISTS)"), "{}", taken.err);
    for usage in [&["clusters", "list", "--state", "sick"][..], &["clusters", "add", "abc"], &["nonsense"]] {
        desk.ask(usage).expect(2);
    }
    assert_eq!(desk.ask(&["clusters", "get", "nobody"]).expect(3).err, "error: no cluster named `nobody`\n");
    desk.ask(&["clusters", "status", "Not A Name"]).expect(3);
    let partly = desk.ask(&["clusters", "rm", "nobody", "taken", "--yes"]).expect(3);
    assert_eq!(partly.out, "removed taken\n");
    let nobody = desk.ask(&["clusters", "list", "--server", "http://127.0.0.1:1"]).expect(4);
    assert_eq!(nobody.err, "error: no fleetbeat at http://127.0.0.1:1 (is `fleetbeat serve` running?)\n");
    desk.ask(&["clusters", "list", "--server", "gopher://x"]).expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_come_when_asked_for_and_not_into_files() {
    let desk = Desk::open().await;
    desk.add_dead("abc", &[]).await;
    assert!(!desk.ask(&["clusters", "list"]).expect(0).out.contains('\u{1b}'));
    let coloured = desk.ask(&["clusters", "list", "--color", "always"]).expect(0).out;
    assert!(coloured.contains("\u{1b}[38;5;9mOFFLINE"), "{coloured:?}");
    let watched = desk.ask(&["events", "list", "--color", "always"]).expect(0).out;
    assert!(watched.contains("\u{1b}["), "{watched:?}");
}
