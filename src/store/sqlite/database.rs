//! The embedded database: opening the file, one writer, a pool of readers, and what its errors mean.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    ops::{Deref, DerefMut},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use fleetbeat_actors::ports::StoreError;
use parking_lot::Mutex;
use sqlx::{
    ConnectOptions, Connection, Executor, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tracing::Instrument;

use crate::{
    store::{
        backend::{Access, Backend},
        failure::{Commit, Failure, within},
        migrations::{self, migrator},
        options::{OpenError, StoreOptions},
        rows::events,
    },
    traces,
};

/// Largest write-ahead log that is kept between checkpoints, bytes.
const WAL_KEPT_BYTES: &str = "67108864";
/// Longest that opening and migrating may take.
const OPEN_LIMIT: Duration = Duration::from_secs(60);

pub(in crate::store) struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
    call_timeout: Duration,
    /// Held as long as the store is open: two processes would give out the same positions.
    lock: Mutex<Option<File>>,
}

impl Database {
    pub(in crate::store) async fn open(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        let lock = prepare(path)?;
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A confirmed transition outlives a power cut. One fsync a commit: 0.13 ms on an SSD, 0.4 ms a commit in all.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(options.statement_timeout)
            .pragma("journal_size_limit", WAL_KEPT_BYTES)
            .disable_statement_logging();
        let unavailable = |error: sqlx::Error| OpenError::Unavailable(describe(&error));
        tokio::time::timeout(OPEN_LIMIT, migrate(&connect))
            .await
            .map_err(|_| OpenError::Unavailable("the file stays locked".into()))??;
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(options.acquire_timeout)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).connect_with(connect.clone()).await.map_err(unavailable)?;
        let readers = pool(options.max_connections.max(1)).connect_with(connect.read_only(true)).await;
        let lock = Mutex::new(Some(lock));
        Ok(Self { writer, readers: readers.map_err(unavailable)?, call_timeout: options.call_timeout, lock })
    }
}

/// A connection in use.
pub(in crate::store) enum Lease {
    Reader(PoolConnection<Sqlite>),
    /// In a transaction, which waited for its turn.
    Writer(Turn),
}

/// The writer's connection in a transaction. Where that was not ended in order (the call ran out of time, the disk is full
/// and SQLite took everything back by itself), the connection is closed: nobody may get into the middle of it.
pub(in crate::store) struct Turn {
    connection: PoolConnection<Sqlite>,
    ended: bool,
}

impl Turn {
    async fn begin(writer: &SqlitePool) -> Result<Self, Failure> {
        let mut turn = Self { connection: writer.acquire().await?, ended: false };
        turn.connection.execute("BEGIN IMMEDIATE").await?;
        Ok(turn)
    }

    /// With `COMMIT` or `ROLLBACK`.
    async fn end(mut self, how: &'static str) -> Result<(), Failure> {
        self.connection.execute(how).await?;
        self.ended = true;
        // Before the caller goes on, as for readers.
        self.connection.return_to_pool().await;
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Lease {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Self::Reader(connection) => connection,
            Self::Writer(turn) => &turn.connection,
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Reader(connection) => connection,
            Self::Writer(turn) => &mut turn.connection,
        }
    }
}

impl Backend for Database {
    const NAME: &'static str = "sqlite";

    type Connection = SqliteConnection;
    type Lease<'a> = Lease;

    fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    async fn call<T: Send>(
        &self,
        access: Access,
        commit: &Commit,
        call: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, StoreError> {
        let kind = if access == Access::Read { "read" } else { "write" };
        within(self.call_timeout, commit, async { call.await.map_err(|error| translate(error, commit.was_sent())) })
            .instrument(traces::database(Self::NAME, kind))
            .await
    }

    /// There is one writer: its turn comes when every earlier transaction has ended.
    async fn lease(&self, access: Access) -> Result<Lease, Failure> {
        match access {
            Access::Read => Ok(Lease::Reader(self.readers.acquire().await?)),
            Access::Pieces | Access::Write | Access::WriteAfterAll => {
                Ok(Lease::Writer(Turn::begin(&self.writer).await?))
            }
        }
    }

    async fn finish<T: Send>(lease: Self::Lease<'_>, commit: &Commit, done: Result<T, Failure>) -> Result<T, Failure> {
        let turn = match lease {
            Lease::Reader(mut connection) => {
                // Before the caller goes on: dropped, it would come back later, and the next call open another one.
                connection.return_to_pool().await;
                return done;
            }
            Lease::Writer(turn) => turn,
        };
        match done {
            Ok(value) => {
                commit.sent();
                turn.end("COMMIT").await?;
                Ok(value)
            }
            Err(error) => {
                // The statement's error tells more than the rollback's; a connection that is not out of it is closed.
                let _ = turn.end("ROLLBACK").await;
                Err(error)
            }
        }
    }

    /// Nobody else writes meanwhile.
    fn reference_vanished(_: &Failure) -> bool {
        false
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let commit = Commit::default();
        self.call(Access::Read, &commit, async {
            let mut lease = self.lease(Access::Read).await?;
            let done = events::head(&mut *lease).await.map(|_| ());
            Self::finish(lease, &commit, done).await
        })
        .await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        self.lock.lock().take();
    }
}

async fn migrate(connect: &SqliteConnectOptions) -> Result<(), OpenError> {
    let mut connection =
        SqliteConnection::connect_with(connect).await.map_err(|error| OpenError::Unavailable(describe(&error)))?;
    let done = migrator(migrations::SQLITE).run(&mut connection).await;
    let _ = connection.close().await;
    done.map_err(|error| migrations::translate(error, migrations::SQLITE, describe))
}

/// Makes the directory (0700) and the file (0600) where missing, and locks the neighbour `….lock`.
fn prepare(path: &Path) -> Result<File, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::File { path, source }
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
    }
    let lock_path = PathBuf::from(format!("{}.lock", path.display()));
    let lock = private_file(&lock_path).map_err(at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { database: path.display().to_string() }),
        Err(TryLockError::Error(source)) => return Err(at(&lock_path)(source)),
    }
    private_file(path).map_err(at(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(at(path))?;
    Ok(lock)
}

fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The one place where the driver's errors get their meaning.
fn translate(failure: Failure, committing: bool) -> StoreError {
    let error = match failure {
        Failure::Store(error) => return error,
        Failure::Sql(error) => error,
    };
    let reason = describe(&error);
    match &error {
        // The database said no: nothing was committed.
        sqlx::Error::Database(_) if passes_by(&error) => StoreError::Unavailable { reason, doubtful: false },
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            StoreError::Unavailable { reason, doubtful: committing }
        }
        _ => StoreError::Broken(reason),
    }
}

/// Is it an error of the moment (locked, disk full, input/output) and not of the statement?
fn passes_by(error: &sqlx::Error) -> bool {
    // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
    primary_code(error).is_some_and(|code| matches!(code, 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15))
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// An error in words that contain no stored value: SQLite's messages name tables and columns only.
fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => format!("SQLite: {}", database.message()),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".into(),
        sqlx::Error::PoolClosed => "the store is closed".into(),
        sqlx::Error::ColumnDecode { index, .. } => format!("column {index} cannot be read"),
        _ => "unexpected answer of SQLite".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Place;

    async fn put(database: &Database, text: &str) -> Result<(), StoreError> {
        let commit = Commit::default();
        let write = async {
            let mut lease = database.lease(Access::Write).await?;
            let done = sqlx::query("INSERT INTO filler (text) VALUES ($1)").bind(text).execute(&mut *lease).await;
            Database::finish(lease, &commit, done.map(|_| ()).map_err(Failure::from)).await
        };
        database.call(Access::Write, &commit, write).await
    }

    #[tokio::test]
    async fn a_full_disk_refuses_writes_only_as_long_as_it_is_full() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("full.db");
        let database = Database::open(&path, &StoreOptions::new(Place::File(path.clone()))).await.expect("opened");
        database.writer.execute("CREATE TABLE filler (text TEXT)").await.expect("made");
        put(&database, "small").await.expect("there is room");
        // As if the disk were full: this connection gets no page more.
        database.writer.execute("PRAGMA max_page_count = 1").await.expect("set");
        let refused = put(&database, &"large ".repeat(100_000)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { doubtful: false, .. })), "{refused:?}");
        database.writer.execute("PRAGMA max_page_count = 1000000").await.expect("set");
        put(&database, "after").await.expect("there is room again");
        database.close().await;
    }
}
