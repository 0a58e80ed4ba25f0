//! How a store is opened, and why that may fail.

use std::{path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;

use crate::breaker::Breaker;

/// Where a store lives.
#[derive(Clone, Debug)]
pub enum Place {
    /// SQLite, in this file; it and its directory are made if missing.
    File(PathBuf),
    /// PostgreSQL, at this URL (`postgresql://…`). May contain a password.
    Server(SecretString),
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Which database.
    pub place: Place,
    /// Connections to PostgreSQL, or readers of SQLite (which has one writer besides).
    pub max_connections: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// How long one statement may run at the server.
    pub statement_timeout: Duration,
    /// How long a call may take in all: waiting, statements and commit.
    pub call_timeout: Duration,
    /// Keeps calls from a database that is away (PostgreSQL only).
    pub breaker: Option<Arc<Breaker>>,
}

impl StoreOptions {
    /// Default limits for a database.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            max_connections: 10,
            acquire_timeout: Duration::from_millis(1_200),
            statement_timeout: Duration::from_millis(1_500),
            call_timeout: Duration::from_millis(1_800),
            breaker: None,
        }
    }
}

/// Why a store could not be opened. Never contains a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be used.
    #[error("database_url: {0}")]
    Url(String),
    /// The server cannot be reached, or did not answer in time. Worth another try.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A newer fleetbeat has worked with this database.
    #[error(
        "the database is at schema version {found}, this fleetbeat knows versions up to {known}: \
         run the newer fleetbeat, or restore the backup made before the upgrade"
    )]
    Newer {
        /// Version of the database.
        found: i64,
        /// Newest version that this binary knows.
        known: i64,
    },
    /// A migration failed, or the database was migrated by something else.
    #[error("migrating the database: {0}")]
    Migration(String),
    /// The database file or its directory cannot be used.
    #[error("database file {}: {source}", path.display())]
    File {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the database open.
    #[error("another fleetbeat uses {database}")]
    InUse {
        /// Which: the file, or "this database".
        database: String,
    },
}
