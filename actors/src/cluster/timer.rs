//! The one timer of a cluster actor.

use std::time::Instant;

use ractor::ActorRef;
use tokio::task::AbortHandle;

use super::ClusterMessage;

/// Armed for one time at most; arming it again replaces that time.
#[derive(Default)]
pub(super) struct Timer {
    arm: u64,
    sleeping: Option<AbortHandle>,
}

impl Timer {
    pub(super) fn arm(&mut self, actor: &ActorRef<ClusterMessage>, at: Instant, now: Instant) {
        self.disarm();
        self.arm += 1;
        let arm = self.arm;
        let sleep = actor.send_after(at.saturating_duration_since(now), move || ClusterMessage::Woke(arm));
        self.sleeping = Some(sleep.abort_handle());
    }

    pub(super) fn disarm(&mut self) {
        if let Some(sleeping) = self.sleeping.take() {
            sleeping.abort();
        }
    }

    /// Is this the wake that was armed last (and not disarmed since)?
    pub(super) fn fired(&mut self, arm: u64) -> bool {
        arm == self.arm && self.sleeping.take().is_some()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}
