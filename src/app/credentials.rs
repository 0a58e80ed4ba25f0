//! The vault as the settings say, and filling it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use fleetbeat_actors::{ports::Clock, roll::ClusterId};
use futures_util::StreamExt;

use crate::{
    breaker::Breakers,
    clock::SystemClock,
    config::{CredentialPlace, Settings},
    credentials::{CredentialStore, Foresight, InMemoryCredentials, KeySource, KeyedHasher, SealedStore, Vault},
    probes::HttpProber,
    registration::{Registration, Told, WriteError},
    secrets::{KubeSecrets, Noticed},
    store::Store,
};

/// How often a store that is away is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// How long one that could not be taken over waits for another try.
const LATE: Duration = Duration::from_secs(5);
/// How often it is tried to tell of what happened to Secrets while nobody watched.
const UNSEEN_TRIES: usize = 300;
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
            let hasher = KeyedHasher::new(key_source(settings));
            let secrets = KubeSecrets::new(&hub, &settings.credentials.secret_namespace, Arc::clone(store), hasher);
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
    let mut late = HashSet::new();
    loop {
        let noticed = tokio::select! {
            seen = seen.next() => seen,
            () = tokio::time::sleep(LATE), if !late.is_empty() => late.iter().next().copied().map(Noticed::Gone),
        };
        let Some(noticed) = noticed else { return };
        let concerned = concerned(&noticed, &vault);
        match taken_over(&secrets, &registration, noticed).await {
            Ok(()) => late.retain(|id| !concerned.contains(id)),
            Err(error) => {
                tracing::warn!(%error, "a changed Secret could not be taken over yet");
                late.extend(concerned);
            }
        }
    }
}

async fn taken_over(
    secrets: &Arc<KubeSecrets>,
    registration: &Arc<Registration>,
    noticed: Noticed,
) -> Result<(), WriteError> {
    for pause in RETRIES {
        match registration.notice(secrets, noticed.clone()).await {
            Ok(()) => return Ok(()),
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
    registration.notice(secrets, noticed).await
}

/// Whom something that was noticed concerns.
fn concerned(noticed: &Noticed, vault: &Vault) -> Vec<ClusterId> {
    match noticed {
        Noticed::Is(id, _) | Noticed::Gone(id) => vec![*id],
        Noticed::Only(_) => vault.memory().known(),
    }
}

/// What happened to Secrets while nobody watched, to be told of.
pub(super) struct Unseen {
    /// The Secrets.
    pub(super) secrets: Arc<KubeSecrets>,
    /// Tells of them.
    pub(super) registration: Arc<Registration>,
    /// Remembers what was told of.
    pub(super) store: Arc<dyn Store>,
}

impl Unseen {
    /// Tells of them. Is everything told?
    async fn tell(&self, left: &mut Option<HashMap<ClusterId, Option<String>>>) -> bool {
        if left.is_none() {
            match self.store.secret_marks(None).await {
                Ok(marks) => {
                    let mut all: HashMap<_, _> = marks.iter().map(|mark| (mark.cluster_id, None)).collect();
                    all.extend(self.secrets.take_loaded().into_iter().map(|(id, version)| (id, Some(version))));
                    *left = Some(all);
                }
                Err(error) => tracing::warn!(%error, "what was told of Secrets cannot be read yet"),
            }
        }
        let Some(left) = left else { return false };
        match self.registration.tell_of_unseen(&self.secrets, left).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, clusters = left.len(), "changed Secrets cannot be told of yet");
                false
            }
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

/// Fills the vault; at once when the store answers. What happened to Secrets while nobody watched is told first, if that is
/// possible at once, else later.
pub(super) async fn fill(vault: Arc<Vault>, unseen: Option<Unseen>) {
    let clusters = loop {
        match vault.read().await {
            Ok(clusters) => break clusters,
            Err(error) => tracing::warn!(%error, "the stored credentials could not be read yet"),
        }
        tokio::time::sleep(RETRY).await;
    };
    let mut left = None;
    let is_told = match &unseen {
        Some(unseen) => unseen.tell(&mut left).await,
        None => true,
    };
    vault.memory().loaded();
    tracing::info!(clusters, "the stored credentials were read");
    let Some(unseen) = unseen.filter(|_| !is_told) else { return };
    for _ in 0..UNSEEN_TRIES {
        tokio::time::sleep(RETRY).await;
        if unseen.tell(&mut left).await {
            return;
        }
    }
}
