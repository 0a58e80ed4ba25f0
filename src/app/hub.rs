//! The hub as the settings say.

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::{
    breaker::Breaker,
    config::Settings,
    hub::{Hub, Limits, Source},
};

/// The hub that `key` needs.
///
/// # Errors
/// When there is none, or how it is reached cannot be read.
pub async fn needed_by(key: &str, settings: &Settings, breaker: Option<&Arc<Breaker>>) -> anyhow::Result<Hub> {
    let Some(source) = source(settings) else {
        bail!("{key} needs the hub's Kubernetes API: set hub.kubeconfig, or run fleetbeat in a pod");
    };
    let limits = Limits { timeout: settings.hub.timeout, answer_bytes: settings.hub.max_answer_bytes };
    Hub::open_behind(source, limits, breaker.cloned())
        .await
        .with_context(|| format!("{key} needs the hub's Kubernetes API"))
}

/// Is there a hub to ask?
pub(super) fn is_configured(settings: &Settings) -> bool {
    source(settings).is_some()
}

/// A kubeconfig where one is set; else what a pod is told.
fn source(settings: &Settings) -> Option<Source> {
    if !settings.hub.kubeconfig.as_os_str().is_empty() {
        return Some(Source::Kubeconfig(settings.hub.kubeconfig.clone()));
    }
    Source::of_pod(&settings.hub.service_account_dir)
}
