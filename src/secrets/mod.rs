//! Credentials kept in Secrets of the hub, one for each cluster, in a shape that people and other programs can read and write:
//! whoever may change such a Secret may change the credentials.

mod shape;
mod told;
mod watch;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use dashmap::DashMap;
use fleetbeat_actors::{
    event::Event,
    health::Endpoint,
    ports::StoreError,
    roll::{Cluster, ClusterId},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Api, DeleteParams, ListParams, PostParams, Preconditions},
};

use crate::{
    credentials::{Change, Credential, CredentialStore, Found, KeyedHasher},
    hub::{Hub, HubError},
    store::{AuditEntry, BegunWrite, Store},
};

pub use watch::Noticed;

/// Secrets listed at once.
const PAGE: u32 = 50;
/// Attempts of a write that somebody else gets in the way of.
const TRIES: usize = 5;

/// The Secrets of one namespace.
pub struct KubeSecrets {
    api: Api<Secret>,
    store: Arc<dyn Store>,
    hasher: KeyedHasher,
    /// The versions that were there when everything was loaded.
    loaded: DashMap<ClusterId, String>,
    /// The versions that were told of; an empty one, which no Secret has, while a write is under way.
    told: DashMap<ClusterId, Option<String>>,
}

/// What is kept for a cluster, and in which version.
pub struct Kept {
    /// Nothing, something, or (`Some(None)`) something that cannot be used.
    pub credential: Option<Option<Credential>>,
    /// The version of its Secret; `None` when there is none.
    pub version: Option<String>,
}

impl KubeSecrets {
    /// The Secrets of `namespace`, for the clusters of `store`, which remembers keyed hashes of what is in them.
    pub fn new(hub: &Hub, namespace: &str, store: Arc<dyn Store>, hasher: KeyedHasher) -> Self {
        let api = Api::namespaced(hub.client(), namespace);
        Self { api, store, hasher, loaded: DashMap::new(), told: DashMap::new() }
    }

    /// Does the hub answer, and let us read?
    ///
    /// # Errors
    /// Why not.
    pub async fn ping(&self) -> Result<(), HubError> {
        self.api.list_metadata(&ListParams::default().labels(shape::SELECTOR).limit(1)).await?;
        Ok(())
    }

    /// What is kept for a cluster now.
    ///
    /// # Errors
    /// When the hub does not say.
    pub async fn fetch(&self, cluster: &Cluster) -> Result<Kept, HubError> {
        let secret = self.api.get_opt(&shape::name(cluster.id)).await?;
        let version = secret.as_ref().and_then(Secret::resource_version);
        let credential = secret.map(|secret| shape::read(&secret, cluster)).filter(|kept| !is_empty(kept));
        Ok(Kept { credential, version })
    }

    /// A cluster's Secret as it is now, as the watch would have shown it.
    ///
    /// # Errors
    /// When the hub does not say.
    pub async fn look(&self, id: ClusterId) -> Result<Noticed, HubError> {
        let secret = self.api.get_opt(&shape::name(id)).await?;
        Ok(secret.map_or(Noticed::Gone(id), |secret| Noticed::Is(id, Box::new(secret))))
    }

    /// The versions that were there when everything was loaded. Told once.
    pub fn take_loaded(&self) -> HashMap<ClusterId, String> {
        let loaded = self.loaded.iter().map(|entry| (*entry.key(), entry.value().clone())).collect();
        self.loaded.clear();
        loaded
    }

    /// Was a write begun, or any version told of, since the start?
    pub fn has_told_any(&self, id: ClusterId) -> bool {
        self.told.contains_key(&id)
    }

    /// Was this version told of?
    pub fn has_told(&self, id: ClusterId, version: Option<&str>) -> bool {
        self.told.get(&id).is_some_and(|told| told.as_deref() == version)
    }

    /// This version was told of.
    pub fn note_told(&self, id: ClusterId, version: Option<String>) {
        self.told.insert(id, version);
    }

    async fn list(&self) -> Result<Vec<Secret>, HubError> {
        let mut secrets = Vec::new();
        let mut page = ListParams::default().labels(shape::SELECTOR).limit(PAGE);
        loop {
            let list = self.api.list(&page).await?;
            secrets.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(secrets),
            }
        }
    }

    /// Makes a change of one Secret, again when somebody else made one meanwhile.
    /// How it is then; `None` when there is none any more.
    async fn change(&self, cluster: &Cluster, change: &Change) -> Result<Option<Secret>, HubError> {
        for _ in 0..TRIES {
            match self.try_change(cluster, change).await {
                Err(HubError::Conflict) => {}
                done => return done,
            }
        }
        Err(HubError::Conflict)
    }

    async fn try_change(&self, cluster: &Cluster, change: &Change) -> Result<Option<Secret>, HubError> {
        let name = shape::name(cluster.id);
        match self.api.get_opt(&name).await? {
            None if change.put.is_empty() => Ok(None),
            None => {
                let fresh = shape::changed(shape::empty(cluster.id), cluster, change);
                Ok(Some(self.api.create(&PostParams::default(), &fresh).await?))
            }
            Some(before) => {
                let version = before.metadata.resource_version.clone();
                let after = shape::changed(before, cluster, change);
                if shape::is_bare(&after) {
                    let seen = Preconditions { resource_version: version, uid: None };
                    let gone = self.api.delete(&name, &DeleteParams::default().preconditions(seen)).await;
                    absent(gone.map(drop))?;
                    Ok(None)
                } else {
                    Ok(Some(self.api.replace(&name, &PostParams::default(), &after).await?))
                }
            }
        }
    }

    /// The database first notes what is to be told, so that whoever ends this process between the Secret and the telling of it
    /// loses nothing.
    async fn change_told(
        &self,
        cluster: &Cluster,
        change: &Change,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<Option<Secret>, StoreError> {
        let payload = events.first().and_then(|event| serde_json::from_str(&event.payload).ok()).unwrap_or_default();
        let begun = BegunWrite { payload, audit: audit.to_vec() };
        self.store.begin_secret(cluster.id, Some(&begun)).await.map_err(undone)?;
        let changed = self.change(cluster, change).await.map_err(|error| unwritten(&error));
        if matches!(changed, Err(StoreError::Unavailable { doubtful: false, .. }))
            && let Err(error) = self.store.begin_secret(cluster.id, None).await
        {
            tracing::warn!(id = %cluster.id, %error, "a write of a Secret that was not done is still noted as begun");
        }
        changed
    }
}

/// Nothing has happened yet that could be in doubt.
fn undone(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { reason, .. } => StoreError::Unavailable { reason, doubtful: false },
        other => other,
    }
}

/// Not there is as good as removed.
fn absent(gone: Result<(), kube::Error>) -> Result<(), HubError> {
    match gone.map_err(HubError::from) {
        Err(HubError::NotFound) => Ok(()),
        gone => gone,
    }
}

fn is_empty(kept: &Option<Credential>) -> bool {
    kept.as_ref().is_some_and(Credential::is_empty)
}

/// What the hub's error means to those who read.
fn unread(error: &HubError) -> StoreError {
    StoreError::Unavailable { reason: error.to_string(), doubtful: false }
}

/// …and to those who write: when it did not answer, nobody knows whether it did what was asked.
fn unwritten(error: &HubError) -> StoreError {
    let doubtful = matches!(error, HubError::Unavailable(_));
    StoreError::Unavailable { reason: error.to_string(), doubtful }
}

#[async_trait]
impl CredentialStore for KubeSecrets {
    async fn load(&self) -> Result<Vec<Found>, StoreError> {
        let secrets = self.list().await.map_err(|error| unread(&error))?;
        self.loaded.clear();
        let clusters = self.store.fetch(None).await?;
        let clusters: HashMap<ClusterId, _> =
            clusters.into_iter().map(|enrolled| (enrolled.cluster.id, enrolled.cluster)).collect();
        let mut found = Vec::new();
        for secret in secrets {
            let Some(cluster) = shape::cluster_id(&secret).and_then(|id| clusters.get(&id)) else { continue };
            self.loaded.insert(cluster.id, secret.resource_version().unwrap_or_default());
            let kept = shape::read(&secret, cluster);
            if kept.is_none() {
                tracing::error!(id = %cluster.id, "the Secret of a cluster holds nothing that can be used");
            }
            if !is_empty(&kept) {
                found.push((cluster.id, kept));
            }
        }
        Ok(found)
    }

    /// The Secret is written first, then what tells of it. A Secret that was written and not told of is noticed by the watch, or
    /// at the next start.
    async fn write(
        &self,
        id: ClusterId,
        change: &Change,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        let known = self.store.fetch(Some(&[id])).await?;
        let cluster = known.into_iter().next().ok_or(StoreError::NotFound)?.cluster;
        self.note_told(id, Some(String::new()));
        let secret = self.change_told(&cluster, change, events, audit).await?;
        let version = secret.as_ref().and_then(Secret::resource_version);
        let kept = secret.map_or(Some(Credential::default()), |secret| shape::read(&secret, &cluster));
        let remembered = self.remembered(id, version.as_deref(), kept.as_ref());
        let told = self.store.settle_secret(id, remembered.as_deref(), events, audit).await;
        told.map_err(|error| match error {
            StoreError::Unavailable { reason, .. } => StoreError::Unavailable { reason, doubtful: true },
            other => other,
        })?;
        self.note_told(id, version);
        Ok(())
    }

    async fn unbind(&self, cluster: &Cluster, kinds: &[Endpoint]) -> Result<(), StoreError> {
        let change = Change { put: Vec::new(), gone: kinds.to_vec() };
        self.change(cluster, &change).await.map(drop).map_err(|error| unread(&error))
    }

    async fn forget(&self, id: ClusterId) -> Result<(), StoreError> {
        self.told.remove(&id);
        let gone = self.api.delete(&shape::name(id), &DeleteParams::default()).await;
        absent(gone.map(drop)).map_err(|error| unread(&error))
    }
}
