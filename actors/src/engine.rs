//! The engine: puts the actors together, and is the one handle by which the rest of the house talks to them.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorRef};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    board::Board,
    cluster::Commons,
    doubt::{Doubt, DoubtRules},
    fanout::{Fanout, FanoutArguments},
    health::CheckReport,
    meters::Meters,
    outbox::Outbox,
    ports::{Clock, Enrolled, EventLog, Ledger, Marker, Prober, Publisher, Roll, StoreError},
    recorder::{Recorder, RecorderArguments, RecorderRules},
    registry::{RegistryActor, RegistryArguments, RegistryMessage},
    roll::ClusterId,
    target::Policy,
    tempo::Tempo,
    watch::{Canaries, Watch, beat},
};

/// What the engine is made of: its rules, and what the rest of the house lends it.
pub struct EngineParts {
    /// Cadences and damping.
    pub policy: Policy,
    /// When the monitor doubts itself.
    pub doubt: DoubtRules,
    /// How statuses are batched.
    pub recorder: RecorderRules,
    /// How often the roll as stored is compared with the actors that run.
    pub reconcile_every: Duration,
    /// Watch clusters at all? Without it the board shows what is stored.
    pub enabled: bool,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Probes.
    pub prober: Arc<dyn Prober>,
    /// The roll as stored.
    pub roll: Arc<dyn Roll>,
    /// Where statuses and events are written.
    pub ledger: Arc<dyn Ledger>,
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// Where events are published, if anywhere.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// Addresses that prove that the monitor's own network works, if any.
    pub canaries: Option<Arc<dyn Canaries>>,
    /// What tells the next process of events that died with this one, if anything.
    pub marker: Option<Arc<dyn Marker>>,
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An actor did not start.
    #[error("an actor could not be started: {0}")]
    Actor(#[from] ractor::SpawnErr),
}

/// Why a check that was asked for brought no result.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckNowError {
    /// Nobody watches this cluster (yet, or any more), or watching is switched off.
    #[error("the cluster is not watched")]
    NotWatched,
    /// The check took too long.
    #[error("the check did not end in time")]
    TooLate,
}

/// The running engine.
pub struct Engine {
    board: Arc<Board>,
    outbox: Arc<Outbox>,
    doubt: Arc<Doubt>,
    registry: ActorRef<RegistryMessage>,
    recorder: Recorder,
    fanout: Option<Fanout>,
    tasks: Vec<JoinHandle<()>>,
}

/// Clusters read from the store in one call at the start, so that each call stays within the store's time limits.
const LOAD_AT_ONCE: usize = 1_000;

/// The whole fleet as stored.
async fn load(roll: &dyn Roll) -> Result<Vec<Enrolled>, StoreError> {
    let revisions = roll.revisions().await?;
    let ids: Vec<ClusterId> = revisions.into_iter().map(|(id, _)| id).collect();
    let mut fleet = Vec::with_capacity(ids.len());
    for some in ids.chunks(LOAD_AT_ONCE) {
        fleet.extend(roll.fetch(Some(some)).await?);
    }
    Ok(fleet)
}

/// The outbox, which goes on where the log ends.
async fn outbox(parts: &EngineParts, enrolled: &[Enrolled]) -> Result<Outbox, StoreError> {
    let mut sequences: Vec<_> = enrolled.iter().map(|entry| (entry.cluster.id, entry.sequence)).collect();
    sequences.extend(parts.ledger.sequences(&[ClusterId::FLEET]).await?);
    Ok(Outbox::new(Arc::clone(&parts.clock), parts.log.head().await?, sequences))
}

async fn recorder(
    parts: &EngineParts,
    outbox: &Arc<Outbox>,
    meters: &Arc<Meters>,
    tempo: &Arc<Tempo>,
) -> Result<Recorder, StartError> {
    let arguments = RecorderArguments {
        rules: parts.recorder,
        outbox: Arc::clone(outbox),
        ledger: Arc::clone(&parts.ledger),
        clock: Arc::clone(&parts.clock),
        meters: Arc::clone(meters),
        marker: parts.marker.clone(),
        tempo: Arc::clone(tempo),
    };
    Ok(Recorder::spawn(arguments).await?)
}

/// The watch over the monitor itself.
fn watching(
    commons: &Commons,
    registry: &ActorRef<RegistryMessage>,
    canaries: Option<Arc<dyn Canaries>>,
) -> Vec<JoinHandle<()>> {
    let Commons { board, clock, doubt, recorder, meters, tempo, .. } = commons;
    let beats = beat(Arc::clone(doubt), Arc::clone(clock), Arc::clone(meters), Arc::clone(tempo));
    let watch = Watch {
        doubt: Arc::clone(doubt),
        board: Arc::clone(board),
        clock: Arc::clone(clock),
        recorder: recorder.clone(),
        meters: Arc::clone(meters),
        registry: registry.clone(),
        canaries,
        tempo: Arc::clone(tempo),
    };
    vec![tokio::spawn(beats), tokio::spawn(watch.run())]
}

/// Publishes what was not published yet, and all that comes.
async fn fanout(
    publisher: Arc<dyn Publisher>,
    log: Arc<dyn EventLog>,
    outbox: &Arc<Outbox>,
    meters: &Arc<Meters>,
) -> Result<Fanout, StartError> {
    let position = log.published().await?;
    let (outbox, meters) = (Arc::clone(outbox), Arc::clone(meters));
    Ok(Fanout::spawn(FanoutArguments { position, outbox, log, publisher, meters }).await?)
}

impl Engine {
    /// Loads the fleet, puts it on the board and starts every actor.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn start(parts: EngineParts) -> Result<Self, StartError> {
        let meters = Arc::new(Meters::default());
        let enrolled = load(&*parts.roll).await?;
        let outbox = Arc::new(outbox(&parts, &enrolled).await?);
        let tempo = Arc::new(Tempo::new(parts.clock.now(), parts.clock.wall()));
        let recorder = recorder(&parts, &outbox, &meters, &tempo).await?;
        let fanout = match parts.publisher {
            Some(publisher) => Some(fanout(publisher, parts.log, &outbox, &meters).await?),
            None => None,
        };
        let board = Arc::new(Board::default());
        let doubt = Arc::new(Doubt::new(parts.doubt, parts.canaries.is_some(), parts.clock.now()));
        let commons = Arc::new(Commons {
            board: Arc::clone(&board),
            prober: parts.prober,
            run: parts.clock.wall().timestamp_micros(),
            clock: parts.clock,
            doubt: Arc::clone(&doubt),
            recorder: recorder.clone(),
            policy: parts.policy,
            meters,
            tempo,
            enabled: parts.enabled,
        });
        let (roll, reconcile_every) = (parts.roll, parts.reconcile_every);
        let arguments = RegistryArguments { commons: Arc::clone(&commons), roll, reconcile_every, enrolled };
        let (registry, _) = Actor::spawn(None, RegistryActor, arguments).await?;
        let tasks = watching(&commons, &registry, parts.canaries);
        Ok(Self { board, outbox, doubt, registry, recorder, fanout, tasks })
    }

    /// The board, from which every read comes.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The outbox, through which every event goes.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Are states held because the monitor doubts its own network?
    pub fn is_holding(&self) -> bool {
        self.doubt.is_holding()
    }

    /// Something about this cluster changed in the store: look again.
    pub fn poke(&self, id: ClusterId) {
        let _ = self.registry.cast(RegistryMessage::Poked(id));
    }

    /// Checks a cluster now and waits for the result, at most `patience`.
    ///
    /// # Errors
    /// When nobody watches it, or the check does not end in time.
    pub async fn check_now(&self, id: ClusterId, patience: Duration) -> Result<CheckReport, CheckNowError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.registry.cast(RegistryMessage::Asked(id, reply));
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(_)) => Err(CheckNowError::NotWatched),
            Err(_) => Err(CheckNowError::TooLate),
        }
    }

    /// Stops in order: no new checks, everything written, everything published. True when nothing was left behind.
    pub async fn stop(&self, patience: Duration) -> bool {
        let (reply, stopped) = oneshot::channel();
        let _ = self.registry.cast(RegistryMessage::Stopped(reply));
        let _ = stopped.await;
        let written = self.recorder.drain(patience).await;
        let published = match &self.fanout {
            Some(fanout) => fanout.drain(patience).await,
            None => true,
        };
        self.tasks.iter().for_each(JoinHandle::abort);
        self.recorder.stop();
        self.fanout.iter().for_each(Fanout::stop);
        self.registry.stop(None);
        written && published
    }
}
