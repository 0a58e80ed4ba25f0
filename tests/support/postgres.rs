//! A real PostgreSQL server: its own data, its own port, killed with the test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::process::{Running, Scratch, at_the_mercy_of_tests, free_port, is_root, tail};
use super::tls::Authority;
use super::waiting::eventually;

/// PostgreSQL refuses to run as root.
const USER: &str = "postgres";
const PASSWORD: &str = "a test's own pa$$word";
const PASSWORD_IN_URL: &str = "a%20test%27s%20own%20pa%24%24word";
const STARTS_WITHIN: Duration = Duration::from_secs(40);

/// A server; dropped, it is killed and its data removed.
pub struct Postgres {
    port: u16,
    tls: Option<PathBuf>,
    running: Option<Running>,
    scratch: Scratch,
}

impl Postgres {
    /// A server of the caller's own, to be stopped, paused and killed at will.
    pub async fn start_new() -> Self {
        Self::start_with(None).await
    }

    /// A server that speaks TLS with a certificate of its own authority, see [`Postgres::ca_file`].
    pub async fn start_with_tls() -> Self {
        Self::start_with(Some(Authority::new())).await
    }

    /// The server that all tests of this process share; take a [`Postgres::database`] of it.
    pub async fn shared() -> &'static Self {
        static SHARED: tokio::sync::OnceCell<Postgres> = tokio::sync::OnceCell::const_new();
        SHARED.get_or_init(Self::start_new).await
    }

    async fn start_with(authority: Option<Authority>) -> Self {
        let scratch = Scratch::of(USER);
        initialise(&scratch);
        let tls = authority.map(|authority| {
            let (certificate, key) = authority.issue();
            scratch.write("server.crt", &certificate, Some(USER));
            scratch.write("server.key", &key, Some(USER));
            scratch.write("ca.pem", &authority.pem(), None)
        });
        let mut server = Self { port: free_port(), tls, running: None, scratch };
        server.start().await;
        server
    }

    /// Starts it again on the same port and data.
    pub async fn start(&mut self) {
        let data = self.scratch.path().join("data");
        let running = Running::spawn(&program("postgres"), Some(USER), &self.log_file(), |command| {
            command.arg("-D").arg(&data).current_dir("/");
            let port = format!("port={}", self.port);
            for setting in SETTINGS.into_iter().chain([port.as_str()]) {
                command.args(["-c", setting]);
            }
            if self.tls.is_some() {
                let path = |name: &str| self.scratch.path().join(name).display().to_string();
                command.args(["-c", "ssl=on", "-c"]).arg(format!("ssl_cert_file={}", path("server.crt")));
                command.arg("-c").arg(format!("ssl_key_file={}", path("server.key")));
            }
        });
        self.running = Some(running);
        let url = self.url("postgres");
        eventually(STARTS_WITHIN, || async {
            PgConnection::connect(&url).await.map(drop).map_err(|error| format!("{error}\n{}", tail(&self.log())))
        })
        .await;
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where its data lies.
    pub fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The port of 127.0.0.1 it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority of its certificate, for `sslmode=verify-full&sslrootcert=…`.
    pub fn ca_file(&self) -> &Path {
        self.tls.as_deref().expect("this server was started with TLS")
    }

    /// Creates an empty database and returns its URL.
    pub async fn database(&self) -> String {
        self.database_like("template0").await
    }

    /// Creates a copy of a database (nobody may be connected to it) and returns its URL.
    pub async fn database_like(&self, template: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        self.url(&name)
    }

    /// Runs statements in one of its databases.
    pub async fn execute(&self, database: &str, statements: String) {
        let mut connection = PgConnection::connect(&self.url(database)).await.unwrap();
        connection.execute(AssertSqlSafe(statements)).await.unwrap();
        connection.close().await.unwrap();
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("log")
    }
}

at_the_mercy_of_tests!(Postgres, INT, 20);

const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "max_connections=200",
    "shared_buffers=64MB",
    "dynamic_shared_memory_type=mmap",
    "log_min_messages=warning",
];

fn initialise(scratch: &Scratch) {
    let password = scratch.write("password", PASSWORD, Some(USER));
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program("initdb"));
            command
        }
        false => Command::new(program("initdb")),
    };
    command.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username", USER]);
    command.arg("--pwfile").arg(password).arg("-D").arg(scratch.path().join("data")).current_dir("/");
    let output = command.output().unwrap();
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server binary: the newest under Debian's directory, else whatever the search path has.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| PathBuf::from(name))
}
