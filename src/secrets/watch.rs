//! What others do to the Secrets, as the hub tells it.

use std::collections::HashSet;

use fleetbeat_actors::roll::{Cluster, ClusterId};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{
    WatchStreamExt,
    watcher::{self, Event, watcher},
};

use super::{KubeSecrets, PAGE, is_empty, shape};
use crate::credentials::Credential;

/// Something that the watch saw.
#[derive(Clone)]
pub enum Noticed {
    /// A cluster's Secret is like this now.
    Is(ClusterId, Box<Secret>),
    /// A cluster's Secret is gone.
    Gone(ClusterId),
    /// These clusters have a Secret, and no others.
    Only(HashSet<ClusterId>),
}

impl Noticed {
    /// What a Secret that was seen says about `cluster`: nothing, something, or something that cannot be used.
    pub fn kept(secret: &Secret, cluster: &Cluster) -> Option<Option<Credential>> {
        Some(shape::read(secret, cluster)).filter(|kept| !is_empty(kept))
    }
}

impl KubeSecrets {
    /// Everything that happens to the Secrets from now on, beginning with how they are. Never ends; a hub that is away is
    /// asked again, less and less often.
    pub fn watch(&self) -> impl Stream<Item = Noticed> + use<> {
        let config = watcher::Config::default().labels(shape::SELECTOR).page_size(PAGE);
        let mut listed = HashSet::new();
        let seen = watcher(self.api.clone(), config).default_backoff();
        seen.filter_map(move |event| {
            let noticed = match event {
                Ok(Event::Init) => {
                    listed.clear();
                    None
                }
                Ok(Event::InitApply(secret)) => shape::cluster_id(&secret).map(|id| {
                    listed.insert(id);
                    Noticed::Is(id, Box::new(secret))
                }),
                Ok(Event::InitDone) => Some(Noticed::Only(std::mem::take(&mut listed))),
                Ok(Event::Apply(secret)) => shape::cluster_id(&secret).map(|id| Noticed::Is(id, Box::new(secret))),
                Ok(Event::Delete(secret)) => shape::cluster_id(&secret).map(Noticed::Gone),
                Err(error) => {
                    tracing::warn!(why = why(&error), "the hub's Secrets cannot be watched; trying again");
                    None
                }
            };
            std::future::ready(noticed)
        })
    }
}

/// Where the watch broke. What the hub said is not shown: it could be a Secret.
fn why(error: &watcher::Error) -> &'static str {
    match error {
        watcher::Error::InitialListFailed(_) => "they cannot be listed",
        watcher::Error::WatchStartFailed(_) => "the watch does not begin",
        watcher::Error::WatchError(_) => "the hub ended the watch",
        watcher::Error::WatchFailed(_) => "the watch broke off",
        watcher::Error::NoResourceVersion => "the hub does not say which version it showed",
    }
}
