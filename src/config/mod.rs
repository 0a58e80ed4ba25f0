//! Settings: the defaults built into the binary, the user's file, the environment and the command line, merged in that
//! order, checked, and handed out typed. Nothing here opens a connection, and no secret is ever displayed.

mod auth;
mod checks;
mod connection_url;
mod durations;
mod edge;
mod hidden;
mod hub;
mod layers;
mod problem;
#[cfg(test)]
mod reference;
mod sections;
mod server;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use auth::{
    Auth, AuthAccessReview, AuthGateway, AuthGrant, AuthKubernetes, AuthOidc, AuthPart, AuthTokens, RightsFrom,
};
pub use checks::{HealthCheck, PerType, Timing, TypeOverrides};
pub use connection_url::ConnectionUrl;
pub use edge::{CircuitBreaker, Limits, Tracing, Webhooks};
pub use hidden::Hidden;
pub use hub::{CredentialPlace, Credentials, Hub, Internal, MaybeListen};
pub use problem::{ConfigError, Problem};
pub use sections::{
    AllowLoopback, Audit, Discovery, Events, History, Log, LogFormat, Monitor, Probes, Recorder, Registry, StatusPage,
    Store, Streaming,
};
pub use server::{Listen, Server, ServerTls};

/// The defaults, as they stand in `config/default.yaml`.
pub const DEFAULTS: &str = include_str!("../../config/default.yaml");

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where everything is stored; empty for SQLite in `data_dir`. Ask [`Settings::database`].
    pub database_url: ConnectionUrl,
    /// File the database URL was read from; empty when it was given directly.
    pub database_url_file: PathBuf,
    /// Where events are published; empty for nowhere.
    pub redis_url: ConnectionUrl,
    /// File the Redis URL was read from; empty when it was given directly.
    pub redis_url_file: PathBuf,
    /// PEM file of authorities trusted for Redis beside the system's own; empty for none.
    pub redis_ca_file: PathBuf,
    /// Directory of what is kept on disk, never empty once loaded.
    pub data_dir: PathBuf,
    /// The HTTP API.
    pub server: Server,
    /// What callers may draw out.
    pub limits: Limits,
    /// When calls to a dependency that is away are given up before they are made.
    pub circuit_breaker: CircuitBreaker,
    /// Traces of requests.
    pub tracing: Tracing,
    /// Who may call the API.
    pub auth: Auth,
    /// Periods, deadlines and damping of checks.
    pub health_check: HealthCheck,
    /// When the monitor doubts itself.
    pub monitor: Monitor,
    /// The connections to the watched clusters.
    pub probes: Probes,
    /// How the database is used.
    pub store: Store,
    /// How statuses reach the database.
    pub recorder: Recorder,
    /// How long history is kept.
    pub history: History,
    /// The public status page.
    pub status_page: StatusPage,
    /// The audit log.
    pub audit: Audit,
    /// Live events.
    pub streaming: Streaming,
    /// Names on the event bus.
    pub events: Events,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// The registry of clusters.
    pub registry: Registry,
    /// Discovery of a cluster's capabilities.
    pub discovery: Discovery,
    /// Credentials of clusters.
    pub credentials: Credentials,
    /// The cluster that fleetbeat belongs to.
    pub hub: Hub,
    /// The endpoint that hands out credentials.
    pub internal: Internal,
    /// What fleetbeat writes about itself.
    pub log: Log,
}

/// Where settings come from, beside the built-in defaults; later fields win over earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The user's YAML file.
    pub file: Option<PathBuf>,
    /// The process environment; only names that begin with `FLEETBEAT__`, `XDG_DATA_HOME` and `HOME` are read.
    pub environment: BTreeMap<String, String>,
    /// Command-line flags as dotted keys, such as `("server.listen", "127.0.0.1:9000")`.
    pub flags: Vec<(String, String)>,
}

impl Inputs {
    /// The process's own environment, and the given file.
    pub fn from_process(file: Option<PathBuf>) -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { file, environment, flags: Vec::new() }
    }

    /// Adds a command-line flag when it was given.
    #[must_use]
    pub fn flag(mut self, key: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.flags.push((key.to_owned(), value.to_string()));
        }
        self
    }
}

/// The database that the settings name.
#[derive(Debug, Clone, PartialEq)]
pub enum Database {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(ConnectionUrl),
}

impl Settings {
    /// Merges and checks all sources.
    ///
    /// # Errors
    /// Every unknown key, wrong value and unreadable file, each with its key and where it was set.
    pub fn load(inputs: &Inputs) -> Result<Self, ConfigError> {
        let merged = layers::merge(inputs)?;
        let mut settings = merged.deserialize()?;
        settings.read_url_files(&merged)?;
        if settings.data_dir.as_os_str().is_empty() {
            settings.data_dir = default_data_dir(&inputs.environment);
        }
        validate::check(&settings, &merged)?;
        Ok(settings)
    }

    /// The database to open.
    pub fn database(&self) -> Database {
        let url = self.database_url.expose();
        match url.strip_prefix("sqlite://") {
            Some(path) => Database::Sqlite(PathBuf::from(path)),
            None if url.is_empty() => Database::Sqlite(self.data_dir.join("fleetbeat.db")),
            None => Database::Postgres(self.database_url.clone()),
        }
    }

    /// Whether loopback addresses may be probed, with `auto` resolved.
    pub fn loopback_probes_allowed(&self) -> bool {
        match self.probes.allow_loopback {
            AllowLoopback::Always => true,
            AllowLoopback::Never => false,
            AllowLoopback::Auto => self.server.is_local(),
        }
    }

    /// How many open descriptors are promised to callers and to the database.
    pub fn promised_descriptors(&self) -> usize {
        let doors = 1 + usize::from(self.internal.listen.0.is_some());
        let callers = self.server.max_connections.saturating_mul(doors);
        callers.saturating_add(self.store.max_connections as usize)
    }

    /// The effective settings as YAML, secrets masked.
    pub fn describe(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_else(|error| format!("# settings cannot be displayed: {error}\n"))
    }

    fn read_url_files(&mut self, merged: &layers::Merged) -> Result<(), ConfigError> {
        let read = |key: &str, path: &Path, url: &mut ConnectionUrl| {
            if path.as_os_str().is_empty() {
                return Ok(());
            }
            *url = ConnectionUrl::read(path)
                .map_err(|error| merged.problem(key, format!("{}: {error}", path.display())))?;
            Ok::<_, Problem>(())
        };
        read("database_url_file", &self.database_url_file, &mut self.database_url)?;
        read("redis_url_file", &self.redis_url_file, &mut self.redis_url)?;
        Ok(())
    }
}

/// The path, where one is set.
pub(crate) fn set_path(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

fn default_data_dir(environment: &BTreeMap<String, String>) -> PathBuf {
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("data"), |base| base.join("fleetbeat"))
}
