//! The contract of the stores that keep credentials for good.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{
    event::Event,
    health::Endpoint,
    ports::StoreError,
    roll::{Cluster, ClusterId},
};

use super::{Credential, Part};
use crate::store::AuditEntry;

/// What of a cluster's credentials changes.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Parts set or replaced. Each is bound to a place.
    pub put: Vec<(Endpoint, Arc<Part>)>,
    /// Parts removed.
    pub gone: Vec<Endpoint>,
}

/// What a store found for one cluster: `None` when there is something that cannot be opened.
pub type Found = (ClusterId, Option<Credential>);

/// A store of credentials.
#[async_trait]
pub trait CredentialStore: Send + Sync + 'static {
    /// Everything that is kept.
    async fn load(&self) -> Result<Vec<Found>, StoreError>;

    /// Makes a change, with the events and the entries of the audit log that tell of it: in the same transaction where the
    /// store has one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the cluster is not registered; nothing was written then.
    async fn write(
        &self,
        id: ClusterId,
        change: &Change,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError>;

    /// Removes parts of a cluster that is about to change, because they are bound to where its endpoints were. A store that is
    /// part of the database has nothing to do: the change itself removes them.
    async fn unbind(&self, _cluster: &Cluster, _kinds: &[Endpoint]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes what is kept for a cluster that was removed. A store that is part of the database has nothing to do.
    async fn forget(&self, _id: ClusterId) -> Result<(), StoreError> {
        Ok(())
    }
}
