//! The recorder's batches: statuses, transitions, events, rollups and the sign of life.

use fleetbeat_actors::ports::Batch;

use super::{engine, events};
use crate::store::{bulk::Bulk, failure::Failure};

/// What refers to a cluster goes first: like a deletion, a batch locks the cluster's row before its status.
pub(in crate::store) async fn record(connection: &mut impl Bulk, batch: &Batch) -> Result<(), Failure> {
    connection.insert_transitions(&batch.transitions).await?;
    connection.upsert_rollups(&batch.rollups).await?;
    connection.update_statuses(&batch.statuses).await?;
    events::insert(connection, &batch.events).await?;
    if let Some(at) = batch.alive_at {
        engine::alive(connection, at).await?;
    }
    Ok(())
}
