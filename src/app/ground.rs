//! What everything stands on: time, the database, Redis, and the way to the clusters with their credentials.

use std::{net::SocketAddr, sync::Arc};

use fleetbeat_actors::ports::Clock;

use super::{credentials, edge, parts};
use crate::{
    breaker::Breakers,
    bus::RedisBus,
    clock::SystemClock,
    config::Settings,
    credentials::{InMemoryCredentials, Vault},
    probes::HttpProber,
    secrets::KubeSecrets,
    store::Store,
};

pub(super) struct Ground {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) breakers: Breakers,
    pub(super) store: Arc<dyn Store>,
    pub(super) bus: Option<Arc<RedisBus>>,
    pub(super) prober: HttpProber,
    pub(super) vault: Arc<Vault>,
    /// Where credentials are kept, if that is the hub.
    pub(super) secrets: Option<Arc<KubeSecrets>>,
}

impl Ground {
    /// Opens it as the settings say. Waits a while for a database that is not there yet; asks nothing of clusters, and never of
    /// our own listeners.
    ///
    /// # Errors
    /// When the store cannot be opened, or something that the settings name cannot be used.
    pub(super) async fn lay(settings: &Settings, own_listeners: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let breakers = edge::breakers(settings, &clock);
        let store = parts::await_store(settings, &breakers).await?;
        let bus = parts::start_bus(settings)?.map(|bus| Arc::new(bus.behind(Arc::clone(&breakers.redis))));
        let memory = Arc::new(InMemoryCredentials::loading());
        let prober = parts::prober(settings, own_listeners, &memory)?;
        let (vault, secrets) = credentials::vault(settings, &clock, &breakers, &store, memory, &prober).await?;
        Ok(Self { clock, breakers, store, bus, prober, vault, secrets })
    }
}
