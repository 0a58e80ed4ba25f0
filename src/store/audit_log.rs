//! Where the audit log is kept and read. What a row is and how rows are chained: `audit`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{ports::StoreError, roll::ClusterId};

use super::audit::{AuditEntry, AuditLink, AuditOutcome, AuditRow};

/// In which order rows of the audit log are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// As they were written.
    OldestFirst,
    /// The other way round.
    #[default]
    NewestFirst,
}

/// Which rows of the audit log to read.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only rows after this position.
    pub after: Option<i64>,
    /// Only rows before this position.
    pub before: Option<i64>,
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only of this action.
    pub action: Option<String>,
    /// Only of this outcome.
    pub outcome: Option<AuditOutcome>,
    /// Only about this cluster.
    pub cluster_id: Option<ClusterId>,
    /// Only of this request.
    pub request_id: Option<String>,
    /// Only from this time on.
    pub from: Option<DateTime<Utc>>,
    /// Only before this time.
    pub to: Option<DateTime<Utc>>,
    /// In which order.
    pub order: AuditOrder,
    /// At most so many.
    pub limit: u32,
}

/// Where the chain begins and ends, as it was noted apart from its rows. `None`: somebody removed the note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditEnds {
    /// The last row that the janitor removed.
    pub anchor: Option<AuditLink>,
    /// The newest row.
    pub head: Option<AuditLink>,
}

/// The audit log: rows chained by their hashes, appended in the transaction of what they tell of.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Appends entries that tell of no change of the database.
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;

    /// Rows by filter.
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError>;

    /// Where the chain begins and ends.
    async fn audit_ends(&self) -> Result<AuditEnds, StoreError>;

    /// Removes up to `batch` rows from the beginning of the chain, up to the first that is not older than `before`; keeps
    /// the last of them as the anchor, and tells of it. Returns how many went.
    async fn prune_audit(&self, before: DateTime<Utc>, batch: u32, now: DateTime<Utc>) -> Result<u64, StoreError>;
}
