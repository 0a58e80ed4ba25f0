//! Credentials that a cluster refused, read again from its Secret before the refusal counts: the watch may be late, or broken.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use fleetbeat_actors::{ports::Clock, roll::ClusterId};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Semaphore;

use crate::{credentials::Keeper, registration::Registration, secrets::KubeSecrets};

/// How long what was read again, and refused again, is not read once more.
const PAUSE: Duration = Duration::from_secs(60);
/// Secrets read again at the same time.
const AT_ONCE: usize = 4;

/// Reads Secrets again.
pub(super) struct Again {
    secrets: Arc<KubeSecrets>,
    /// Weak: it holds the memory that holds this.
    registration: Weak<Registration>,
    clock: Arc<dyn Clock>,
    permits: Semaphore,
    /// Which version of a cluster's credentials was refused, and when its Secret was read for that.
    read: DashMap<ClusterId, (u64, Instant)>,
}

impl Again {
    pub(super) fn new(secrets: Arc<KubeSecrets>, registration: &Arc<Registration>, clock: Arc<dyn Clock>) -> Self {
        let registration = Arc::downgrade(registration);
        Self { secrets, registration, clock, permits: Semaphore::new(AT_ONCE), read: DashMap::new() }
    }

    /// Is it time to read the Secret, now that this version is refused? A fleet that is refused for good costs its hub little.
    fn is_due(&self, id: ClusterId, version: u64) -> bool {
        let now = self.clock.now();
        match self.read.entry(id) {
            Entry::Occupied(known) if known.get().0 == version && now.duration_since(known.get().1) < PAUSE => false,
            entry => {
                entry.insert((version, now));
                true
            }
        }
    }
}

impl Keeper for Again {
    fn read_again(&self, id: ClusterId) -> BoxFuture<'_, ()> {
        async move {
            let Some(registration) = self.registration.upgrade() else { return };
            let Ok(known) = registration.stored(id) else { return };
            if !self.is_due(id, known.version) {
                return;
            }
            let Ok(_permit) = self.permits.acquire().await else { return };
            match self.secrets.look(id).await {
                Err(error) => tracing::warn!(%id, %error, "refused credentials could not be read again"),
                Ok(noticed) => {
                    if let Err(error) = registration.notice(&self.secrets, noticed).await {
                        tracing::warn!(%id, %error, "a changed Secret could not be taken over yet");
                    }
                }
            }
        }
        .boxed()
    }
}
