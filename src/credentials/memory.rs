//! Credentials kept in this process only: for tests and for fleets without a credential store.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;
use fleetbeat_actors::roll::ClusterId;

use super::{Credential, Credentials, Lookup};

/// Credentials in memory. Lost with the process.
#[derive(Debug, Default)]
pub struct InMemoryCredentials {
    kept: DashMap<ClusterId, Arc<Credential>>,
    versions: AtomicU64,
}

impl InMemoryCredentials {
    /// Sets or replaces what is known for `id`, under a new version, which is returned.
    pub fn put(&self, id: ClusterId, credential: Credential) -> u64 {
        let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        self.kept.insert(id, Arc::new(Credential { version, ..credential }));
        version
    }

    /// Forgets `id`. Was there anything?
    pub fn remove(&self, id: ClusterId) -> bool {
        self.kept.remove(&id).is_some()
    }
}

impl Credentials for InMemoryCredentials {
    fn get(&self, id: ClusterId) -> Lookup {
        self.kept.get(&id).map_or(Lookup::None, |entry| Lookup::Some(Arc::clone(&entry)))
    }
}
