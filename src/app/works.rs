//! What works: the engine, and everything beside it that reads and writes, with the tasks that keep it going.

use std::sync::Arc;

use anyhow::Context;
use fleetbeat_actors::{engine::Engine, ports::Publisher};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{sync::watch, task::JoinSet};

use super::{
    credentials, dependencies, edge,
    ground::Ground,
    identity, janitor, numbers,
    observing::{self, MarkerFile, Raising},
    parts, refused, webhooks,
};
use crate::{
    api::{ApiParts, Vitals},
    audit::Journal,
    config::Settings,
    credentials::Foresight,
    discovery::Discoverer,
    identity::Identity,
    registration::Registration,
    renewal::{Renewals, Schedule},
    silences::Silences,
    store::Gap,
    web,
    webhooks::Webhooks,
};

pub(super) struct Works {
    pub(super) engine: Arc<Engine>,
    pub(super) journal: Arc<Journal>,
    pub(super) webhooks: Arc<Webhooks>,
    pub(super) marker: Arc<MarkerFile>,
    /// The time before this run in which nobody observed.
    gap: Option<Gap>,
    registration: Arc<Registration>,
    identity: Identity,
    silences: Arc<Silences>,
    foresight: Arc<Foresight>,
    discoverer: Arc<Discoverer>,
    renewals: Renewals,
    vitals: Arc<Vitals>,
}

impl Works {
    /// Loads the fleet and begins to watch it.
    ///
    /// # Errors
    /// When the store does not answer, or something that the settings name cannot be used.
    pub(super) async fn begin(settings: &Settings, ground: &Ground) -> anyhow::Result<Self> {
        let Ground { clock, breakers, store, bus, prober, vault, secrets } = ground;
        let gap = observing::last_gap(&**store, &**clock).await?;
        let marker = Arc::new(MarkerFile::at(settings.data_dir.join("unsaved")));
        let engine = engine(settings, ground, &marker).await?;
        let registration = registration(settings, ground, &engine);
        let identity = identity::identity(settings, store, clock, breakers).await?;
        let keep = chrono::TimeDelta::days(i64::from(settings.history.transitions_retention_days));
        let silences = Silences::load(Arc::clone(store), Arc::clone(clock), keep).await;
        let silences = Arc::new(silences.context("the silences could not be loaded")?);
        let foresight = Arc::new(Foresight::new(Arc::clone(vault), settings.credentials.rotation_warning_days));
        let journal = Arc::new(Journal::new(Arc::clone(store), Arc::clone(clock), parts::journal_rules(settings)));
        let inquirer = parts::inquirer(settings, prober);
        let discoverer = Arc::new(Discoverer::new(
            Arc::clone(engine.board()),
            Arc::clone(vault),
            Arc::clone(&registration),
            Arc::clone(&inquirer) as _,
            Arc::clone(clock),
            parts::manner(settings, clock.wall()),
        ));
        let renewals = Renewals::new(
            Arc::clone(engine.board()),
            Arc::clone(&foresight),
            Arc::clone(&registration),
            inquirer,
            Arc::clone(clock),
            Schedule { at_percent: settings.credentials.renew_at_percent },
        );
        let webhooks = webhooks::webhooks(settings, store, clock, &engine, prober, silences.calendar()).await?;
        let vitals = dependencies::vitals(clock, store, bus.as_ref(), secrets.as_ref(), &engine, breakers.clone());
        Ok(Self {
            engine,
            journal,
            webhooks,
            marker,
            gap,
            registration,
            identity,
            silences,
            foresight,
            discoverer,
            renewals,
            vitals,
        })
    }

    /// What the API is made of.
    ///
    /// # Errors
    /// When something that the settings name cannot be used.
    pub(super) fn api_parts(
        &self,
        settings: &Settings,
        ground: &Ground,
        metrics: &PrometheusHandle,
        stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<ApiParts> {
        Ok(ApiParts {
            board: Arc::clone(self.engine.board()),
            outbox: Arc::clone(self.engine.outbox()),
            store: Arc::clone(&ground.store),
            registration: Arc::clone(&self.registration),
            engine: Arc::clone(&self.engine) as _,
            silences: Arc::clone(&self.silences),
            foresight: Arc::clone(&self.foresight),
            discoverer: Arc::clone(&self.discoverer),
            clock: Arc::clone(&ground.clock),
            identity: self.identity.clone(),
            webhooks: Arc::clone(&self.webhooks),
            journal: Arc::clone(&self.journal),
            streaming: parts::streaming_rules(settings),
            limiter: edge::limiter(settings, &ground.clock, &ground.breakers)?,
            gate: edge::gate(settings),
            pages: web::router(settings.status_page.enabled),
            vitals: Arc::clone(&self.vitals),
            status_page: parts::status_page(settings)?,
            metrics: Some(metrics.clone()),
            stopping,
        })
    }

    /// Begins what goes on beside the engine, for as long as these tasks live.
    pub(super) fn keep_going(
        self,
        settings: &Settings,
        ground: Ground,
        metrics: PrometheusHandle,
        tasks: &mut JoinSet<()>,
    ) {
        let Ground { clock, store, bus, prober, vault, secrets, breakers: _ } = ground;
        let Self { engine, journal, webhooks, marker, gap, registration, identity, silences, foresight, .. } = self;
        tasks.spawn(async move { journal.write().await });
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
        let (history, audit) = (settings.history.clone(), settings.audit.clone());
        tasks.spawn(janitor::sweep(Arc::clone(&store), Arc::clone(&clock), history, audit, bus.is_some()));
        tasks.spawn(self.discoverer.run(Arc::clone(&store)));
        tasks.spawn(self.renewals.run());
        tasks.spawn(webhooks.run());
        tasks.spawn(async move { silences.keep().await });
        tasks.spawn(async move { identity.keep_fresh().await });
        tasks.spawn(numbers::keep(metrics, prober));
        tasks.spawn(numbers::feel_pulses(self.vitals));
        tasks.spawn(observing::observe(observing::Witness { store, engine, clock, marker, gap }));
    }
}

async fn engine(settings: &Settings, ground: &Ground, marker: &Arc<MarkerFile>) -> anyhow::Result<Arc<Engine>> {
    let publisher = ground.bus.as_ref().map(|bus| Arc::clone(bus) as Arc<dyn Publisher>);
    let raising = Arc::new(Raising(Arc::clone(marker)));
    let parts = parts::engine(settings, &ground.clock, &ground.prober, &ground.store, publisher, raising);
    Ok(Arc::new(Engine::start(parts).await.context("the fleet could not be loaded")?))
}

fn registration(settings: &Settings, ground: &Ground, engine: &Arc<Engine>) -> Arc<Registration> {
    Arc::new(Registration::new(
        Arc::clone(engine.board()),
        Arc::clone(engine.outbox()),
        Arc::clone(&ground.store),
        Arc::clone(engine) as _,
        Arc::clone(&ground.clock),
        parts::policy(settings),
        Arc::clone(&ground.vault),
    ))
}
