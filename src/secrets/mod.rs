//! Credentials kept in Secrets of the hub, one for each cluster, in a shape that people and other programs can read and write:
//! whoever may change such a Secret may change the credentials.

mod shape;
mod watch;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use fleetbeat_actors::{
    event::Event,
    health::Endpoint,
    ports::StoreError,
    roll::{Cluster, ClusterId},
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};

use crate::{
    credentials::{Change, Credential, CredentialStore, Found},
    hub::{Hub, HubError},
    store::{AuditEntry, Store},
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
}

impl KubeSecrets {
    /// The Secrets of `namespace`, for the clusters of `store`.
    pub fn new(hub: &Hub, namespace: &str, store: Arc<dyn Store>) -> Self {
        Self { api: Api::namespaced(hub.client(), namespace), store }
    }

    /// Does the hub answer, and let us read?
    ///
    /// # Errors
    /// Why not.
    pub async fn ping(&self) -> Result<(), HubError> {
        self.api.list_metadata(&ListParams::default().labels(shape::SELECTOR).limit(1)).await?;
        Ok(())
    }

    /// What is kept for a cluster now: nothing, something, or (`Some(None)`) something that cannot be used.
    ///
    /// # Errors
    /// When the hub does not say.
    pub async fn fetch(&self, cluster: &Cluster) -> Result<Option<Option<Credential>>, HubError> {
        let secret = self.api.get_opt(&shape::name(cluster.id)).await?;
        Ok(secret.map(|secret| shape::read(&secret, cluster)).filter(|kept| !is_empty(kept)))
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
    async fn change(&self, cluster: &Cluster, change: &Change) -> Result<(), HubError> {
        for _ in 0..TRIES {
            match self.try_change(cluster, change).await {
                Err(HubError::Conflict) => {}
                done => return done,
            }
        }
        Err(HubError::Conflict)
    }

    async fn try_change(&self, cluster: &Cluster, change: &Change) -> Result<(), HubError> {
        let name = shape::name(cluster.id);
        match self.api.get_opt(&name).await? {
            None if change.put.is_empty() => {}
            None => {
                let fresh = shape::changed(shape::empty(cluster.id), cluster, change);
                self.api.create(&PostParams::default(), &fresh).await?;
            }
            Some(before) => {
                let version = before.metadata.resource_version.clone();
                let after = shape::changed(before, cluster, change);
                if shape::is_bare(&after) {
                    let seen = Preconditions { resource_version: version, uid: None };
                    let gone = self.api.delete(&name, &DeleteParams::default().preconditions(seen)).await;
                    absent(gone.map(drop))?;
                } else {
                    self.api.replace(&name, &PostParams::default(), &after).await?;
                }
            }
        }
        Ok(())
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
        let clusters = self.store.fetch(None).await?;
        let clusters: HashMap<ClusterId, _> =
            clusters.into_iter().map(|enrolled| (enrolled.cluster.id, enrolled.cluster)).collect();
        let mut found = Vec::new();
        for secret in secrets {
            let Some(cluster) = shape::cluster_id(&secret).and_then(|id| clusters.get(&id)) else { continue };
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

    /// The Secret is written first, then what tells of it: a Secret that was written and not told of is noticed by the watch.
    async fn write(
        &self,
        id: ClusterId,
        change: &Change,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        let known = self.store.fetch(Some(&[id])).await?;
        let cluster = known.into_iter().next().ok_or(StoreError::NotFound)?.cluster;
        self.change(&cluster, change).await.map_err(|error| unwritten(&error))?;
        let told = async {
            self.store.append(events, &[]).await?;
            self.store.append_audit(audit).await
        };
        told.await.map_err(|error| match error {
            StoreError::Unavailable { reason, .. } => StoreError::Unavailable { reason, doubtful: true },
            other => other,
        })
    }

    async fn unbind(&self, cluster: &Cluster, kinds: &[Endpoint]) -> Result<(), StoreError> {
        let change = Change { put: Vec::new(), gone: kinds.to_vec() };
        self.change(cluster, &change).await.map_err(|error| unread(&error))
    }

    async fn forget(&self, id: ClusterId) -> Result<(), StoreError> {
        let gone = self.api.delete(&shape::name(id), &DeleteParams::default()).await;
        absent(gone.map(drop)).map_err(|error| unread(&error))
    }
}
