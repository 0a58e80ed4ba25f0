//! Every command of the documents, run as a reader would: in their order, in one shell, against a real fleetbeat.
#![cfg(test)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::prelude::*;
use fleetbeat_loadtest::spokes::{Fleet, FleetOptions, Ports};
use serde_json::{Value, json};
use support::{Product, Running, Scratch, eventually};

const ADDRESS: &str = "127.0.0.1:8080";
/// How long something endless is watched.
const A_WHILE: Duration = Duration::from_secs(3);

/// A block of a document.
#[derive(Debug, PartialEq)]
struct Block {
    /// `endless` goes on until it is ended, `fails` ends with an error, nothing otherwise.
    kind: String,
    text: String,
}

/// The blocks fenced as `sh`, in their order.
fn blocks(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(block), _) => block.text.push_str(&format!("{line}\n")),
            (None, Some(info)) if !info.is_empty() => open = Some(Block { kind: info.to_owned(), text: String::new() }),
            (None, _) => {}
        }
    }
    let is_shell = |block: Block| {
        let kind = block.kind.strip_prefix("sh")?.trim().to_owned();
        Some(Block { kind, ..block })
    };
    found.into_iter().filter_map(is_shell).collect()
}

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// A reader: a home with a kubeconfig, the binary on the search path, and a server.
struct Reader {
    home: Scratch,
    address: String,
    _fleet: Fleet,
}

impl Reader {
    fn new(address: &str) -> Self {
        let options = FleetOptions { count: 2, ports: Ports::ANY, ..FleetOptions::default() };
        let fleet = Fleet::start_on_own_threads(&options, 1).unwrap();
        let home = Scratch::new();
        std::fs::create_dir_all(home.path().join(".kube")).unwrap();
        let config = kubeconfig(&serde_json::to_value(fleet.registrations()).unwrap());
        home.write(".kube/config", &config.to_string(), None);
        Self { home, address: address.to_owned(), _fleet: fleet }
    }

    fn shell(&self, script: &str) -> Command {
        let binaries = Path::new(env!("CARGO_BIN_EXE_fleetbeat")).parent().unwrap();
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script.replace(ADDRESS, &self.address)]);
        command.current_dir(self.home.path()).env_clear().env("PATH", path).env("HOME", self.home.path());
        command
            .env("FLEETBEAT__SERVER__LISTEN", &self.address)
            .env("FLEETBEAT_SERVER", format!("http://{}", self.address));
        command.stdin(Stdio::null());
        command
    }

    /// Runs blocks in one shell; panics when it ends otherwise than expected.
    fn run(&self, script: &str, succeeds: bool) {
        let mut command = self.shell(script);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = format!("{script}\n{}\n{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.success(), succeeds, "{said}");
    }

    /// Starts what does not end by itself; dropped, it is killed.
    fn start(&self, script: &str) -> Running {
        let script = format!("exec {}", script.trim().replace(ADDRESS, &self.address));
        let log = self.home.path().join("endless.log");
        Running::spawn(Path::new("bash"), None, &log, |command| {
            let shell = self.shell(&script);
            command.args(shell.get_args()).current_dir(self.home.path()).env_clear();
            for (name, value) in shell.get_envs() {
                if let Some(value) = value {
                    command.env(name, value);
                }
            }
        })
    }
}

fn kubeconfig(registrations: &Value) -> Value {
    let clusters = registrations["clusters"].as_array().unwrap();
    let entry = |cluster: &Value| {
        let mut about = json!({ "server": cluster["api_server_url"] });
        if let Some(pem) = cluster["ca_bundle"].as_str() {
            about["certificate-authority-data"] = BASE64_STANDARD.encode(pem).into();
        }
        json!({ "name": cluster["name"], "cluster": about })
    };
    let context =
        |cluster: &Value| json!({ "name": cluster["name"], "context": { "cluster": cluster["name"], "user": "me" } });
    json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": clusters.iter().map(entry).collect::<Vec<_>>(),
        "contexts": clusters.iter().map(context).collect::<Vec<_>>(),
        "users": [{ "name": "me", "user": {} }],
    })
}

/// Plays a document. What was run in earlier blocks is still set in later ones: variables of the shell are kept by running the plain
/// assignments again.
async fn play(name: &str, reader: &Reader) {
    let mut endless = Vec::new();
    let mut kept = String::new();
    for block in blocks(&document(name)) {
        match block.kind.as_str() {
            "" => {
                let state = reader.home.path().join("state");
                let script =
                    format!("{kept}{}\ndeclare -p API ID ETAG > {} 2>/dev/null || true\n", block.text, state.display());
                reader.run(&script, true);
                kept = std::fs::read_to_string(&state).unwrap_or_default();
            }
            "fails" => reader.run(&block.text, false),
            "endless" => {
                let mut running = reader.start(&block.text);
                if block.text.starts_with("fleetbeat serve") {
                    let client = support::Client::new(&format!("http://{}", reader.address));
                    eventually(Duration::from_secs(30), async || {
                        client.try_get("/ready").await.is_ok_and(|answer| answer.status == 200)
                    })
                    .await;
                } else {
                    tokio::time::sleep(A_WHILE).await;
                }
                assert!(running.exited().is_none(), "{name}: {} ended:\n{}", block.text, running.log());
                endless.push(running);
            }
            other => panic!("{name}: what is `sh {other}`?"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn getting_started_leads_from_a_kubeconfig_to_a_dashboard() {
    let reader = Reader::new(&format!("127.0.0.1:{}", support::free_port()));
    play("getting-started.md", &reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_concepts_work() {
    let product = Product::new().started().await;
    let cluster = json!({ "name": "east-1", "api_server_url": "https://127.0.0.1:9" });
    product.client().post("/api/v1/clusters", &cluster).await.expect(201);
    let reader = Reader::new(&product.url().replace("http://", ""));
    play("concepts.md", &reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_api_work() {
    if Command::new("jq").arg("--version").output().is_err() {
        eprintln!("SKIPPED: jq is not installed, so the examples of docs/api.md were not run");
        return;
    }
    let product = Product::new().started().await;
    let reader = Reader::new(&product.url().replace("http://", ""));
    play("api.md", &reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_webhooks_work() {
    let product = Product::new().started().await;
    let reader = Reader::new(&product.url().replace("http://", ""));
    play("webhooks.md", &reader).await;
}

#[test]
fn blocks_are_found_by_their_fences() {
    let found = blocks("a\n```sh\none\n```\n```yaml\nno\n```\n```sh endless\ntwo\n```\n");
    let block = |kind: &str, text: &str| Block { kind: kind.to_owned(), text: text.to_owned() };
    assert_eq!(found, [block("", "one\n"), block("endless", "two\n")]);
}

#[test]
fn the_readers_kubeconfig_is_the_users_alone() {
    let reader = Reader::new("127.0.0.1:1");
    let mode = std::fs::metadata(reader.home.path().join(".kube/config")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
