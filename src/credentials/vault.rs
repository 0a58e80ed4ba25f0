//! The vault: the credentials in memory, the store that keeps them, and the way to try them.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    health::{CheckReport, Endpoint},
    ports::StoreError,
    roll::ClusterId,
    target::Target,
};
use futures_util::future::BoxFuture;

use super::{Credential, CredentialStore, Credentials, InMemoryCredentials, Lookup, Prover};

/// Pauses between attempts to remove what is kept for a cluster that is gone.
const FORGETTING: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// Everything that touches credentials. Writes go through `registration`, which gives them their place in the log.
pub struct Vault {
    memory: Arc<InMemoryCredentials>,
    store: Arc<dyn CredentialStore>,
    prover: Arc<dyn Prover>,
}

impl Vault {
    /// A vault whose memory is still to be filled.
    pub fn new(memory: Arc<InMemoryCredentials>, store: Arc<dyn CredentialStore>, prover: Arc<dyn Prover>) -> Self {
        Self { memory, store, prover }
    }

    /// Fills the memory from the store. Until it succeeds, nobody's checks run as if there were no credentials.
    ///
    /// # Errors
    /// When the store does not answer; worth another try.
    pub async fn fill(&self) -> Result<usize, StoreError> {
        let count = self.read().await?;
        self.memory.loaded();
        Ok(count)
    }

    /// As [`Vault::fill`], but writes are still refused until the memory is said to be loaded.
    ///
    /// # Errors
    /// As for [`Vault::fill`].
    pub async fn read(&self) -> Result<usize, StoreError> {
        let found = self.store.load().await?;
        let count = found.len();
        for (id, credential) in found {
            self.memory.put_loaded(id, credential);
        }
        Ok(count)
    }

    /// What the probes see.
    pub fn get(&self, id: ClusterId) -> Lookup {
        self.memory.get(id)
    }

    /// The memory.
    pub fn memory(&self) -> &InMemoryCredentials {
        &self.memory
    }

    /// The store.
    pub(crate) fn store(&self) -> &dyn CredentialStore {
        &*self.store
    }

    /// When the certificates end that a cluster's servers showed.
    pub fn serving_ends(&self, id: ClusterId) -> Vec<(Endpoint, DateTime<Utc>)> {
        self.prover.serving_ends(id)
    }

    /// A number that grows with every change of credentials in memory, and of what servers show.
    pub fn changes(&self) -> u64 {
        self.memory.changes() + self.prover.serving_changes()
    }

    /// Forgets a cluster that is gone. The store may take a while for it; nobody waits.
    pub fn forget(&self, id: ClusterId) {
        self.memory.remove(id);
        self.prover.forget(id);
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            for pause in FORGETTING {
                match store.forget(id).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%id, %error, "the credentials of a removed cluster are still there"),
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// One check of `target` with `credential`.
    pub fn prove(&self, target: Arc<Target>, credential: Arc<Credential>) -> BoxFuture<'static, CheckReport> {
        self.prover.prove(target, credential)
    }
}
