//! The store in PostgreSQL, schema `clusters`: what production uses.

mod audit;
mod clusters;
mod columns;
mod connect;
mod credentials;
mod discoveries;
mod events;
mod history;
mod keys;
mod ledger;
mod pool;
mod sessions;
mod silences;
mod sole;
mod translate;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::Event,
    health::{Endpoint, Status},
    ports::{Batch, Enrolled, EventLog, Ledger, Roll, StoreError},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    audit::{AuditEntry, AuditRow},
    contract::{
        AuditEnds, AuditFilter, AuditLog, EventFilter, Gap, Keys, Retention, SealedRow, SessionRows, SilenceRows,
        Store, StoredDiscovery, StoredSession, StoredSilence, StoredToken, StoredTransition,
    },
    failure::Commit,
    options::{OpenError, StoreOptions},
};
use pool::Pool;
use translate::reference_vanished;

/// The store in PostgreSQL.
pub(super) struct PostgresStore {
    pool: Pool,
}

impl PostgresStore {
    pub(super) async fn open(url: &SecretString, options: &StoreOptions) -> Result<Self, OpenError> {
        Ok(Self { pool: connect::open(url, options).await? })
    }
}

/// Runs `$work` on the connection `$connection`, each of its statements for itself.
macro_rules! call {
    ($store:ident, |$connection:ident| $work:expr) => {
        $store
            .pool
            .call(async {
                let mut lease = $store.pool.lease().await?;
                let $connection = &mut *lease;
                let done = $work.await;
                lease.done(done)
            })
            .await
    };
}

/// Runs `$work` on the connection `$connection` in a transaction of its own.
macro_rules! write {
    ($store:ident, |$connection:ident| $work:expr) => {
        $store
            .pool
            .write(async |commit| {
                let mut lease = $store.pool.begin().await?;
                let $connection = &mut *lease;
                let done = $work.await;
                lease.finish(&commit, done).await
            })
            .await
    };
}

/// After the macros, which these use.
mod secrets;
mod webhooks;

#[async_trait]
impl Roll for PostgresStore {
    async fn revisions(&self) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        call!(self, |connection| clusters::revisions(connection))
    }

    async fn fetch(&self, ids: Option<&[ClusterId]>) -> Result<Vec<Enrolled>, StoreError> {
        call!(self, |connection| clusters::fetch(connection, ids))
    }
}

#[async_trait]
impl Ledger for PostgresStore {
    async fn record(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let attempt = async |commit: &Commit| {
            let mut lease = self.pool.begin().await?;
            let done = ledger::record(&mut lease, batch).await;
            lease.finish(commit, done).await
        };
        self.pool
            .write(async |commit| match attempt(&commit).await {
                // A cluster was deleted between a statement's look at it and the statement's end.
                Err(failure) if reference_vanished(&failure) => attempt(&commit).await,
                done => done,
            })
            .await
    }

    async fn stored(&self, events: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        self.pool
            .write(async |commit| {
                let mut lease = self.pool.begin_after_all().await?;
                let done = events::stored(&mut lease, events).await;
                lease.finish(&commit, done).await
            })
            .await
    }

    async fn sequences(&self, ids: &[ClusterId]) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        call!(self, |connection| events::sequences(connection, ids))
    }
}

#[async_trait]
impl EventLog for PostgresStore {
    async fn events_after(&self, position: i64, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        call!(self, |connection| events::after(connection, position, limit))
    }

    async fn head(&self) -> Result<i64, StoreError> {
        call!(self, |connection| events::head(connection))
    }

    async fn published(&self) -> Result<i64, StoreError> {
        call!(self, |connection| events::published(connection))
    }

    async fn mark_published(&self, position: i64) -> Result<(), StoreError> {
        call!(self, |connection| events::mark_published(connection, position))
    }

    async fn waiting(&self, position: i64) -> Result<u64, StoreError> {
        call!(self, |connection| events::waiting(connection, position))
    }
}

#[async_trait]
impl Keys for PostgresStore {
    async fn tokens(&self) -> Result<Vec<StoredToken>, StoreError> {
        call!(self, |connection| keys::all(connection))
    }

    async fn insert_token(&self, token: &StoredToken, audit: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |connection| async {
            keys::insert(connection, token).await?;
            audit::append(connection, audit).await
        })
    }

    async fn revoke_token(&self, id: Uuid, at: DateTime<Utc>, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |connection| async {
            let revoked = keys::revoke(connection, id, at).await?;
            if revoked {
                audit::append(connection, audit).await?;
            }
            Ok(revoked)
        })
    }

    async fn forget_tokens(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        call!(self, |connection| keys::forget(connection, before))
    }
}

#[async_trait]
impl AuditLog for PostgresStore {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |connection| audit::append(connection, entries))
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        call!(self, |connection| audit::filtered(connection, filter))
    }

    async fn audit_ends(&self) -> Result<AuditEnds, StoreError> {
        call!(self, |connection| audit::ends(connection))
    }

    async fn prune_audit(&self, before: DateTime<Utc>, batch: u32, now: DateTime<Utc>) -> Result<u64, StoreError> {
        write!(self, |connection| audit::prune(connection, before, batch, now))
    }
}

#[async_trait]
impl SessionRows for PostgresStore {
    async fn sessions(&self) -> Result<Vec<StoredSession>, StoreError> {
        call!(self, |connection| sessions::all(connection))
    }

    async fn insert_session(&self, session: &StoredSession, audit: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |connection| async {
            sessions::insert(connection, session).await?;
            audit::append(connection, audit).await
        })
    }

    async fn delete_session(&self, hash: &[u8; 32], audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |connection| async {
            let deleted = sessions::delete(connection, hash).await?;
            if deleted {
                audit::append(connection, audit).await?;
            }
            Ok(deleted)
        })
    }

    async fn delete_sessions_over(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        write!(self, |connection| sessions::delete_over(connection, now))
    }
}

#[async_trait]
impl SilenceRows for PostgresStore {
    async fn silences(&self) -> Result<Vec<StoredSilence>, StoreError> {
        call!(self, |connection| silences::all(connection))
    }

    async fn insert_silence(&self, silence: &StoredSilence, audit: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |connection| async {
            silences::insert(connection, silence).await?;
            audit::append(connection, audit).await
        })
    }

    async fn end_silence(
        &self,
        id: Uuid,
        at: DateTime<Utc>,
        by: Option<&str>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        write!(self, |connection| async {
            let ended = silences::end(connection, id, at, by).await?;
            if ended {
                audit::append(connection, audit).await?;
            }
            Ok(ended)
        })
    }

    async fn forget_silences(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        write!(self, |connection| silences::forget(connection, ids))
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn insert(
        &self,
        clusters: &[(Arc<Cluster>, Status)],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |connection| async {
            clusters::insert(connection, clusters, events).await?;
            audit::append(connection, audit).await
        })
    }

    async fn update(
        &self,
        cluster: &Cluster,
        expected: i64,
        events: &[Arc<Event>],
        unbound: &[Endpoint],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |connection| async {
            clusters::update(connection, cluster, expected, events, unbound).await?;
            audit::append(connection, audit).await
        })
    }

    async fn delete(
        &self,
        id: ClusterId,
        expected: Option<i64>,
        event: &Arc<Event>,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |connection| async {
            clusters::delete(connection, id, expected, event).await?;
            audit::append(connection, audit).await
        })
    }

    async fn append(&self, events: &[Arc<Event>], gaps: &[Gap]) -> Result<(), StoreError> {
        write!(self, |connection| async {
            ledger::insert_gaps(connection, gaps).await?;
            events::insert(connection, events).await
        })
    }

    async fn events(&self, filter: &EventFilter) -> Result<Vec<Arc<Event>>, StoreError> {
        call!(self, |connection| events::filtered(connection, filter))
    }

    async fn transitions(
        &self,
        id: ClusterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<StoredTransition>, StoreError> {
        call!(self, |connection| history::transitions(connection, id, (from, to), limit))
    }

    async fn transition_before(
        &self,
        id: ClusterId,
        at: DateTime<Utc>,
    ) -> Result<Option<StoredTransition>, StoreError> {
        call!(self, |connection| history::transition_before(connection, id, at))
    }

    async fn rollups(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Rollup>, StoreError> {
        call!(self, |connection| history::rollups(connection, id, (from, to)))
    }

    async fn gaps(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Gap>, StoreError> {
        call!(self, |connection| history::gaps(connection, id, (from, to)))
    }

    async fn last_alive(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let micros = call!(self, |connection| ledger::last_alive(connection))?;
        Ok(micros.and_then(DateTime::from_timestamp_micros))
    }

    async fn prune(&self, retention: &Retention) -> Result<u64, StoreError> {
        call!(self, |connection| history::prune(connection, retention))
    }

    async fn sealed_credentials(
        &self,
        after: Option<(ClusterId, Endpoint)>,
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError> {
        call!(self, |connection| credentials::after(connection, after, limit))
    }

    async fn write_credentials(
        &self,
        id: ClusterId,
        put: &[SealedRow],
        gone: &[Endpoint],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |connection| async {
            credentials::write(connection, id, put, gone, events).await?;
            audit::append(connection, audit).await
        })
    }

    async fn reseal_credentials(&self, rows: &[(Vec<u8>, SealedRow)], audit: &[AuditEntry]) -> Result<u64, StoreError> {
        write!(self, |connection| async {
            let replaced = credentials::reseal(connection, rows).await?;
            if replaced > 0 {
                audit::append(connection, audit).await?;
            }
            Ok(replaced)
        })
    }

    async fn discoveries(&self) -> Result<Vec<StoredDiscovery>, StoreError> {
        call!(self, |connection| discoveries::all(connection))
    }

    async fn write_discovery(
        &self,
        discovery: &StoredDiscovery,
        capabilities: Option<&serde_json::Value>,
        events: &[Arc<Event>],
    ) -> Result<(), StoreError> {
        write!(self, |connection| discoveries::write(connection, discovery, capabilities, events))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pool.may_write()?;
        let asked = self.pool.question(async {
            let mut lease = self.pool.lease().await?;
            let done = events::head(&mut lease).await;
            lease.done(done)
        });
        asked.await.map(|_| ())
    }

    fn backend(&self) -> &'static str {
        "postgresql"
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
