//! `fleetbeat apply`, `diff` and `export`: the fleet as files want it; and `clusters describe`.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use super::desk::{Desk, Said};
use super::steady::steady;

struct Files {
    folder: PathBuf,
}

impl Files {
    fn of(desk: &Desk) -> Self {
        let folder = desk.product.data_dir().join("fleet");
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    fn path(&self) -> &str {
        self.folder.to_str().unwrap()
    }
}

fn counts(said: &Said) -> &str {
    said.err.lines().last().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_applied_compared_and_pruned() {
    let desk = Desk::open().await;
    let files = Files::of(&desk);
    files.write("east.yaml", "name: east-1\napi_server_url: https://127.0.0.1:1\nregion: east\nlabels: {team: core}\n");
    files.write("lab.yaml", "clusters:\n- name: lab-1\n  api_server_url: https://127.0.0.1:1\n- {name: lab-2, api_server_url: 'https://127.0.0.1:1'}\n");
    let apply = |more: &[&str]| desk.ask(&[&["apply", "-f", files.path()], more].concat());
    let diff = |more: &[&str]| desk.ask(&[&["diff", "-f", files.path()], more].concat());

    assert_eq!(diff(&[]).expect(1).out, "+ east-1\n+ lab-1\n+ lab-2\n");
    assert_eq!(counts(&apply(&["--dry-run"]).expect(0)), "3 would be created");
    assert_eq!(desk.ask(&["clusters", "list"]).expect(0).err, "no clusters\n");
    assert_eq!(counts(&apply(&[]).expect(0)), "3 created");
    assert_eq!(diff(&[]).expect(0).out, "");
    assert_eq!(counts(&apply(&[]).expect(0)), "3 unchanged");

    // What somebody changed by hand in a field that the file names is a difference; in another field it is none.
    let id = desk.ask(&["clusters", "get", "east-1", "-o", "json"]).expect(0).json()["id"].as_str().unwrap().to_owned();
    let change = serde_json::json!({ "region": "west", "platform_version": "4.18" });
    desk.product.client().patch(&format!("/api/v1/clusters/{id}"), &change).await.expect(200);
    assert_eq!(diff(&[]).expect(1).out, "~ east-1\n    region: \"west\" → \"east\"\n");
    let told = diff(&["-o", "json"]).expect(1).json();
    assert_eq!(told["items"][0]["fields"][0]["before"], "west");
    assert_snapshot!("applied", steady(&apply(&[]).expect(0).out));
    assert_eq!(desk.ask(&["clusters", "get", "east-1", "-o", "json"]).expect(0).json()["platform_version"], "4.18");

    std::fs::remove_file(files.folder.join("lab.yaml")).unwrap();
    assert_eq!(diff(&[]).expect(0).out, "");
    assert_eq!(diff(&["--prune"]).expect(1).out, "- lab-1\n- lab-2\n");
    assert_eq!(diff(&["--prune", "-l", "team=core"]).expect(0).out, "");
    assert!(apply(&["--prune"]).expect(2).err.contains("this removes lab-1, lab-2: say --yes"));
    assert_eq!(counts(&apply(&["--prune", "--yes"]).expect(0)), "1 unchanged, 2 removed");
    assert_eq!(desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out, "east-1\n");
    std::fs::remove_file(files.folder.join("east.yaml")).unwrap();
    assert!(apply(&["--prune", "--yes"]).expect(2).err.contains("the files name no cluster"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_when_anything_is_wrong() {
    let desk = Desk::open().await;
    let files = Files::of(&desk);
    files.write("good.yaml", "name: good-1\napi_server_url: https://127.0.0.1:1\n");
    files.write("wrong.yaml", "name: wrong-1\napi_server_url: ftp://x\ncolour: red\n");
    let said = desk.ask(&["apply", "-f", files.path()]).expect(1);
    assert!(said.out.contains("api_server_url: ") && said.out.contains("colour: "), "{}", said.out);
    assert!(said.err.contains("1 of 2 are wrong; nothing was done"), "{}", said.err);
    assert_eq!(desk.ask(&["clusters", "list"]).expect(0).err, "no clusters\n");
    assert_eq!(desk.ask(&["diff", "-f", "nowhere.yaml"]).code, 2);
    files.write("wrong.yaml", "name: good-1\n");
    assert!(desk.ask(&["apply", "-f", files.path()]).expect(1).err.contains("good-1 stands in "));
    assert_eq!(desk.ask(&["diff", "-f", files.path(), "--server", "http://127.0.0.1:1"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_applied_without_a_difference() {
    let desk = Desk::open().await;
    let more = [
        "--type",
        "hub",
        "--region",
        "eu",
        "--label",
        "team=core",
        "--interval",
        "30",
        "--loki-url",
        "http://127.0.0.1:1",
    ];
    desk.add_dead("hub-1", &more).await;
    let added = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem();
    let pem = desk.product.data_dir().join("ca.pem");
    std::fs::write(&pem, added).unwrap();
    desk.add_dead("edge-1", &["--ca-file", pem.to_str().unwrap()]).await;
    let exported = desk.ask(&["export"]).expect(0).out;
    assert!(exported.contains("ca_bundle") && !exported.contains("status") && !exported.contains("null"), "{exported}");
    desk.shell("$fleetbeat export | $fleetbeat diff -f -").expect(0);
    let folder = desk.product.data_dir().join("out");
    desk.ask(&["export", "-l", "team=core", "--directory", folder.to_str().unwrap()]).expect(0);
    let written: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(written, ["hub-1.yaml"]);
    assert_snapshot!("exported", std::fs::read_to_string(Path::new(&folder).join("hub-1.yaml")).unwrap());

    // Into an empty fleet it brings the same clusters.
    let whole = desk.product.data_dir().join("fleet.yaml");
    std::fs::write(&whole, &exported).unwrap();
    desk.ask(&["clusters", "rm", "hub-1", "edge-1", "--yes"]).expect(0);
    desk.ask(&["apply", "-f", whole.to_str().unwrap()]).expect(0);
    assert_eq!(desk.ask(&["export"]).expect(0).out, exported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_tells_why_and_what_happened() {
    let desk = Desk::open().await;
    desk.add_dead("prod-east-1", &["--environment", "production"]).await;
    let said = desk.ask(&["clusters", "describe", "prod-east-1"]).expect(0).out;
    for part in [
        "State:",
        "OFFLINE",
        "connection refused",
        "CONDITION",
        "Reachable",
        "LAST EVENTS",
        "registered",
        "UNKNOWN → OFFLINE",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let json = desk.ask(&["clusters", "describe", "prod-east-1", "--events", "1", "-o", "json"]).expect(0).json();
    assert_eq!(json["events"].as_array().unwrap().len(), 1);
    assert_eq!(json["events"][0]["event_type"], "CLUSTER_STATUS_CHANGED");
    desk.ask(&["clusters", "describe", "nobody"]).expect(3);
}
