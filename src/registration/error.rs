//! Why a write to the registry did not happen: store and outbox errors translated once.

use std::time::Duration;

use fleetbeat_actors::{outbox::OutboxError, ports::StoreError, roll::ClusterId};

use super::{invalid::Invalid, source::Foreign};

/// Why a write did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The input cannot be accepted.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A cluster of that name is registered already.
    #[error("a cluster named '{0}' is already registered")]
    NameTaken(String),
    /// A cluster of that name is registered already, and comes from elsewhere.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// Another cluster has that source.
    #[error("the source is that of another cluster")]
    SourceTaken,
    /// No such cluster.
    #[error("cluster {0} is not registered")]
    NotFound(ClusterId),
    /// The caller expected another generation.
    #[error("the cluster is at generation {current}")]
    Precondition {
        /// The generation it is at.
        current: i64,
    },
    /// Someone else changed the cluster meanwhile.
    #[error("the cluster was changed meanwhile; read it again")]
    Changed,
    /// The cluster would be one that its author may not see.
    #[error("the cluster would be outside what you may see")]
    OutOfScope,
    /// The store cannot take it now.
    #[error("the store is unavailable")]
    Unavailable {
        /// Is it unknown whether the write happened all the same?
        doubtful: bool,
        /// When to try again.
        retry_after: Duration,
    },
    /// The store refused for good, or a task died. Logged where it happened.
    #[error("internal error")]
    Internal,
}

impl WriteError {
    /// The store cannot take it now, and did not.
    pub const BUSY: Self = Self::Unavailable { doubtful: false, retry_after: Duration::from_secs(1) };

    /// What a store's error means for a write to `id`.
    pub fn of_store(error: StoreError, id: ClusterId) -> Self {
        match error {
            StoreError::NameTaken(name) => Self::NameTaken(name),
            StoreError::NotFound => Self::NotFound(id),
            StoreError::Stale => Self::Changed,
            StoreError::Unavailable { reason, doubtful } => {
                tracing::warn!(%id, reason, doubtful, "the store did not take a write");
                Self::Unavailable { doubtful, retry_after: Duration::from_secs(2) }
            }
            StoreError::Broken(reason) => {
                tracing::error!(%id, reason, "the store refused a write");
                Self::Internal
            }
        }
    }
}

impl From<OutboxError> for WriteError {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Unsaved | OutboxError::Busy | OutboxError::InDoubt => Self::BUSY,
        }
    }
}
