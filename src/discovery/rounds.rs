//! Asks the fleet what it can do: each cluster when its time has come, a few at once, and any cluster on demand. Health
//! checks never wait for it: it has permits, handshakes and look-ups of its own.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use fleetbeat_actors::{
    board::{Board, Entry},
    health::{Endpoint, State},
    ports::{Clock, StoreError},
    roll::ClusterId,
    target::Target,
};
use metrics::{counter, describe_counter, describe_histogram, histogram};
use tokio::{
    sync::OnceCell,
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::Instrument;

use super::{
    ask::Inquirer,
    capabilities::Capabilities,
    evidence::Evidence,
    gap::Gap,
    interview::{Budget, Interview},
    permissions::{Permissions, lacking},
    plan::{Habits, Outcome, Record, due},
    survey::survey,
};
use crate::{
    credentials::{Account, Credential, Lookup, Vault},
    registration::{Registration, WriteError},
    store::Store,
    traces,
};

/// How often the fleet is looked through for clusters whose time has come.
const LOOK: Duration = Duration::from_secs(2);
/// How often a store that takes nothing now is tried with a finding, and the pause in between.
const WRITE_TRIES: u32 = 3;
const WRITE_PAUSE: Duration = Duration::from_secs(2);
/// What a review of permissions may take.
const REVIEW: Budget = Budget { time: Duration::from_secs(8), bytes: 1 << 20, questions: 16 };

/// What a discovery brought.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// What the cluster can do, as stored.
    pub capabilities: Capabilities,
    /// Does that differ from what was known before?
    pub changed: bool,
}

/// Why a discovery brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No such cluster.
    #[error("cluster {0} is not registered")]
    NotFound(ClusterId),
    /// There are no credentials for its API server.
    #[error("the cluster has no credentials")]
    NoCredentials(ClusterId),
    /// The cluster could not be asked, or refused.
    #[error("the cluster could not be asked: {}", .0.shown("ask").message)]
    Unreachable(Gap),
    /// What was found could not be stored.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// How discovery is done.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// When.
    pub habits: Habits,
    /// How many at once.
    pub at_once: usize,
    /// Deadline of one question.
    pub deadline: Duration,
    /// What one discovery may take.
    pub budget: Budget,
}

type Running = Arc<OnceCell<Result<Discovered, DiscoveryError>>>;

/// Asks clusters what they can do.
pub struct Discoverer {
    board: Arc<Board>,
    vault: Arc<Vault>,
    registration: Arc<Registration>,
    inquirer: Arc<dyn Inquirer>,
    clock: Arc<dyn Clock>,
    manner: Manner,
    records: DashMap<ClusterId, Record>,
    running: DashMap<ClusterId, Running>,
}

impl Discoverer {
    /// One that has asked nobody yet.
    pub fn new(
        board: Arc<Board>,
        vault: Arc<Vault>,
        registration: Arc<Registration>,
        inquirer: Arc<dyn Inquirer>,
        clock: Arc<dyn Clock>,
        manner: Manner,
    ) -> Self {
        Self { board, vault, registration, inquirer, clock, manner, records: DashMap::new(), running: DashMap::new() }
    }

    /// Asks one cluster now, or waits for who is asking it already.
    ///
    /// # Errors
    /// Any [`DiscoveryError`].
    pub async fn discover(&self, id: ClusterId) -> Result<Discovered, DiscoveryError> {
        let running = Arc::clone(&self.running.entry(id).or_default());
        let found = running.get_or_init(|| self.discover_now(id)).await.clone();
        self.running.remove_if(&id, |_, known| Arc::ptr_eq(known, &running));
        found
    }

    /// What may be asked of its API server with which credentials; `None` without any.
    fn credential(&self, id: ClusterId) -> Result<Option<Arc<Credential>>, DiscoveryError> {
        match self.vault.get(id) {
            Lookup::Some(credential) => Ok(credential.part(Endpoint::ApiServer).is_some().then_some(credential)),
            Lookup::None => Ok(None),
            Lookup::Unavailable => Err(WriteError::BUSY.into()),
        }
    }

    async fn discover_now(&self, id: ClusterId) -> Result<Discovered, DiscoveryError> {
        let entry = self.board.get(id).ok_or(DiscoveryError::NotFound(id))?;
        let credential = self.credential(id)?.ok_or(DiscoveryError::NoCredentials(id))?;
        let began = Instant::now();
        let asked = self.ask(&entry, Arc::clone(&credential));
        let found = asked.instrument(traces::outside("cluster", "discovery")).await;
        histogram!("fleetbeat_discovery_duration_seconds").record(began.elapsed().as_secs_f64());
        let (outcome, word, gap) = match &found {
            Ok(evidence) if super::conclude(evidence, None).is_complete() => (Outcome::Complete, "complete", None),
            Ok(_) => (Outcome::Partial, "partial", None),
            Err(gap) => (Outcome::Failed, gap.word(), Some(*gap)),
        };
        let result = if gap.is_some() { "failed" } else { word };
        counter!("fleetbeat_discoveries_total", "result" => result, "cause" => gap.map_or("", Gap::word)).increment(1);
        let record = Record { last: Some((self.clock.wall(), outcome)), credentials: Some(credential.version) };
        self.records.insert(id, record);
        let noted = self.note(&entry, found.ok(), word).await;
        if let Some(gap) = gap {
            tracing::info!(%id, cause = gap.word(), "a cluster could not be asked what it can do");
            return Err(DiscoveryError::Unreachable(gap));
        }
        let (capabilities, changed) = noted?;
        tracing::debug!(%id, outcome = word, changed, "a cluster was asked what it can do");
        Ok(Discovered { capabilities: capabilities.unwrap_or_default(), changed })
    }

    /// What the account in the stored credentials may not do; `None` without credentials for the API server.
    pub async fn permissions(&self, id: ClusterId) -> Option<Permissions> {
        let entry = self.board.get(id)?;
        let credential = self.credential(id).ok().flatten()?;
        let account = credential.part(Endpoint::ApiServer).and_then(|part| Account::of(part));
        let asked = async {
            match self.inquirer.converse(self.target(&entry), credential).await {
                Ok(conversation) => {
                    let mut interview = Interview::begin(conversation, REVIEW);
                    lacking(&mut interview, account.as_ref()).await
                }
                Err(silence) => Permissions::Unknown(silence.into()),
            }
        };
        let asked = asked.instrument(traces::outside("cluster", "review"));
        Some(tokio::time::timeout(REVIEW.time, asked).await.unwrap_or(Permissions::Unknown(Gap::Late)))
    }

    fn target(&self, entry: &Entry) -> Arc<Target> {
        let Target { cluster, mut cadence } = self.registration.target(&entry.cluster);
        cadence.deadline = self.manner.deadline;
        Arc::new(Target { cluster, cadence })
    }

    async fn ask(&self, entry: &Entry, credential: Arc<Credential>) -> Result<Evidence, Gap> {
        let conversation = self.inquirer.converse(self.target(entry), credential).await?;
        survey(Interview::begin(conversation, self.manner.budget)).await
    }

    /// Stores what was found, if need be after a moment.
    async fn note(
        &self,
        entry: &Entry,
        found: Option<Evidence>,
        outcome: &'static str,
    ) -> Result<(Option<Capabilities>, bool), WriteError> {
        let mut left = WRITE_TRIES;
        loop {
            left -= 1;
            let asked = Arc::clone(&entry.cluster);
            match self.registration.note_discovery(asked, found.clone(), outcome).await {
                Err(WriteError::Unavailable { .. }) if left > 0 => sleep(WRITE_PAUSE).await,
                done => return done,
            }
        }
    }

    /// Asks the fleet for ever.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>) {
        describe_counter!(
            "fleetbeat_discoveries_total",
            "Discoveries of capabilities, by result and cause of failure."
        );
        describe_histogram!("fleetbeat_discovery_duration_seconds", "Duration of discoveries.");
        self.remember(&*store).await;
        let mut tasks = JoinSet::new();
        loop {
            sleep(LOOK).await;
            while tasks.try_join_next().is_some() {}
            let free = self.manner.at_once.saturating_sub(tasks.len());
            if free == 0 || self.vault.memory().is_loading() {
                continue;
            }
            for id in self.due().into_iter().take(free) {
                let this = Arc::clone(&self);
                tasks.spawn(async move { this.discover(id).await.map(drop).unwrap_or_default() });
            }
        }
    }

    /// Reads when every cluster was asked last, once the store answers.
    async fn remember(&self, store: &dyn Store) {
        loop {
            match store.discoveries().await {
                Ok(stored) => {
                    for one in stored {
                        let last = Some((one.attempted_at, Outcome::of_word(&one.outcome)));
                        self.records.entry(one.cluster_id).or_default().last = last;
                    }
                    return;
                }
                Err(error @ (StoreError::Unavailable { .. } | StoreError::Broken(_))) => {
                    tracing::warn!(%error, "it could not be read yet when clusters were asked what they can do");
                }
                Err(StoreError::NameTaken(_) | StoreError::NotFound | StoreError::Stale) => return,
            }
            sleep(WRITE_PAUSE).await;
        }
    }

    /// Whose time has come, the most overdue first, of those with credentials. Those that cannot be reached are not asked.
    fn due(&self) -> Vec<ClusterId> {
        let now = self.clock.wall();
        let mut found: Vec<(DateTime<Utc>, ClusterId)> = Vec::new();
        self.records.retain(|id, _| self.board.get(*id).is_some());
        for (id, credential) in self.vault.memory().all() {
            let Some(entry) = self.board.get(id).filter(|entry| entry.status.state != State::Offline) else { continue };
            if credential.part(Endpoint::ApiServer).is_none() || self.running.contains_key(&id) {
                continue;
            }
            let mut record = self.records.entry(id).or_default();
            record.credentials.get_or_insert(credential.version);
            let when = due(id, entry.cluster.created_at, &record, credential.version, &self.manner.habits);
            found.extend((when <= now).then_some((when, id)));
        }
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }
}
