//! The edge of the process as the settings say: limits, the gate, circuit breakers.

use std::sync::Arc;

use anyhow::Context;
use fleetbeat_actors::ports::Clock;

use super::parts::redis_key;
use crate::{
    api::{Bounds, GateRules},
    breaker::{BreakerRules, Breakers},
    config::{Settings, set_path},
    limits::{Limiter, Rate, Rates, Shared},
};

pub(super) fn breakers(settings: &Settings, clock: &Arc<dyn Clock>) -> Breakers {
    let set = &settings.circuit_breaker;
    let rules = BreakerRules {
        failure_threshold: set.failure_threshold,
        recovery_timeout: set.recovery_timeout,
        half_open_requests: set.half_open_requests,
    };
    Breakers::new(clock, rules)
}

pub(super) fn limiter(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    breakers: &Breakers,
) -> anyhow::Result<Arc<Limiter>> {
    let set = &settings.limits;
    let rate = |per_second: u32, burst: u32| Rate { per_second: per_second.into(), burst: burst.into() };
    let rates = Rates {
        known: rate(set.requests_per_second, set.burst),
        unknown: rate(set.anonymous_requests_per_second, set.anonymous_burst),
    };
    let is_shared = set.shared && !settings.redis_url.is_empty() && settings.auth.is_on();
    let shared = is_shared.then(|| {
        let (url, ca_file) = (settings.redis_url.expose().into(), set_path(&settings.redis_ca_file));
        Shared::start(&url, ca_file, set.redis_database, Arc::clone(&breakers.limits))
    });
    let shared = shared.transpose().context(redis_key(settings))?.map(Arc::new);
    Ok(Arc::new(Limiter::new(Arc::clone(clock), rates, shared)))
}

pub(super) fn gate(settings: &Settings) -> GateRules {
    let (server, limits) = (&settings.server, &settings.limits);
    GateRules {
        open: !settings.auth.is_on(),
        allowed_hosts: server.allowed_hosts.clone(),
        allowed_origins: server.cors_allowed_origins.clone(),
        max_url_bytes: limits.max_url_bytes,
        bounds: Bounds { body: server.max_body_bytes, time: server.request_timeout, depth: limits.max_json_depth },
    }
}
