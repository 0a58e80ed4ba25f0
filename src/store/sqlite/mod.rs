//! The store in SQLite: the embedded default, a file of its own.

mod audit;
mod clusters;
mod credentials;
mod database;
mod discoveries;
mod events;
mod history;
mod keys;
mod ledger;
mod sessions;
mod silences;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::Event,
    health::{Endpoint, Status},
    ports::{Batch, Enrolled, EventLog, Ledger, Roll, StoreError},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
};
use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    audit::{AuditEntry, AuditRow},
    contract::{
        AuditEnds, AuditFilter, AuditLog, EventFilter, Gap, Keys, Retention, SealedRow, SessionRows, SilenceRows,
        Store, StoredDiscovery, StoredSession, StoredSilence, StoredToken, StoredTransition,
    },
    failure::{Failure, unreadable, word},
    options::{OpenError, StoreOptions},
};
use database::{Database, finish};

/// The store in SQLite.
pub(super) struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        Ok(Self { database: Database::open(path, options).await? })
    }
}

/// Runs `$work` on the connection `$writer` in a write transaction of its own.
macro_rules! write {
    ($store:ident, |$writer:ident| $work:expr) => {
        $store
            .database
            .write(async |commit| {
                let mut transaction = $store.database.begin().await?;
                let $writer = &mut *transaction;
                let done = $work.await;
                finish(transaction, &commit, done).await
            })
            .await
    };
}

/// After the macros, which these use.
mod secrets;
mod webhooks;

#[async_trait]
impl Roll for SqliteStore {
    async fn revisions(&self) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        self.database.read(clusters::revisions(&self.database.readers)).await
    }

    async fn fetch(&self, ids: Option<&[ClusterId]>) -> Result<Vec<Enrolled>, StoreError> {
        self.database.read(clusters::fetch(&self.database.readers, ids)).await
    }
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn record(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        write!(self, |writer| ledger::record(writer, batch))
    }

    async fn stored(&self, events: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        // The one writer's turn comes when every earlier transaction has ended.
        write!(self, |writer| events::stored(writer, events))
    }

    async fn sequences(&self, ids: &[ClusterId]) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        self.database.read(events::sequences(&self.database.readers, ids)).await
    }
}

#[async_trait]
impl EventLog for SqliteStore {
    async fn events_after(&self, position: i64, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        self.database.read(events::after(&self.database.readers, position, limit)).await
    }

    async fn head(&self) -> Result<i64, StoreError> {
        self.database.read(events::head(&self.database.readers)).await
    }

    async fn published(&self) -> Result<i64, StoreError> {
        self.database.read(events::published(&self.database.readers)).await
    }

    async fn mark_published(&self, position: i64) -> Result<(), StoreError> {
        write!(self, |writer| events::mark_published(writer, position))
    }

    async fn waiting(&self, position: i64) -> Result<u64, StoreError> {
        self.database.read(events::waiting(&self.database.readers, position)).await
    }
}

#[async_trait]
impl Keys for SqliteStore {
    async fn tokens(&self) -> Result<Vec<StoredToken>, StoreError> {
        self.database.read(keys::all(&self.database.readers)).await
    }

    async fn insert_token(&self, token: &StoredToken, audit: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |writer| async {
            keys::insert(writer, token).await?;
            audit::append(writer, audit).await
        })
    }

    async fn revoke_token(&self, id: Uuid, at: DateTime<Utc>, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |writer| async {
            let revoked = keys::revoke(writer, id, at).await?;
            if revoked {
                audit::append(writer, audit).await?;
            }
            Ok(revoked)
        })
    }

    async fn forget_tokens(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        write!(self, |writer| keys::forget(writer, before))
    }
}

#[async_trait]
impl AuditLog for SqliteStore {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |writer| audit::append(writer, entries))
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        self.database.read(audit::filtered(&self.database.readers, filter)).await
    }

    async fn audit_ends(&self) -> Result<AuditEnds, StoreError> {
        self.database.read(audit::ends(&self.database.readers)).await
    }

    async fn prune_audit(&self, before: DateTime<Utc>, batch: u32, now: DateTime<Utc>) -> Result<u64, StoreError> {
        write!(self, |writer| audit::prune(writer, before, batch, now))
    }
}

#[async_trait]
impl SessionRows for SqliteStore {
    async fn sessions(&self) -> Result<Vec<StoredSession>, StoreError> {
        self.database.read(sessions::all(&self.database.readers)).await
    }

    async fn insert_session(&self, session: &StoredSession, audit: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |writer| async {
            sessions::insert(writer, session).await?;
            audit::append(writer, audit).await
        })
    }

    async fn delete_session(&self, hash: &[u8; 32], audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |writer| async {
            let deleted = sessions::delete(writer, hash).await?;
            if deleted {
                audit::append(writer, audit).await?;
            }
            Ok(deleted)
        })
    }

    async fn delete_sessions_over(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        write!(self, |writer| sessions::delete_over(writer, now))
    }
}

#[async_trait]
impl SilenceRows for SqliteStore {
    async fn silences(&self) -> Result<Vec<StoredSilence>, StoreError> {
        self.database.read(silences::all(&self.database.readers)).await
    }

    async fn insert_silence(&self, silence: &StoredSilence, audit: &[AuditEntry]) -> Result<(), StoreError> {
        write!(self, |writer| async {
            silences::insert(writer, silence).await?;
            audit::append(writer, audit).await
        })
    }

    async fn end_silence(
        &self,
        id: Uuid,
        at: DateTime<Utc>,
        by: Option<&str>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        write!(self, |writer| async {
            let ended = silences::end(writer, id, at, by).await?;
            if ended {
                audit::append(writer, audit).await?;
            }
            Ok(ended)
        })
    }

    async fn forget_silences(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        write!(self, |writer| silences::forget(writer, ids))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn insert(
        &self,
        clusters: &[(Arc<Cluster>, Status)],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |writer| async {
            clusters::insert(writer, clusters, events).await?;
            audit::append(writer, audit).await
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
        write!(self, |writer| async {
            clusters::update(writer, cluster, expected, events, unbound).await?;
            audit::append(writer, audit).await
        })
    }

    async fn delete(
        &self,
        id: ClusterId,
        expected: Option<i64>,
        event: &Arc<Event>,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |writer| async {
            clusters::delete(writer, id, expected, event).await?;
            audit::append(writer, audit).await
        })
    }

    async fn append(&self, events: &[Arc<Event>], gaps: &[Gap]) -> Result<(), StoreError> {
        write!(self, |writer| async {
            ledger::insert_gaps(writer, gaps).await?;
            events::insert(writer, events).await
        })
    }

    async fn events(&self, filter: &EventFilter) -> Result<Vec<Arc<Event>>, StoreError> {
        self.database.read(events::filtered(&self.database.readers, filter)).await
    }

    async fn transitions(
        &self,
        id: ClusterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<StoredTransition>, StoreError> {
        self.database.read(history::transitions(&self.database.readers, id, (from, to), limit)).await
    }

    async fn transition_before(
        &self,
        id: ClusterId,
        at: DateTime<Utc>,
    ) -> Result<Option<StoredTransition>, StoreError> {
        self.database.read(history::transition_before(&self.database.readers, id, at)).await
    }

    async fn rollups(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Rollup>, StoreError> {
        self.database.read(history::rollups(&self.database.readers, id, (from, to))).await
    }

    async fn gaps(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Gap>, StoreError> {
        self.database.read(history::gaps(&self.database.readers, id, (from, to))).await
    }

    async fn last_alive(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let micros = self.database.read(ledger::last_alive(&self.database.readers)).await?;
        Ok(micros.and_then(DateTime::from_timestamp_micros))
    }

    async fn prune(&self, retention: &Retention) -> Result<u64, StoreError> {
        write!(self, |writer| history::prune(writer, retention))
    }

    async fn sealed_credentials(
        &self,
        after: Option<(ClusterId, Endpoint)>,
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError> {
        self.database.read(credentials::after(&self.database.readers, after, limit)).await
    }

    async fn write_credentials(
        &self,
        id: ClusterId,
        put: &[SealedRow],
        gone: &[Endpoint],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |writer| async {
            credentials::write(writer, id, put, gone, events).await?;
            audit::append(writer, audit).await
        })
    }

    async fn reseal_credentials(&self, rows: &[(Vec<u8>, SealedRow)], audit: &[AuditEntry]) -> Result<u64, StoreError> {
        write!(self, |writer| async {
            let replaced = credentials::reseal(writer, rows).await?;
            if replaced > 0 {
                audit::append(writer, audit).await?;
            }
            Ok(replaced)
        })
    }

    async fn discoveries(&self) -> Result<Vec<StoredDiscovery>, StoreError> {
        self.database.read(discoveries::all(&self.database.readers)).await
    }

    async fn write_discovery(
        &self,
        discovery: &StoredDiscovery,
        capabilities: Option<&serde_json::Value>,
        events: &[Arc<Event>],
    ) -> Result<(), StoreError> {
        write!(self, |writer| discoveries::write(writer, discovery, capabilities, events))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.head().await.map(|_| ())
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

/// A time kept as microseconds of the epoch.
fn moment(row: &SqliteRow, column: &'static str) -> Result<DateTime<Utc>, Failure> {
    moment_maybe(row, column)?.ok_or_else(|| unreadable("time"))
}

fn moment_maybe(row: &SqliteRow, column: &'static str) -> Result<Option<DateTime<Utc>>, Failure> {
    let micros: Option<i64> = row.try_get(column)?;
    micros.map(|micros| DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable("time"))).transpose()
}

/// An id kept as hyphenated text.
fn uuid_of(row: &SqliteRow, column: &'static str) -> Result<Uuid, Failure> {
    word(row.try_get(column)?, "id")
}
