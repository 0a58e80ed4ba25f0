//! The application: puts store, bus, prober, engine and API together as the settings say, runs them, and ends them in order.

mod canaries;
mod credentials;
mod dependencies;
mod edge;
mod front;
mod ground;
mod hub;
mod identity;
mod internal;
mod janitor;
mod listening;
pub mod look;
mod numbers;
mod observing;
mod parts;
mod refused;
mod webhooks;
mod works;

pub use credentials::sealed_credentials;
pub use hub::needed_by as hub_needed_by;

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use fleetbeat_actors::engine::Engine;
use tokio::{sync::watch, task::JoinSet};

use crate::{api, audit::Journal, bus::RedisBus, config::Settings, store::Store, webhooks::Webhooks};

use self::{front::Front, ground::Ground, listening::Listening, observing::MarkerFile, works::Works};
pub use parts::open_store;

/// How long writing and publishing what is left may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// The running application.
pub struct App {
    address: Option<SocketAddr>,
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    bus: Option<Arc<RedisBus>>,
    journal: Arc<Journal>,
    webhooks: Arc<Webhooks>,
    marker: Arc<MarkerFile>,
    stopping: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
    tasks: JoinSet<()>,
    /// Dropped last: connections of the store and of others may have been made there.
    _front: Front,
}

impl App {
    /// Opens everything, loads the fleet and begins to serve. Waits a while for a database that is not there yet.
    ///
    /// # Errors
    /// When the address cannot be bound, the store cannot be opened, or a file that the settings name cannot be read.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let data_dir = settings.data_dir.as_path();
        std::fs::create_dir_all(data_dir).with_context(|| format!("data_dir: cannot make {}", data_dir.display()))?;
        let front = Front::open()?;
        let listening = Listening::open(settings).await?;
        let bound = listening.address();
        let metrics = numbers::install()?;
        let ground = Ground::lay(settings, listening.addresses()).await?;
        let works = Works::begin(settings, &ground).await?;
        let (stopping, stopped) = watch::channel(false);
        let parts = works.api_parts(settings, &ground, &metrics, stopped.clone())?;
        let internal = internal::router(settings, &parts, &ground.breakers).await?;
        let mut tasks = JoinSet::new();
        let server = front.handle.spawn(listening.serve(settings, api::routers(parts), internal, stopped, &mut tasks));
        let (engine, store, bus) = (Arc::clone(&works.engine), Arc::clone(&ground.store), ground.bus.clone());
        let (journal, webhooks) = (Arc::clone(&works.journal), Arc::clone(&works.webhooks));
        let marker = Arc::clone(&works.marker);
        works.keep_going(settings, ground, metrics, &mut tasks);
        let listen = String::from(settings.server.listen.clone());
        let address = bound.map_or(listen, |address| address.to_string());
        tracing::info!(address, store = store.backend(), clusters = engine.board().len(), "fleetbeat is ready");
        Ok(Self {
            address: bound,
            engine,
            store,
            bus,
            journal,
            webhooks,
            marker,
            stopping,
            server,
            tasks,
            _front: front,
        })
    }

    /// The TCP address at which the API is served, where there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Ends in order: accepts no more requests, lets checks in flight end, writes and publishes what is left, closes.
    pub async fn stop(mut self) {
        tracing::info!("stopping");
        self.stopping.send_replace(true);
        let (_, complete) = tokio::join!(self.server, self.engine.stop(FAREWELL));
        self.tasks.shutdown().await;
        if !matches!(tokio::time::timeout(FAREWELL, self.journal.flush()).await, Ok(Ok(()))) {
            tracing::warn!("refused requests that were not in the audit log yet are lost");
        }
        if !matches!(tokio::time::timeout(FAREWELL, self.webhooks.flush()).await, Ok(Ok(()))) {
            tracing::warn!("how far webhooks are could not be stored; they may be told some events again");
        }
        if let Some(bus) = self.bus.take().and_then(Arc::into_inner) {
            bus.close().await;
        }
        self.store.close().await;
        if complete {
            self.marker.lower(self.marker.raised());
            tracing::info!("stopped; nothing was left behind");
        } else {
            tracing::warn!(
                "stopped; what could not be written or published before the store or the bus came back is left"
            );
        }
    }
}

/// Runs the application until `shutdown` completes.
///
/// # Errors
/// As for [`App::start`].
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown);
    let app = tokio::select! {
        app = App::start(&settings) => app?,
        () = &mut shutdown => {
            tracing::info!("told to end before the start was over");
            return Ok(());
        }
    };
    shutdown.await;
    app.stop().await;
    Ok(())
}
