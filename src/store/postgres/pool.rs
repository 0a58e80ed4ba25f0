//! Connections to PostgreSQL: few, kept, and never trusted after they were silent.
//!
//! A pool of our own, because every wait has to end in time whatever the server does: a stopped server keeps its
//! connections open and answers nothing, and a pool that pings on release or retries a refused connect waits with it.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};
use tracing::Instrument;

use super::{
    sole::Sole,
    translate::{broke, reference_vanished, translate},
};
use crate::{
    breaker::Breaker,
    store::{
        backend::{Access, Backend},
        failure::{Commit, Failure, within},
        rows::events,
    },
    traces,
};
use fleetbeat_actors::ports::StoreError;

/// A connection that was idle for longer is asked whether it is alive before it is used …
const ASK_AFTER: Duration = Duration::from_secs(1);
/// … and has this long to answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// Idle connections are closed after this time.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// Every transaction that writes shares a lock …
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock_shared(7308325466019131234)";
/// … that this one has alone: a server that was stopped ends earlier transactions when it goes on.
const BEGIN_AFTER_ALL: &str = "BEGIN; SELECT pg_advisory_xact_lock(7308325466019131234)";

pub(in crate::store) struct Pool {
    options: PgConnectOptions,
    sole: Sole,
    permits: Semaphore,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    acquire_timeout: Duration,
    call_timeout: Duration,
    breaker: Option<Arc<Breaker>>,
}

impl Pool {
    pub(super) fn new(
        options: PgConnectOptions,
        sole: Sole,
        connections: u32,
        acquire_timeout: Duration,
        call_timeout: Duration,
        breaker: Option<Arc<Breaker>>,
    ) -> Self {
        let permits = Semaphore::new(connections.clamp(1, 1_000) as usize);
        Self { options, sole, permits, idle: Mutex::default(), acquire_timeout, call_timeout, breaker }
    }

    /// Is this the one process that may write?
    fn may_write(&self) -> Result<(), StoreError> {
        if self.sole.is_held() {
            return Ok(());
        }
        let reason = "the lock that keeps other processes from writing is lost".to_owned();
        Err(StoreError::Unavailable { reason, doubtful: false })
    }

    /// Makes a call even if the server is known to be away.
    async fn question<T>(
        &self,
        commit: &Commit,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        within(self.call_timeout, commit, async { call.await.map_err(|error| translate(error, commit.was_sent())) })
            .await
    }

    /// Makes a call unless the server is known to be away.
    async fn guarded<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let Some(breaker) = &self.breaker else { return call.await };
        if !breaker.admits() {
            let reason = "it did not answer before, and is left alone for a while".to_owned();
            return Err(StoreError::Unavailable { reason, doubtful: false });
        }
        let answer = call.await;
        breaker.learn(!matches!(answer, Err(StoreError::Unavailable { .. })));
        answer
    }

    /// A connection that answers. Dropped before [`Lease::finish`] (the call ran out of time), it is closed.
    async fn connection(&self) -> Result<Lease<'_>, Failure> {
        timeout(self.acquire_timeout, async {
            let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let connection = match self.kept().await {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            Ok(Lease { pool: self, connection: Some(connection), begun: false, _permit: permit })
        })
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut.into()))
    }

    /// A new connection. Where tables are found is said in a statement: a pooler in front of the server may drop what a
    /// connection says of itself at its start.
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        connection.execute("SET search_path TO clusters").await?;
        Ok(connection)
    }

    /// A connection in a transaction, to be ended with [`Lease::finish`].
    async fn begin(&self, begin: &'static str) -> Result<Lease<'_>, Failure> {
        let mut lease = self.connection().await?;
        lease.execute(begin).await?;
        lease.begun = true;
        Ok(lease)
    }

    /// A kept connection. One that does not answer casts doubt on all the others, too.
    async fn kept(&self) -> Option<PgConnection> {
        let (mut connection, since) = self.idle.lock().pop()?;
        if since.elapsed() < ASK_AFTER {
            return Some(connection);
        }
        match timeout(ANSWER_WITHIN, connection.ping()).await {
            Ok(Ok(())) => Some(connection),
            Ok(Err(_)) | Err(_) => {
                self.idle.lock().clear();
                None
            }
        }
    }

    fn keep(&self, connection: PgConnection) {
        if !self.permits.is_closed() {
            let mut idle = self.idle.lock();
            idle.retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
            idle.push((connection, Instant::now()));
        }
    }
}

impl Backend for Pool {
    const NAME: &'static str = "postgresql";

    type Connection = PgConnection;
    type Lease<'a> = Lease<'a>;

    fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    async fn call<T: Send>(
        &self,
        access: Access,
        commit: &Commit,
        call: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, StoreError> {
        let kind = match access {
            Access::Read | Access::Pieces => "read",
            Access::Write | Access::WriteAfterAll => {
                self.may_write()?;
                "write"
            }
        };
        self.guarded(self.question(commit, call)).instrument(traces::database(Self::NAME, kind)).await
    }

    async fn lease(&self, access: Access) -> Result<Lease<'_>, Failure> {
        match access {
            Access::Read | Access::Pieces => self.connection().await,
            Access::Write => self.begin(BEGIN).await,
            Access::WriteAfterAll => self.begin(BEGIN_AFTER_ALL).await,
        }
    }

    async fn finish<T: Send>(lease: Self::Lease<'_>, commit: &Commit, done: Result<T, Failure>) -> Result<T, Failure> {
        lease.finish(commit, done).await
    }

    fn reference_vanished(failure: &Failure) -> bool {
        reference_vanished(failure)
    }

    /// Asked also while the circuit breaker keeps calls away.
    async fn ping(&self) -> Result<(), StoreError> {
        self.may_write()?;
        let commit = Commit::default();
        let asked = self.question(&commit, async {
            let mut lease = self.connection().await?;
            let done = takes_writes(&mut lease).await;
            lease.done(done)
        });
        asked.await
    }

    async fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
        self.sole.release().await;
    }
}

/// A standby, or a server that was told so, answers every question and refuses every change.
async fn takes_writes(connection: &mut PgConnection) -> Result<(), Failure> {
    events::head(connection).await?;
    let read_only: String = sqlx::query_scalar("SHOW transaction_read_only").fetch_one(connection).await?;
    if read_only == "off" {
        return Ok(());
    }
    let reason = "the server is read-only".to_owned();
    Err(StoreError::Unavailable { reason, doubtful: false }.into())
}

/// A connection in use.
pub(in crate::store) struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<PgConnection>,
    /// Is it in a transaction?
    begun: bool,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    /// Gives the connection back, if what was done with it does not speak against that.
    fn done<T>(mut self, done: Result<T, Failure>) -> Result<T, Failure> {
        let sound = done.as_ref().err().is_none_or(|error| !broke(error));
        if let Some(connection) = self.connection.take_if(|_| sound) {
            self.pool.keep(connection);
        }
        done
    }

    /// Ends a transaction: commits what went well and takes back what did not. Gives the connection back.
    async fn finish<T>(mut self, commit: &Commit, done: Result<T, Failure>) -> Result<T, Failure> {
        if !self.begun {
            return self.done(done);
        }
        let ended = match &done {
            Ok(_) => {
                commit.sent();
                self.execute("COMMIT").await
            }
            Err(error) if broke(error) => return self.done(done),
            Err(_) => self.execute("ROLLBACK").await,
        };
        let done = match (done, ended) {
            (Ok(value), Ok(_)) => Ok(value),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(_)) => Err(error),
            // The statement's error tells more than the rollback's, but the connection is lost.
            (Err(error), Err(_)) => return Err(error),
        };
        self.done(done)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.connection.is_some() {
            self.pool.idle.lock().clear();
        }
    }
}

impl Deref for Lease<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("taken only by those who consume the lease")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("taken only by those who consume the lease")
    }
}
