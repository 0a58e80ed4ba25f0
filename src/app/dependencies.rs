//! The dependencies as `/ready` and `/health/detailed` see them.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{engine::Engine, ports::Clock};
use serde_json::{Map, json};

use crate::{
    api::{Dependency, Facts, Vitals},
    breaker::Breakers,
    bus::RedisBus,
    secrets::KubeSecrets,
    store::Store,
};

struct Database(Arc<dyn Store>);

#[async_trait]
impl Dependency for Database {
    fn name(&self) -> &'static str {
        self.0.backend()
    }

    fn required(&self) -> bool {
        true
    }

    async fn ping(&self) -> Result<(), String> {
        self.0.ping().await.map_err(|error| error.to_string())
    }
}

struct Redis(std::sync::Weak<RedisBus>);

#[async_trait]
impl Dependency for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn required(&self) -> bool {
        false
    }

    async fn ping(&self) -> Result<(), String> {
        let health = self.0.upgrade().map(|bus| bus.health()).unwrap_or_default();
        match (health.connected, health.refusal) {
            (true, None) => Ok(()),
            (true, Some(refusal)) => Err(format!("it does not take events: {refusal}")),
            (false, _) => Err(health.last_error.unwrap_or_else(|| "not connected".to_owned())),
        }
    }
}

struct HubSecrets(Arc<KubeSecrets>);

#[async_trait]
impl Dependency for HubSecrets {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    /// Checks go on with what is known; only changes of credentials wait.
    fn required(&self) -> bool {
        false
    }

    async fn ping(&self) -> Result<(), String> {
        self.0.ping().await.map_err(|error| error.to_string())
    }
}

pub(super) fn vitals(
    clock: &Arc<dyn Clock>,
    store: &Arc<dyn Store>,
    bus: Option<&Arc<RedisBus>>,
    secrets: Option<&Arc<KubeSecrets>>,
    engine: &Arc<Engine>,
    breakers: Breakers,
) -> Arc<Vitals> {
    let mut dependencies: Vec<Arc<dyn Dependency>> = vec![Arc::new(Database(Arc::clone(store)))];
    if let Some(bus) = bus {
        dependencies.push(Arc::new(Redis(Arc::downgrade(bus))));
    }
    if let Some(secrets) = secrets {
        dependencies.push(Arc::new(HubSecrets(Arc::clone(secrets))));
    }
    let vitals = Vitals::new(Arc::clone(clock), dependencies, Some(facts(engine)));
    let vitals = Arc::new(vitals.with_breakers(breakers));
    vitals.set_loaded();
    vitals
}

fn facts(engine: &Arc<Engine>) -> Facts {
    let engine = Arc::downgrade(engine);
    Arc::new(move || {
        let mut facts = Map::new();
        if let Some(engine) = engine.upgrade() {
            facts.insert("clusters".to_owned(), json!(engine.board().len()));
            facts.insert("events_unsaved".to_owned(), json!(engine.outbox().unsaved()));
            facts.insert("states_held".to_owned(), json!(engine.is_holding()));
        }
        facts
    })
}
