//! The application: puts store, bus, prober, engine and API together as the settings say, runs them, and ends them in order.

mod canaries;
mod credentials;
mod dependencies;
mod edge;
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

pub use credentials::sealed_credentials;
pub use hub::needed_by as hub_needed_by;

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use fleetbeat_actors::{
    engine::Engine,
    ports::{Clock, Publisher},
};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    api::{self, ApiParts},
    audit::Journal,
    bus::RedisBus,
    clock::SystemClock,
    config::Settings,
    credentials::{Foresight, InMemoryCredentials},
    discovery::Discoverer,
    registration::Registration,
    renewal::{Renewals, Schedule},
    silences::Silences,
    store::Store,
    web,
    webhooks::Webhooks,
};

use self::{
    listening::Listening,
    observing::{MarkerFile, Raising},
};
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
}

impl App {
    /// Opens everything, loads the fleet and begins to serve. Waits a while for a database that is not there yet.
    ///
    /// # Errors
    /// When the address cannot be bound, the store cannot be opened, or a file that the settings name cannot be read.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let data_dir = settings.data_dir.as_path();
        std::fs::create_dir_all(data_dir).with_context(|| format!("data_dir: cannot make {}", data_dir.display()))?;
        let listening = Listening::open(settings).await?;
        let bound = listening.address();
        let metrics = numbers::install()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let breakers = edge::breakers(settings, &clock);
        let store = parts::await_store(settings, &breakers).await?;
        let bus = parts::start_bus(settings)?.map(|bus| Arc::new(bus.behind(Arc::clone(&breakers.redis))));
        let memory = Arc::new(InMemoryCredentials::loading());
        let prober = parts::prober(settings, listening.addresses(), &memory)?;
        let (vault, secrets) = credentials::vault(settings, &clock, &breakers, &store, memory, &prober).await?;
        let gap = observing::last_gap(&*store, &*clock).await?;
        let publisher = bus.as_ref().map(|bus| Arc::clone(bus) as Arc<dyn Publisher>);
        let marker = Arc::new(MarkerFile::at(settings.data_dir.join("unsaved")));
        let raising = Arc::new(Raising(Arc::clone(&marker)));
        let engine = parts::engine(settings, &clock, &prober, &store, publisher, raising);
        let engine = Arc::new(Engine::start(engine).await.context("the fleet could not be loaded")?);
        let registration = Registration::new(
            Arc::clone(engine.board()),
            Arc::clone(engine.outbox()),
            Arc::clone(&store),
            Arc::clone(&engine) as _,
            Arc::clone(&clock),
            parts::policy(settings),
            Arc::clone(&vault),
        );
        let registration = Arc::new(registration);
        let identity = identity::identity(settings, &store, &clock, &breakers).await?;
        let keep = chrono::TimeDelta::days(i64::from(settings.history.transitions_retention_days));
        let silences = Silences::load(Arc::clone(&store), Arc::clone(&clock), keep).await;
        let silences = Arc::new(silences.context("the silences could not be loaded")?);
        let foresight = Arc::new(Foresight::new(Arc::clone(&vault), settings.credentials.rotation_warning_days));
        let journal = Arc::new(Journal::new(Arc::clone(&store), Arc::clone(&clock), parts::journal_rules(settings)));
        let inquirer = parts::inquirer(settings, &prober);
        let discoverer = Arc::new(Discoverer::new(
            Arc::clone(engine.board()),
            Arc::clone(&vault),
            Arc::clone(&registration),
            Arc::clone(&inquirer) as _,
            Arc::clone(&clock),
            parts::manner(settings, clock.wall()),
        ));
        let renewals = Renewals::new(
            Arc::clone(engine.board()),
            Arc::clone(&foresight),
            Arc::clone(&registration),
            inquirer,
            Arc::clone(&clock),
            Schedule { at_percent: settings.credentials.renew_at_percent },
        );
        let webhooks = webhooks::webhooks(settings, &store, &clock, &engine, &prober, silences.calendar()).await?;
        let limiter = edge::limiter(settings, &clock, &breakers)?;
        let vitals = dependencies::vitals(&clock, &store, bus.as_ref(), secrets.as_ref(), &engine, breakers.clone());
        let (stopping, stopped) = watch::channel(false);
        let parts = ApiParts {
            board: Arc::clone(engine.board()),
            outbox: Arc::clone(engine.outbox()),
            store: Arc::clone(&store),
            registration: Arc::clone(&registration),
            engine: Arc::clone(&engine) as _,
            silences: Arc::clone(&silences),
            foresight: Arc::clone(&foresight),
            discoverer: Arc::clone(&discoverer),
            clock: Arc::clone(&clock),
            identity: identity.clone(),
            webhooks: Arc::clone(&webhooks),
            journal: Arc::clone(&journal),
            streaming: parts::streaming_rules(settings),
            limiter,
            gate: edge::gate(settings),
            pages: web::router(settings.status_page.enabled),
            vitals: Arc::clone(&vitals),
            status_page: parts::status_page(settings)?,
            metrics: Some(metrics.clone()),
            stopping: stopped.clone(),
        };
        let internal = internal::router(settings, &parts, &breakers).await?;
        let routers = api::routers(parts);
        let mut tasks = JoinSet::new();
        let server = listening.serve(settings, routers, internal, stopped, &mut tasks);
        let written = Arc::clone(&journal);
        tasks.spawn(async move { written.write().await });
        let unseen = secrets.as_ref().map(|secrets| credentials::Unseen {
            secrets: Arc::clone(secrets),
            registration: Arc::clone(&registration),
            store: Arc::clone(&store),
        });
        if let Some(secrets) = secrets {
            let again = refused::Again::new(Arc::clone(&secrets), &registration, Arc::clone(&clock));
            vault.memory().kept_by(Arc::new(again));
            tasks.spawn(credentials::follow(secrets, Arc::clone(&registration), Arc::clone(&vault)));
        }
        tasks.spawn(credentials::fill(vault, unseen));
        tasks.spawn(credentials::tell_of_ends(registration, foresight));
        tasks.spawn(janitor::sweep(
            Arc::clone(&store),
            Arc::clone(&clock),
            settings.history.clone(),
            settings.audit.clone(),
            bus.is_some(),
        ));
        tasks.spawn(discoverer.run(Arc::clone(&store)));
        tasks.spawn(renewals.run());
        tasks.spawn(Arc::clone(&webhooks).run());
        tasks.spawn(async move { silences.keep().await });
        tasks.spawn(async move { identity.keep_fresh().await });
        tasks.spawn(numbers::keep(metrics, prober));
        tasks.spawn(numbers::feel_pulses(vitals));
        tasks.spawn(observing::observe(observing::Witness {
            store: Arc::clone(&store),
            engine: Arc::clone(&engine),
            clock,
            marker: Arc::clone(&marker),
            gap,
        }));
        let listen = String::from(settings.server.listen.clone());
        let address = bound.map_or(listen, |address| address.to_string());
        tracing::info!(address, store = store.backend(), clusters = engine.board().len(), "fleetbeat is ready");
        Ok(Self { address: bound, engine, store, bus, journal, webhooks, marker, stopping, server, tasks })
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
