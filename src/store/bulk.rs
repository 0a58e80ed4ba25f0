//! What comes by the thousand, which each database takes its own way.

use std::{collections::BTreeMap, sync::Arc};

use fleetbeat_actors::{
    event::Event,
    health::{Status, Transition},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
};

use super::{audit::AuditRow, failure::Failure, statement::Connection};

/// A connection that takes everything that comes by the thousand.
pub(super) trait Bulk: BulkClusters + BulkLedger + BulkEvents + BulkAudit {}

impl<C: BulkClusters + BulkLedger + BulkEvents + BulkAudit> Bulk for C {}

pub(super) trait BulkClusters: Connection {
    /// Clusters with their statuses, or `NameTaken` with the first name that is registered already.
    fn insert_clusters(&mut self, rows: &[(Arc<Cluster>, Status)]) -> impl Future<Output = Result<(), Failure>> + Send;
}

pub(super) trait BulkLedger: Connection {
    /// Sets statuses that are newer than those stored.
    fn update_statuses(
        &mut self,
        rows: &[(ClusterId, Arc<Status>)],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Keeps transitions of clusters that are registered.
    fn insert_transitions(&mut self, rows: &[Arc<Transition>]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Sets rollups of clusters that are registered.
    fn upsert_rollups(&mut self, rows: &[Rollup]) -> impl Future<Output = Result<(), Failure>> + Send;
}

pub(super) trait BulkEvents: Connection {
    /// Appends events, and moves known ones to their new position.
    fn insert_events(&mut self, rows: &[Arc<Event>]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Keeps the last sequences of clusters; none falls.
    fn advance_sequences(&mut self, rows: BTreeMap<ClusterId, i64>)
    -> impl Future<Output = Result<(), Failure>> + Send;
}

pub(super) trait BulkAudit: Connection {
    /// Waits until nobody else appends to the audit log, and keeps it so until the end of the transaction.
    fn hold_audit(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Appends rows of the audit log.
    fn insert_audit(&mut self, rows: Vec<AuditRow>) -> impl Future<Output = Result<(), Failure>> + Send;
}
