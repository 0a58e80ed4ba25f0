//! What goes wrong between a statement and its caller, before the backend translates it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fleetbeat_actors::{health::Endpoint, ports::StoreError};
use tokio::time::Instant;

/// A failure inside a backend: the driver's, or one that the contract names.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver's error, not yet translated.
    Sql(sqlx::Error),
    /// An error of the contract.
    Store(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Remembers whether a commit was sent: from then on a broken connection leaves in doubt what happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Commit(Arc<AtomicBool>);

impl Commit {
    pub(super) fn sent(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs calls of the contract that must end by `deadline`, if that is before their own limit. Unlike a timeout around
/// them, it knows whether a commit was sent.
pub async fn until<T>(deadline: Instant, calls: impl Future<Output = T>) -> T {
    DEADLINE.scope(deadline, calls).await
}

/// Runs a call of the contract, at most for `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    commit: &Commit,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let left = DEADLINE.try_with(|deadline| deadline.saturating_duration_since(Instant::now())).unwrap_or(limit);
    let limit = limit.min(left);
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable {
            reason: format!("no answer within {} ms", limit.as_millis()),
            doubtful: commit.was_sent(),
        })
    })
}

/// A stored value that is not what this binary writes.
pub(super) fn unreadable(what: &'static str) -> Failure {
    Failure::Store(StoreError::Broken(format!("a stored {what} cannot be read")))
}

/// A stored word of a closed vocabulary.
pub(super) fn word<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, Failure> {
    text.parse().map_err(|_| unreadable(what))
}

/// The stored word of an endpoint.
pub(super) fn kind(text: &str) -> Result<Endpoint, Failure> {
    Endpoint::ALL.into_iter().find(|endpoint| endpoint.as_str() == text).ok_or_else(|| unreadable("endpoint"))
}

/// A stored number that must fit.
pub(super) fn number<T: TryFrom<i64>>(value: i64, what: &'static str) -> Result<T, Failure> {
    T::try_from(value).map_err(|_| unreadable(what))
}

/// A value as JSON text.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|_| no_json())
}

/// A value as a JSON document.
pub(super) fn document(value: &impl serde::Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|_| no_json())
}

fn no_json() -> Failure {
    Failure::Store(StoreError::Broken("a value has no JSON form".into()))
}
