//! What registration and API ask of the engine.

use std::time::Duration;

use async_trait::async_trait;
use fleetbeat_actors::{
    engine::{CheckNowError, Engine},
    health::CheckReport,
    roll::ClusterId,
};

/// The engine, as seen from the registry.
#[async_trait]
pub trait Watch: Send + Sync + 'static {
    /// Look again at this cluster: spawn, retune or stop its actor. Returns at once.
    fn poke(&self, id: ClusterId);

    /// Runs a check now and brings its report, at most within `patience`.
    async fn check_now(&self, id: ClusterId, patience: Duration) -> Result<CheckReport, CheckNowError>;
}

#[async_trait]
impl Watch for Engine {
    fn poke(&self, id: ClusterId) {
        Self::poke(self, id);
    }

    async fn check_now(&self, id: ClusterId, patience: Duration) -> Result<CheckReport, CheckNowError> {
        Self::check_now(self, id, patience).await
    }
}
