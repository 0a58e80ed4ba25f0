//! The internal endpoint as the settings say.

use std::sync::Arc;

use axum::Router;

use crate::{
    api::{ApiParts, GateRules, InternalParts, internal_router},
    breaker::Breakers,
    config::Settings,
    hub::Reviews,
};

/// The router of the internal endpoint, where it is wanted.
///
/// # Errors
/// When there is no hub to review tokens, or how it is reached cannot be read.
pub(super) async fn router(settings: &Settings, api: &ApiParts, breakers: &Breakers) -> anyhow::Result<Option<Router>> {
    let set = &settings.internal;
    if set.listen.0.is_none() {
        return Ok(None);
    }
    let hub = super::hub::needed_by("internal.listen", settings, Some(&breakers.hub)).await?;
    Ok(Some(internal_router(InternalParts {
        board: Arc::clone(&api.board),
        registration: Arc::clone(&api.registration),
        reviews: Reviews::new(Arc::new(hub), Arc::clone(&api.clock)).anew_each_time(),
        audience: set.audience.clone(),
        allowed: set.allowed_service_accounts.clone(),
        clock: Arc::clone(&api.clock),
        journal: Arc::clone(&api.journal),
        limiter: Arc::clone(&api.limiter),
        // Callers are known, and no page in a browser is one of them.
        gate: GateRules { open: false, allowed_hosts: Vec::new(), allowed_origins: Vec::new(), ..api.gate.clone() },
    })))
}
