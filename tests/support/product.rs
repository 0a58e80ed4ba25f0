//! The real binary, started as a user would start it and treated as badly as a machine can.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::http::Client;
use super::process::{Running, Scratch, free_port, tail};
use super::waiting::eventually;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// What a disk may take that stalls: limits of the database are those of the product only in an [`Product::impatient`] one.
const LIMITS: [&str; 3] = ["store.acquire_timeout_ms", "store.statement_timeout_ms", "store.call_timeout_ms"];

/// One installation: settings, a data directory and a port that outlive its processes. Dropped, its process is killed.
pub struct Product {
    environment: BTreeMap<String, String>,
    port: u16,
    running: Option<Running>,
    scratch: Scratch,
}

impl Product {
    /// An installation with default settings (SQLite, no Redis) on a free port; not started yet.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let (port, data) = (free_port(), scratch.path().join("data"));
        let mut product = Self { environment: BTreeMap::new(), port, running: None, scratch };
        LIMITS.iter().for_each(|limit| product.put(limit, 30_000));
        product
            .set("server.listen", format!("127.0.0.1:{port}"))
            .set("data_dir", data.display())
            .set("log.format", "text")
    }

    /// Sets a setting by its dotted key, for the next start.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.put(key, value);
        self
    }

    /// The same with the default limits of the database.
    #[must_use]
    pub fn impatient(mut self) -> Self {
        LIMITS.iter().for_each(|limit| drop(self.environment.remove(&variable(limit))));
        self
    }

    /// Changes a setting of an installation in use, for the next start.
    pub fn put(&mut self, key: &str, value: impl ToString) {
        self.environment.insert(variable(key), value.to_string());
    }

    /// Sets any environment variable, for the next start.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn started(mut self) -> Self {
        self.start().await;
        self
    }

    /// Starts it again on the same port and data and waits until it is ready; returns how long that took.
    pub async fn start(&mut self) -> Duration {
        let begin = tokio::time::Instant::now();
        self.launch();
        self.wait_until_ready(READY_WITHIN).await;
        begin.elapsed()
    }

    /// Runs the binary once with arguments of the caller's, in this installation's environment; killed after a minute.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_fleetbeat")]).args(arguments);
        self.environ(&mut command);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Starts the process without waiting for anything.
    pub fn launch(&mut self) {
        let program = Path::new(env!("CARGO_BIN_EXE_fleetbeat"));
        self.running = Some(Running::spawn(program, None, &self.scratch.path().join("log"), |command| {
            command.arg("serve");
            self.environ(command);
        }));
    }

    /// Nothing of the test's own environment reaches the process but the search path.
    fn environ(&self, command: &mut Command) {
        let home = self.scratch.path();
        command.current_dir(home).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home).env("RUST_BACKTRACE", "1").envs(&self.environment);
    }

    /// Waits until `/ready` answers 200; panics with the log when it does not, or when the process ends.
    pub async fn wait_until_ready(&mut self, within: Duration) {
        let client = self.client();
        let end = tokio::time::Instant::now() + within;
        loop {
            let seen = match client.try_get("/ready").await {
                Ok(answer) if answer.status == 200 => return,
                Ok(answer) => answer.text(),
                Err(error) => error,
            };
            let ended = self.running().exited();
            let late = tokio::time::Instant::now() >= end;
            assert!(ended.is_none() && !late, "not ready: {seen}; ended: {ended:?}\n{}", tail(&self.logs()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// A client that carries a bearer token.
    pub fn bearing(&self, token: &str) -> Client {
        self.client().with_header("authorization", &format!("Bearer {token}"))
    }

    /// The token that the first start of a server with tokens on made.
    pub fn first_token(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("admin-token")).unwrap().trim().to_owned()
    }

    /// The client of an administrator of a server with tokens on.
    pub fn admin(&self) -> Client {
        self.bearing(&self.first_token())
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("started").pid()
    }

    /// Everything its processes wrote so far.
    pub fn logs(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.scratch.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// How its process ended, when it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.running().exited()
    }

    /// Waits for the process to end by itself; panics when it does not.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let running = self.running.as_mut().expect("started");
        let end = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = running.exited() {
                return status;
            }
            assert!(tokio::time::Instant::now() < end, "still running after {within:?}:\n{}", tail(&running.log()));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.running().kill();
    }

    /// SIGSTOP.
    pub fn pause(&mut self) {
        self.running().pause();
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.running().resume();
    }

    /// SIGTERM, and waits for the end; panics when it takes longer than `within`.
    pub async fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.running().end(Signal::TERM, within).await
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("started")
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last lines of fleetbeat's log ---\n{}", tail(&self.logs()));
        }
    }
}

/// The environment variable of a setting.
fn variable(key: &str) -> String {
    format!("FLEETBEAT__{}", key.to_uppercase().replace('.', "__"))
}
