//! The credentials as the probes read them: in this process's memory, filled from the store at the start and after every
//! change.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dashmap::{DashMap, Entry};
use fleetbeat_actors::roll::ClusterId;
use futures_util::{FutureExt, future::BoxFuture};

use super::{Credential, Credentials, Lookup};

/// Where credentials are kept that others may change.
pub trait Keeper: Send + Sync + 'static {
    /// Reads again what is kept for `id` and puts it into memory where it is something else. It may take a moment.
    fn read_again(&self, id: ClusterId) -> BoxFuture<'_, ()>;
}

/// Credentials in memory.
#[derive(Default)]
pub struct InMemoryCredentials {
    kept: DashMap<ClusterId, Option<Arc<Credential>>>,
    versions: AtomicU64,
    changes: AtomicU64,
    loading: AtomicBool,
    keeper: OnceLock<Arc<dyn Keeper>>,
}

impl InMemoryCredentials {
    /// A memory that is not filled yet: until [`InMemoryCredentials::loaded`] nobody knows who has credentials.
    pub fn loading() -> Self {
        Self { loading: AtomicBool::new(true), ..Self::default() }
    }

    /// From now on what a cluster refuses is read again there. Set once.
    pub fn kept_by(&self, keeper: Arc<dyn Keeper>) {
        let _ = self.keeper.set(keeper);
    }

    /// Everything that is stored has been put.
    pub fn loaded(&self) {
        self.loading.store(false, Ordering::Release);
    }

    /// Is it still being filled?
    pub fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Acquire)
    }

    /// Sets or replaces what is known for `id`, under a new version, which is returned. Nothing in it, nothing kept.
    pub fn put(&self, id: ClusterId, credential: Credential) -> u64 {
        if credential.is_empty() {
            self.remove(id);
            return 0;
        }
        let version = self.next_version();
        self.kept.insert(id, Some(Arc::new(Credential { version, ..credential })));
        self.changed();
        version
    }

    /// As [`InMemoryCredentials::put`], unless something is known already. `None` is a credential that is stored but
    /// cannot be opened.
    pub fn put_loaded(&self, id: ClusterId, credential: Option<Credential>) {
        if let Entry::Vacant(vacant) = self.kept.entry(id) {
            let version = self.next_version();
            vacant.insert(credential.map(|credential| Arc::new(Credential { version, ..credential })));
            self.changed();
        }
    }

    /// What is kept for `id` cannot be used.
    pub fn put_unusable(&self, id: ClusterId) {
        self.kept.insert(id, None);
        self.changed();
    }

    /// Everybody of whom something is known, usable or not.
    pub fn known(&self) -> Vec<ClusterId> {
        self.kept.iter().map(|entry| *entry.key()).collect()
    }

    /// Is anything known of `id`, usable or not?
    pub fn has(&self, id: ClusterId) -> bool {
        self.kept.contains_key(&id)
    }

    /// Forgets `id`. Was there anything?
    pub fn remove(&self, id: ClusterId) -> bool {
        let known = self.kept.remove(&id).is_some();
        self.changed();
        known
    }

    /// Who has credentials, and which.
    pub fn all(&self) -> Vec<(ClusterId, Arc<Credential>)> {
        self.kept.iter().filter_map(|entry| Some((*entry.key(), entry.value().clone()?))).collect()
    }

    /// A number that grows with every change.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Credentials for InMemoryCredentials {
    fn get(&self, id: ClusterId) -> Lookup {
        match self.kept.get(&id).as_deref() {
            Some(Some(credential)) => Lookup::Some(Arc::clone(credential)),
            Some(None) => Lookup::Unavailable,
            None if self.is_loading() => Lookup::Unavailable,
            None => Lookup::None,
        }
    }

    fn ask_again(&self, id: ClusterId) -> BoxFuture<'_, Lookup> {
        async move {
            if let Some(keeper) = self.keeper.get() {
                keeper.read_again(id).await;
            }
            self.get(id)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::health::Endpoint;

    use super::*;
    use crate::credentials::Part;

    fn one(token: &str) -> Credential {
        Credential::default().with(Endpoint::ApiServer, Part::of_token(token))
    }

    #[test]
    fn until_it_is_loaded_nobody_knows_who_has_none() {
        let (memory, id) = (InMemoryCredentials::loading(), ClusterId::generate());
        assert!(matches!(memory.get(id), Lookup::Unavailable));
        memory.put_loaded(id, Some(one("a")));
        assert!(matches!(memory.get(id), Lookup::Some(_)));
        memory.loaded();
        assert!(matches!(memory.get(ClusterId::generate()), Lookup::None));
    }

    #[test]
    fn what_is_loaded_late_does_not_replace_what_is_newer() {
        let (memory, id) = (InMemoryCredentials::loading(), ClusterId::generate());
        let version = memory.put(id, one("new"));
        memory.put_loaded(id, Some(one("old")));
        assert!(matches!(memory.get(id), Lookup::Some(kept) if kept.version == version));
    }

    #[test]
    fn what_cannot_be_opened_is_not_the_same_as_none() {
        let (memory, id) = (InMemoryCredentials::default(), ClusterId::generate());
        memory.put_loaded(id, None);
        assert!(matches!(memory.get(id), Lookup::Unavailable));
    }
}
