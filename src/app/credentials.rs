//! The vault as the settings say, and filling it.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use fleetbeat_actors::ports::Clock;
use futures_util::StreamExt;

use crate::{
    breaker::Breakers,
    clock::SystemClock,
    config::{CredentialPlace, Settings},
    credentials::{CredentialStore, Foresight, InMemoryCredentials, KeySource, SealedStore, Vault},
    probes::HttpProber,
    registration::{Registration, Told},
    secrets::KubeSecrets,
    store::Store,
};

/// How often a store that is away is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// How often the vault is asked whether it is filled.
const LOADING: Duration = Duration::from_millis(100);
/// Pauses between attempts to take over what somebody changed in a Secret.
const RETRIES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];
/// How often the fleet is looked through for what ends soon.
const LOOK: Duration = Duration::from_secs(60);

/// The vault, its memory still empty, and the Secrets where those are what it keeps things in.
pub(super) async fn vault(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    breakers: &Breakers,
    store: &Arc<dyn Store>,
    memory: Arc<InMemoryCredentials>,
    prober: &HttpProber,
) -> anyhow::Result<(Arc<Vault>, Option<Arc<KubeSecrets>>)> {
    let (kept, secrets): (Arc<dyn CredentialStore>, _) = match settings.credentials.store {
        CredentialPlace::Sealed => {
            let sealed = SealedStore::open(Arc::clone(store), Arc::clone(clock), key_source(settings));
            (Arc::new(sealed.context("the key of the stored credentials")?), None)
        }
        CredentialPlace::Kubernetes => {
            let hub = super::hub::needed_by("credentials.store: kubernetes", settings, Some(&breakers.hub)).await?;
            let secrets = KubeSecrets::new(&hub, &settings.credentials.secret_namespace, Arc::clone(store));
            let secrets = Arc::new(secrets);
            (Arc::clone(&secrets) as _, Some(secrets))
        }
    };
    Ok((Arc::new(Vault::new(memory, kept, Arc::new(prober.clone()))), secrets))
}

/// Takes over what others change in the Secrets, for ever. Begins once the vault is filled.
pub(super) async fn follow(secrets: Arc<KubeSecrets>, registration: Arc<Registration>, vault: Arc<Vault>) {
    while vault.memory().is_loading() {
        tokio::time::sleep(LOADING).await;
    }
    let mut seen = std::pin::pin!(secrets.watch());
    while let Some(noticed) = seen.next().await {
        let mut patience = RETRIES.into_iter();
        while let Err(error) = registration.notice(&secrets, noticed.clone()).await {
            let Some(pause) = patience.next() else {
                tracing::warn!(%error, "a changed Secret could not be taken over");
                break;
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// The sealed credentials of an installation, for tools.
///
/// # Errors
/// When the store or the key cannot be used.
pub async fn sealed_credentials(settings: &Settings) -> anyhow::Result<SealedStore> {
    let store = super::parts::open_store(settings).await?;
    SealedStore::open(store, Arc::new(SystemClock), key_source(settings)).context("the key of the stored credentials")
}

/// Where the key comes from.
pub(super) fn key_source(settings: &Settings) -> KeySource {
    let set = &settings.credentials;
    match set.key.secret() {
        Some(current) => KeySource::Given { current, previous: set.previous_key.secret() },
        None if set.key_file.as_os_str().is_empty() => KeySource::File(settings.data_dir.join("credentials.key")),
        None => KeySource::File(set.key_file.clone()),
    }
}

/// Tells of what ends soon, for ever.
pub(super) async fn tell_of_ends(registration: Arc<Registration>, foresight: Arc<Foresight>) {
    let mut told = Told::default();
    loop {
        tokio::time::sleep(LOOK).await;
        if foresight.vault().memory().is_loading() {
            continue;
        }
        if let Err(error) = registration.tell_of_ends(&foresight, &mut told).await {
            tracing::warn!(%error, "what ends soon could not be told yet");
        }
    }
}

/// Fills the vault; at once when the store answers.
pub(super) async fn fill(vault: Arc<Vault>) {
    loop {
        match vault.fill().await {
            Ok(clusters) => return tracing::info!(clusters, "the stored credentials were read"),
            Err(error) => tracing::warn!(%error, "the stored credentials could not be read yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
