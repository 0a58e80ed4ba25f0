//! The janitor: removes history that has outlived its retention, in small batches, once an hour, and tokens that ended long ago.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::ports::{Clock, StoreError};

use crate::{
    config::{Audit, History},
    store::{Retention, Store},
};

const ROUND: Duration = Duration::from_secs(3_600);
const PAUSE: Duration = Duration::from_millis(100);
const BATCH: u32 = 1_000;
/// How long tokens of the API are kept that ended or were revoked.
const DEAD_TOKENS: TimeDelta = TimeDelta::days(90);

/// Sweeps for ever.
pub(super) async fn sweep(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    history: History,
    audit: Audit,
    published: bool,
) {
    loop {
        tokio::time::sleep(ROUND).await;
        match round(&*store, clock.wall(), &history, published).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old history was removed"),
            Err(error) => tracing::warn!(%error, "old history could not be removed"),
        }
        match audit_round(&*store, &*clock, &audit).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old rows of the audit log were removed"),
            Err(error) => tracing::warn!(%error, "old rows of the audit log could not be removed"),
        }
        match store.forget_tokens(clock.wall() - DEAD_TOKENS).await {
            Ok(0) => {}
            Ok(tokens) => tracing::info!(tokens, "tokens that ended long ago were removed"),
            Err(error) => tracing::warn!(%error, "tokens that ended long ago could not be removed"),
        }
    }
}

async fn audit_round(store: &dyn Store, clock: &dyn Clock, audit: &Audit) -> Result<u64, StoreError> {
    let before = clock.wall() - TimeDelta::days(i64::from(audit.retention_days));
    let mut rows = 0;
    loop {
        let gone = store.prune_audit(before, BATCH, clock.wall()).await?;
        rows += gone;
        if gone == 0 {
            return Ok(rows);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn round(store: &dyn Store, now: DateTime<Utc>, history: &History, published: bool) -> Result<u64, StoreError> {
    let before = |days: u32| now - TimeDelta::days(i64::from(days));
    let mut events_before = before(history.events_retention_days);
    if published {
        // What waits to be published stays, however old.
        let cursor = DateTime::from_timestamp_micros(store.published().await?).unwrap_or_default();
        events_before = events_before.min(cursor);
    }
    let retention = Retention {
        checks_before: before(history.checks_retention_days),
        transitions_before: before(history.transitions_retention_days),
        events_before,
        batch: BATCH,
    };
    let mut rows = 0;
    loop {
        let gone = store.prune(&retention).await?;
        rows += gone;
        if gone == 0 {
            return Ok(rows);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
