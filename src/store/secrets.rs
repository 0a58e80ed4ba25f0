//! What the database remembers of Secrets on the hub: which version of each was last told of, and a write that was begun. Nothing
//! of what is in them.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audit::AuditEntry;

/// A write of a Secret that was begun, with what is to be told of it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BegunWrite {
    /// Payload of the event.
    pub payload: Value,
    /// Entries of the audit log, by whom it was begun.
    pub audit: Vec<AuditEntry>,
}

/// What is remembered of one cluster's Secret.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretMark {
    /// Whose.
    pub cluster_id: ClusterId,
    /// What is remembered of the Secret that was last told of: its version and a keyed hash; `None` when there was none.
    pub version: Option<String>,
    /// A write of which nobody has told yet.
    pub begun: Option<BegunWrite>,
}

/// Where it is remembered.
#[async_trait]
pub trait SecretRows: Send + Sync + 'static {
    /// All of them, or that of one cluster.
    async fn secret_marks(&self, of: Option<ClusterId>) -> Result<Vec<SecretMark>, StoreError>;

    /// Notes that a write is begun, or with `None` that it was not done.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the cluster is not registered.
    async fn begin_secret(&self, id: ClusterId, begun: Option<&BegunWrite>) -> Result<(), StoreError>;

    /// Stores what tells of a Secret, with what to remember of it (`None`: there is none any more). No write is begun then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the cluster is not registered; nothing was written then.
    async fn settle_secret(
        &self,
        id: ClusterId,
        version: Option<&str>,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError>;
}
