//! What registration and API ask of the engine.

use async_trait::async_trait;
use fleetbeat_actors::{health::CheckReport, roll::ClusterId};

/// Why a check could not be run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckNowError {
    /// Nobody watches the cluster (it was deleted, or checks are switched off).
    #[error("the cluster is not being watched")]
    NotWatched,
    /// No report came back in time.
    #[error("no check could be completed in time")]
    TimedOut,
}

/// The engine, as seen from the registry.
#[async_trait]
pub trait Watch: Send + Sync + 'static {
    /// Look again at this cluster: spawn, retune or stop its actor. Returns at once.
    fn poke(&self, id: ClusterId);

    /// Runs a check now and brings its report; the board shows its result by then.
    async fn check_now(&self, id: ClusterId) -> Result<CheckReport, CheckNowError>;
}
