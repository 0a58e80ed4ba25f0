//! From settings to parts.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    Canaries,
    doubt::DoubtRules,
    engine::EngineParts,
    ports::{Clock, Marker, Publisher},
    recorder::RecorderRules,
    target::{Cadence, Policy},
};
use tokio::time::Instant;

use super::canaries::TcpCanaries;
use crate::{
    api::{StatusPage, StreamingRules},
    audit::JournalRules,
    breaker::Breakers,
    bus::{BusOptions, PATIENCE, RedisBus},
    config::{Database, Settings, Timing, set_path},
    credentials::InMemoryCredentials,
    discovery::{Budget, Habits, Manner},
    probes::{AddressPolicy, HttpProber, ProbeOptions, Trust, descriptors_for_probes, raise_descriptor_limit},
    store::{self, OpenError, Place, Store, StoreOptions},
};

/// How often, and for how long, a database that is not there yet is tried at the start.
const OPEN_PAUSE: Duration = Duration::from_secs(1);
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// Questions of one discovery, at most.
const MAX_QUESTIONS: u32 = 400;

pub(super) fn store_options(settings: &Settings) -> StoreOptions {
    let place = match settings.database() {
        Database::Sqlite(path) => Place::File(path),
        Database::Postgres(url) => Place::Server(url.expose().into()),
    };
    StoreOptions {
        max_connections: settings.store.max_connections,
        acquire_timeout: settings.store.acquire_timeout,
        statement_timeout: settings.store.statement_timeout,
        call_timeout: settings.store.call_timeout,
        ..StoreOptions::new(place)
    }
}

/// Opens the store that the settings name, or says why not.
///
/// # Errors
/// Also while another process has it open.
pub async fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, OpenError> {
    store::open(&store_options(settings)).await
}

/// Opens the store that the settings name. Waits a while for a database that is not there yet.
pub(super) async fn await_store(settings: &Settings, breakers: &Breakers) -> anyhow::Result<Arc<dyn Store>> {
    let options = StoreOptions { breaker: Some(Arc::clone(&breakers.database)), ..store_options(settings) };
    let give_up = Instant::now() + OPEN_WITHIN;
    loop {
        match store::open(&options).await {
            Ok(store) => return Ok(store),
            Err(error) if Instant::now() < give_up && may_pass(&error, &options.place) => {
                tracing::warn!(%error, "the database cannot be used yet");
                tokio::time::sleep(OPEN_PAUSE).await;
            }
            Err(error) => return Err(error).context("the store could not be opened"),
        }
    }
}

/// Is it worth another try? Another process on a server may be stopping: then this one takes over.
fn may_pass(error: &OpenError, place: &Place) -> bool {
    match error {
        OpenError::Unavailable(_) => true,
        OpenError::InUse { .. } => matches!(place, Place::Server(_)),
        OpenError::Url(_) | OpenError::Newer { .. } | OpenError::Migration(_) | OpenError::File { .. } => false,
    }
}

pub(super) fn journal_rules(settings: &Settings) -> JournalRules {
    JournalRules { refusals_per_second: settings.audit.refusals_per_second, ..JournalRules::default() }
}

pub(super) fn streaming_rules(settings: &Settings) -> StreamingRules {
    let set = &settings.streaming;
    StreamingRules {
        allowed_origins: set.allowed_origins.clone(),
        max_listeners: set.max_listeners as usize,
        max_listeners_per_caller: set.max_listeners_per_caller as usize,
    }
}

/// The page for everybody, where one is wanted.
pub(super) fn status_page(settings: &Settings) -> anyhow::Result<Option<StatusPage>> {
    let set = &settings.status_page;
    if !set.enabled {
        return Ok(None);
    }
    let selector = set.label_selector.parse().map_err(anyhow::Error::msg).context("status_page.label_selector")?;
    Ok(Some(StatusPage::new(set.title.clone(), selector)))
}

/// The settings that are to blame when Redis cannot be prepared for.
pub(super) fn redis_key(settings: &Settings) -> &'static str {
    if set_path(&settings.redis_ca_file).is_some() { "redis_url, redis_ca_file" } else { "redis_url" }
}

/// The bus, where Redis is set.
pub(super) fn start_bus(settings: &Settings) -> anyhow::Result<Option<RedisBus>> {
    if settings.redis_url.is_empty() {
        return Ok(None);
    }
    let options = BusOptions {
        url: settings.redis_url.expose().into(),
        channel_prefix: settings.events.channel_prefix.clone(),
        stream: settings.events.stream.clone(),
        stream_max_length: settings.events.stream_max_length,
        ca_file: set_path(&settings.redis_ca_file).map(Path::to_owned),
        patience: PATIENCE,
    };
    Ok(Some(RedisBus::start(&options).context(redis_key(settings))?))
}

pub(super) fn prober(
    settings: &Settings,
    own_listeners: Vec<SocketAddr>,
    memory: &Arc<InMemoryCredentials>,
) -> anyhow::Result<HttpProber> {
    let set = &settings.probes;
    let options = ProbeOptions {
        descriptors: descriptors_for_probes(raise_descriptor_limit(), settings.promised_descriptors()),
        max_in_flight: set.max_in_flight,
        max_handshakes: set.max_handshakes,
        dns_timeout: set.resolve_timeout,
        header_bytes: set.max_header_bytes,
        body_bytes: set.max_body_bytes,
        keepalive_idle: set.keepalive_idle,
        keepalive_interval: set.keepalive_interval,
        keepalive_probes: set.keepalive_probes,
        ..ProbeOptions::default()
    };
    let policy = address_policy(settings, own_listeners);
    let trust = Trust::load(set_path(&set.ca_file)).context("probes.ca_file")?;
    Ok(HttpProber::new(options, trust, policy, Arc::clone(memory) as _))
}

/// Which addresses may be probed.
pub(super) fn address_policy(settings: &Settings, own_listeners: Vec<SocketAddr>) -> AddressPolicy {
    AddressPolicy {
        allow_loopback: settings.loopback_probes_allowed(),
        allow_private: settings.probes.allow_private,
        allow: settings.probes.allow_cidrs.clone(),
        deny: settings.probes.deny_cidrs.clone(),
        own_listeners,
    }
}

/// The inquirer of discovery: it trusts and dials as the prober does, with permits and limits of its own.
pub(super) fn inquirer(settings: &Settings, prober: &HttpProber) -> Arc<HttpProber> {
    let (set, limits) = (&settings.discovery, &settings.probes);
    Arc::new(prober.apart(ProbeOptions {
        max_in_flight: set.max_in_flight,
        max_handshakes: set.max_in_flight,
        max_lookups: set.max_in_flight,
        descriptors: 2 * set.max_in_flight,
        dns_timeout: limits.resolve_timeout,
        header_bytes: limits.max_header_bytes,
        body_bytes: set.max_answer_bytes,
        ..ProbeOptions::default()
    }))
}

/// How discovery is done.
pub(super) fn manner(settings: &Settings, since: DateTime<Utc>) -> Manner {
    let set = &settings.discovery;
    let habits = Habits {
        on_registration: set.on_registration,
        period: TimeDelta::hours(i64::from(set.periodic_refresh_hours)),
        since,
    };
    Manner {
        habits,
        at_once: set.max_in_flight,
        deadline: set.question_timeout,
        budget: Budget { time: set.timeout, bytes: set.max_total_bytes, questions: MAX_QUESTIONS },
    }
}

pub(super) fn policy(settings: &Settings) -> Policy {
    let set = &settings.health_check;
    Policy {
        hub: cadence(set.hub()),
        spoke: cadence(set.spoke()),
        edge: cadence(set.edge()),
        far_edge: cadence(set.far_edge()),
        flap_changes: set.flap_changes as usize,
        flap_window: set.flap_window,
    }
}

fn cadence(timing: Timing) -> Cadence {
    let threshold = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    Cadence {
        period: timing.interval,
        deadline: timing.deadline.min(timing.interval),
        failure_threshold: threshold(timing.failure_threshold),
        success_threshold: threshold(timing.success_threshold),
        recheck_delay: timing.recheck_delay,
    }
}

pub(super) fn engine(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    prober: &HttpProber,
    store: &Arc<dyn Store>,
    publisher: Option<Arc<dyn Publisher>>,
    marker: Arc<dyn Marker>,
) -> EngineParts {
    let canaries = (!settings.monitor.canaries.is_empty())
        .then(|| Arc::new(TcpCanaries::new(&settings.monitor.canaries)) as Arc<dyn Canaries>);
    EngineParts {
        policy: policy(settings),
        doubt: DoubtRules {
            hold_ratio: settings.monitor.hold_ratio,
            hold_min_clusters: settings.monitor.hold_min_clusters,
            ..DoubtRules::default()
        },
        recorder: RecorderRules {
            flush_interval: settings.recorder.flush_interval,
            idle_flush: settings.recorder.idle_flush,
            ..RecorderRules::default()
        },
        reconcile_every: settings.registry.reconcile,
        enabled: settings.health_check.enabled,
        clock: Arc::clone(clock),
        prober: Arc::new(prober.clone()),
        roll: Arc::clone(store) as _,
        ledger: Arc::clone(store) as _,
        log: Arc::clone(store) as _,
        publisher,
        canaries,
        marker: Some(marker),
    }
}
