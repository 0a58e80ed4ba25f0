//! The store, written once for both databases: each call of the contract on the tables it concerns.

mod secrets;
mod webhooks;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::Event,
    health::{Endpoint, Status},
    ports::{Batch, Enrolled, EventLog, Ledger, Roll, StoreError},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
};
use uuid::Uuid;

use super::{
    audit::{AuditEntry, AuditRow},
    audit_log::{AuditEnds, AuditFilter, AuditLog},
    backend::{Access, Backend},
    callers::{Keys, SessionRows, StoredSession, StoredToken},
    contract::{EventFilter, Gap, Retention, SealedRow, Store, StoredDiscovery, StoredTransition},
    failure::Commit,
    rows::{audit, clusters, credentials, discoveries, engine, events, history, keys, ledger, sessions, silences},
    silences::{SilenceRows, StoredSilence},
};

/// The store in one of the databases.
pub(super) struct Tables<B> {
    backend: B,
}

impl<B> Tables<B> {
    pub(super) fn new(backend: B) -> Self {
        Self { backend }
    }
}

/// Runs `$work` on the connection `$connection`.
macro_rules! call {
    ($store:ident, $access:ident, |$connection:ident| $work:expr) => {{
        let commit = Commit::default();
        let call = async {
            let mut lease = $store.backend.lease(Access::$access).await?;
            let $connection = &mut *lease;
            let done = $work.await;
            B::finish(lease, &commit, done).await
        };
        $store.backend.call(Access::$access, &commit, call).await
    }};
}

/// Runs `$work` in a transaction that tells the audit log of it, if it changed anything.
macro_rules! told {
    ($store:ident, $audit:ident, |$connection:ident| $work:expr) => {
        call!($store, Write, |$connection| async {
            let change = $work.await?;
            if change.happened() {
                audit::append($connection, $audit).await?;
            }
            Ok(change)
        })
    };
}
use {call, told};

/// What a write tells of what it did.
trait Change {
    fn happened(&self) -> bool;
}

impl Change for () {
    fn happened(&self) -> bool {
        true
    }
}

impl Change for bool {
    fn happened(&self) -> bool {
        *self
    }
}

/// How many rows were touched.
impl Change for u64 {
    fn happened(&self) -> bool {
        *self > 0
    }
}

#[async_trait]
impl<B: Backend> Roll for Tables<B> {
    async fn revisions(&self) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        call!(self, Read, |connection| clusters::revisions(connection))
    }

    async fn fetch(&self, ids: Option<&[ClusterId]>) -> Result<Vec<Enrolled>, StoreError> {
        call!(self, Read, |connection| clusters::fetch(connection, ids))
    }
}

#[async_trait]
impl<B: Backend> Ledger for Tables<B> {
    async fn record(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let attempt = async |commit: &Commit| {
            let mut lease = self.backend.lease(Access::Write).await?;
            let done = ledger::record(&mut *lease, batch).await;
            B::finish(lease, commit, done).await
        };
        let commit = Commit::default();
        let call = async {
            match attempt(&commit).await {
                // A cluster was deleted between a statement's look at it and the statement's end.
                Err(failure) if B::reference_vanished(&failure) => attempt(&commit).await,
                done => done,
            }
        };
        self.backend.call(Access::Write, &commit, call).await
    }

    async fn stored(&self, events: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        call!(self, WriteAfterAll, |connection| events::stored(connection, events))
    }

    async fn sequences(&self, ids: &[ClusterId]) -> Result<Vec<(ClusterId, i64)>, StoreError> {
        call!(self, Read, |connection| events::sequences(connection, ids))
    }
}

#[async_trait]
impl<B: Backend> EventLog for Tables<B> {
    async fn events_after(&self, position: i64, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        call!(self, Read, |connection| events::after(connection, position, limit))
    }

    async fn head(&self) -> Result<i64, StoreError> {
        call!(self, Read, |connection| events::head(connection))
    }

    async fn published(&self) -> Result<i64, StoreError> {
        call!(self, Read, |connection| engine::published(connection))
    }

    async fn mark_published(&self, position: i64) -> Result<(), StoreError> {
        call!(self, Pieces, |connection| engine::mark_published(connection, position))
    }

    async fn waiting(&self, position: i64) -> Result<u64, StoreError> {
        call!(self, Read, |connection| events::waiting(connection, position))
    }
}

#[async_trait]
impl<B: Backend> Keys for Tables<B> {
    async fn tokens(&self) -> Result<Vec<StoredToken>, StoreError> {
        call!(self, Read, |connection| keys::all(connection))
    }

    async fn insert_token(&self, token: &StoredToken, audit: &[AuditEntry]) -> Result<(), StoreError> {
        told!(self, audit, |connection| keys::insert(connection, token))
    }

    async fn revoke_token(&self, id: Uuid, at: DateTime<Utc>, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        told!(self, audit, |connection| keys::revoke(connection, id, at))
    }

    async fn forget_tokens(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        call!(self, Pieces, |connection| keys::forget(connection, before))
    }
}

#[async_trait]
impl<B: Backend> AuditLog for Tables<B> {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        call!(self, Write, |connection| audit::append(connection, entries))
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        call!(self, Read, |connection| audit::filtered(connection, filter))
    }

    async fn audit_ends(&self) -> Result<AuditEnds, StoreError> {
        call!(self, Read, |connection| audit::ends(connection))
    }

    async fn prune_audit(&self, before: DateTime<Utc>, batch: u32, now: DateTime<Utc>) -> Result<u64, StoreError> {
        call!(self, Write, |connection| audit::prune(connection, before, batch, now))
    }
}

#[async_trait]
impl<B: Backend> SessionRows for Tables<B> {
    async fn sessions(&self) -> Result<Vec<StoredSession>, StoreError> {
        call!(self, Read, |connection| sessions::all(connection))
    }

    async fn insert_session(&self, session: &StoredSession, audit: &[AuditEntry]) -> Result<(), StoreError> {
        told!(self, audit, |connection| sessions::insert(connection, session))
    }

    async fn delete_session(&self, hash: &[u8; 32], audit: &[AuditEntry]) -> Result<bool, StoreError> {
        told!(self, audit, |connection| sessions::delete(connection, hash))
    }

    async fn delete_sessions_over(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        call!(self, Write, |connection| sessions::delete_over(connection, now))
    }
}

#[async_trait]
impl<B: Backend> SilenceRows for Tables<B> {
    async fn silences(&self) -> Result<Vec<StoredSilence>, StoreError> {
        call!(self, Read, |connection| silences::all(connection))
    }

    async fn insert_silence(&self, silence: &StoredSilence, audit: &[AuditEntry]) -> Result<(), StoreError> {
        told!(self, audit, |connection| silences::insert(connection, silence))
    }

    async fn end_silence(
        &self,
        id: Uuid,
        at: DateTime<Utc>,
        by: Option<&str>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        told!(self, audit, |connection| silences::end(connection, id, at, by))
    }

    async fn forget_silences(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        call!(self, Write, |connection| silences::forget(connection, ids))
    }
}

#[async_trait]
impl<B: Backend> Store for Tables<B> {
    async fn insert(
        &self,
        clusters: &[(Arc<Cluster>, Status)],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        told!(self, audit, |connection| clusters::insert(connection, clusters, events))
    }

    async fn update(
        &self,
        cluster: &Cluster,
        expected: i64,
        events: &[Arc<Event>],
        unbound: &[Endpoint],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        told!(self, audit, |connection| clusters::update(connection, cluster, expected, events, unbound))
    }

    async fn delete(
        &self,
        id: ClusterId,
        expected: Option<i64>,
        event: &Arc<Event>,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        told!(self, audit, |connection| clusters::delete(connection, id, expected, event))
    }

    async fn append(&self, events: &[Arc<Event>], gaps: &[Gap]) -> Result<(), StoreError> {
        call!(self, Write, |connection| async {
            history::insert_gaps(connection, gaps).await?;
            events::insert(connection, events).await
        })
    }

    async fn events(&self, filter: &EventFilter) -> Result<Vec<Arc<Event>>, StoreError> {
        call!(self, Read, |connection| events::filtered(connection, filter))
    }

    async fn transitions(
        &self,
        id: ClusterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<StoredTransition>, StoreError> {
        call!(self, Read, |connection| history::transitions(connection, id, (from, to), limit))
    }

    async fn transition_before(
        &self,
        id: ClusterId,
        at: DateTime<Utc>,
    ) -> Result<Option<StoredTransition>, StoreError> {
        call!(self, Read, |connection| history::transition_before(connection, id, at))
    }

    async fn rollups(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Rollup>, StoreError> {
        call!(self, Read, |connection| history::rollups(connection, id, (from, to)))
    }

    async fn gaps(&self, id: ClusterId, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Gap>, StoreError> {
        call!(self, Read, |connection| history::gaps(connection, id, (from, to)))
    }

    async fn last_alive(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        call!(self, Read, |connection| engine::last_alive(connection))
    }

    async fn prune(&self, retention: &Retention) -> Result<u64, StoreError> {
        call!(self, Pieces, |connection| history::prune(connection, retention))
    }

    async fn sealed_credentials(
        &self,
        after: Option<(ClusterId, Endpoint)>,
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError> {
        call!(self, Read, |connection| credentials::after(connection, after, limit))
    }

    async fn write_credentials(
        &self,
        id: ClusterId,
        put: &[SealedRow],
        gone: &[Endpoint],
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        told!(self, audit, |connection| credentials::write(connection, id, put, gone, events))
    }

    async fn reseal_credentials(&self, rows: &[(Vec<u8>, SealedRow)], audit: &[AuditEntry]) -> Result<u64, StoreError> {
        told!(self, audit, |connection| credentials::reseal(connection, rows))
    }

    async fn discoveries(&self) -> Result<Vec<StoredDiscovery>, StoreError> {
        call!(self, Read, |connection| discoveries::all(connection))
    }

    async fn write_discovery(
        &self,
        discovery: &StoredDiscovery,
        capabilities: Option<&serde_json::Value>,
        events: &[Arc<Event>],
    ) -> Result<(), StoreError> {
        call!(self, Write, |connection| discoveries::write(connection, discovery, capabilities, events))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.backend.ping().await
    }

    fn call_timeout(&self) -> Duration {
        self.backend.call_timeout()
    }

    fn backend(&self) -> &'static str {
        B::NAME
    }

    async fn close(&self) {
        self.backend.close().await;
    }
}
