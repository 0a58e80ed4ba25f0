//! A PostgreSQL of this run, as user `postgres` when this process is root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Signal, geteuid};
use tokio::time::{Instant, sleep};

use super::process::{Running, Scratch, free_port};

const USER: &str = "postgres";
/// An immediate end of a server takes far less.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
const STARTS_WITHIN: Duration = Duration::from_secs(40);
const SETTINGS: [&str; 5] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=100",
    "dynamic_shared_memory_type=mmap",
    "log_min_messages=warning",
];

/// What a server does with what it has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Leaves it to the system: a killed server loses nothing by it, a killed machine would.
    Left,
    /// Waits until the disk has it.
    Synced,
}

impl Disk {
    fn setting(self) -> &'static str {
        match self {
            Self::Left => "fsync=off",
            Self::Synced => "fsync=on",
        }
    }
}

/// A PostgreSQL server.
pub struct Postgres {
    port: u16,
    disk: Disk,
    folder: PathBuf,
    running: Running,
}

impl Postgres {
    /// Makes a new database cluster and starts it.
    ///
    /// # Errors
    /// When PostgreSQL's programs are not there or the server does not answer.
    pub async fn start(scratch: &Scratch, disk: Disk) -> anyhow::Result<Self> {
        let folder = scratch.folder("postgresql", Some(USER))?;
        initialise(&folder)?;
        let port = free_port()?;
        let running = spawn(&folder, port, disk)?;
        let mut postgres = Self { port, disk, folder, running };
        postgres.answers().await?;
        Ok(postgres)
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Starts it again on the same port and data.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.running.kill();
        self.running = spawn(&self.folder, self.port, self.disk)?;
        self.answers().await
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let port = self.port.to_string();
        loop {
            let asked =
                Command::new(program("pg_isready")).args(["-q", "-t", "1", "-h", "127.0.0.1", "-p", &port]).status();
            if asked.context("cannot run pg_isready")?.success() {
                return Ok(());
            }
            if self.running.has_ended() || begin.elapsed() > STARTS_WITHIN {
                bail!("postgres does not answer:\n{}", self.running.last_words());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A server that is killed leaves its shared memory (System V) to the machine, one that is told to end at once takes it along.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.running.end_now(Signal::QUIT, ENDS_WITHIN);
    }
}

fn initialise(folder: &Path) -> anyhow::Result<()> {
    let mut command = match geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program("initdb"));
            command
        }
        false => Command::new(program("initdb")),
    };
    // Trust: it listens on loopback only, for the length of this run.
    command.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username", USER, "-D"]);
    let output = command.arg(folder.join("data")).current_dir("/").output();
    let output = output.context("a scenario with PostgreSQL needs its server (Debian: postgresql)")?;
    if !output.status.success() {
        bail!("initdb: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn spawn(folder: &Path, port: u16, disk: Disk) -> anyhow::Result<Running> {
    Running::start(&program("postgres"), Some(USER), &folder.join("log"), |command| {
        command.arg("-D").arg(folder.join("data")).current_dir("/").arg("-c").arg(format!("port={port}"));
        SETTINGS.iter().chain([&disk.setting()]).for_each(|setting| {
            command.args(["-c", setting]);
        });
    })
}

/// A program of the newest version under Debian's directory, else of the search path.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let paths = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists());
    paths.max().unwrap_or_else(|| PathBuf::from(name))
}
