//! Webhooks as the settings say.

use std::sync::Arc;

use anyhow::Context;
use chrono::TimeDelta;
use fleetbeat_actors::{engine::Engine, ports::Clock};

use super::credentials::key_source;
use crate::{
    config::Settings,
    credentials::Sealer,
    probes::{HttpCourier, HttpProber, ProbeOptions},
    silences::Calendar,
    store::Store,
    webhooks::{BY_HAND, Parts, Patience, Rules, Webhooks},
};

/// Largest answer that is read, bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The webhooks that the store has. They are told nothing before they run.
pub(super) async fn webhooks(
    settings: &Settings,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    engine: &Engine,
    prober: &HttpProber,
    calendar: &Arc<Calendar>,
) -> anyhow::Result<Arc<Webhooks>> {
    let set = &settings.webhooks;
    let at_once = set.max_webhooks + BY_HAND;
    let options = ProbeOptions {
        max_in_flight: at_once,
        max_handshakes: at_once,
        max_lookups: at_once,
        dns_timeout: settings.probes.resolve_timeout,
        header_bytes: settings.probes.max_header_bytes,
        body_bytes: MAX_ANSWER,
        ..ProbeOptions::default()
    };
    let patience = Patience {
        max_attempts: set.max_attempts,
        initial_backoff: set.initial_backoff,
        max_backoff: set.max_backoff,
        max_age: TimeDelta::hours(i64::from(set.max_age_hours)),
    };
    let rules = Rules {
        max_webhooks: set.max_webhooks,
        allow_http: set.allow_http,
        patience,
        max_dead_letters: set.max_dead_letters,
    };
    let parts = Parts {
        store: Arc::clone(store),
        outbox: Arc::clone(engine.outbox()),
        board: Arc::clone(engine.board()),
        calendar: Arc::clone(calendar),
        courier: Arc::new(HttpCourier::beside(prober, options, set.timeout)),
        sealer: Sealer::new(key_source(settings)),
        clock: Arc::clone(clock),
        rules,
    };
    Ok(Arc::new(Webhooks::load(parts).await.context("the webhooks could not be read")?))
}
