//! A server with a fleet in front of it, and the binary asked as a user would ask it.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fleetbeat_loadtest::spokes::{Endpoints, Fleet, FleetOptions, Ports};
use serde_json::Value;

use super::support::{Product, eventually};

/// A server, and the address its clients are told.
pub struct Desk {
    /// The server.
    pub product: Product,
}

/// What the binary said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Said {
    /// Panics unless the exit code is the one expected.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl Desk {
    /// A server with an empty roll.
    pub async fn open() -> Self {
        let product = Product::new();
        let url = product.url();
        Self { product: product.with_variable("FLEETBEAT_SERVER", url).started().await }
    }

    /// Asks the binary.
    pub fn ask(&self, arguments: &[&str]) -> Said {
        self.product.run(arguments).into()
    }

    /// Asks the binary, with a pipeline of the shell: `$fleetbeat` is the binary.
    pub fn shell(&self, script: &str) -> Said {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60", "bash", "-o", "pipefail", "-c", script]);
        command.env("fleetbeat", env!("CARGO_BIN_EXE_fleetbeat")).env("FLEETBEAT_SERVER", self.product.url());
        command.stdin(Stdio::null()).output().unwrap().into()
    }

    /// Registers a cluster where nobody listens; returns when it is known to be OFFLINE.
    pub async fn add_dead(&self, name: &str, more: &[&str]) {
        let arguments = ["clusters", "add", name, "--api-server", "https://127.0.0.1:1"];
        self.ask(&[&arguments, more].concat()).expect(0);
        self.until(name, "OFFLINE").await;
    }

    /// Waits until a cluster is in a state.
    pub async fn until(&self, name: &str, state: &str) {
        let client = self.product.client();
        eventually(Duration::from_secs(20), async || {
            let cluster = client.get(&format!("/api/v1/clusters/by-name/{name}")).await.json();
            let now = cluster["status"]["state"].as_str().unwrap_or_default().to_owned();
            if now == state { Ok(()) } else { Err(now) }
        })
        .await;
    }
}

/// Simulated clusters with nothing but an API server and a Prometheus, and the file that registers them.
pub fn spokes(count: usize, seed: u64) -> Fleet {
    let endpoints: Endpoints = "prometheus".parse().unwrap();
    let options = FleetOptions { count, seed, ports: Ports::ANY, endpoints, ..FleetOptions::default() };
    Fleet::start_on_own_threads(&options, 1).unwrap()
}
