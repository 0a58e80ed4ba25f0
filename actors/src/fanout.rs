//! The fan-out: publishes every event in the order of its place, and remembers how far it got.
//!
//! Live, it reads from the outbox's memory; after an outage or a restart from the log, then live again. Since it follows
//! one position, nothing is published out of order. What was published but not yet marked may come twice, with the same id.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
};

use crate::{
    event::Event,
    meters::Meters,
    outbox::{Outbox, Recent},
    ports::{EventLog, Publisher, StoreError},
};

/// Events in one publication.
const BATCH: usize = 250;

/// Pause between tries after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// What was published earlier than this is not published again, whatever the peer has forgotten: positions are
/// microseconds. Replicas that take over are seconds behind; an emptied stream is no reason to tell of the whole past.
const LONGEST_REPETITION_MICROS: i64 = 300_000_000;

/// Pause between two marks.
const MARK_PAUSE: Duration = Duration::from_millis(100);

/// What happens to the fan-out.
pub(crate) enum FanoutMessage {
    /// There may be something to publish.
    Grown,
    /// A round ended.
    Ended(Round),
    /// So many events wait in the log; `None` when it is away.
    Counted(Option<u64>),
    /// Say when everything up to now is published (false after a failed try).
    Drained(oneshot::Sender<bool>),
}

/// How a round ended.
pub(crate) enum Round {
    /// Published `count` events up to this position; `more` may wait.
    Published { position: i64, count: usize, more: bool },
    /// The peer has forgotten what it acknowledged after this position.
    Behind(i64),
    /// The publisher or the log is away.
    Failed(String),
}

/// What the fan-out works with.
#[derive(Clone)]
pub(crate) struct FanoutArguments {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) meters: Arc<Meters>,
    /// Published up to here.
    pub(crate) position: i64,
}

/// A reference to the fan-out.
#[derive(Clone)]
pub(crate) struct Fanout(ActorRef<FanoutMessage>);

impl Fanout {
    pub(crate) async fn spawn(arguments: FanoutArguments) -> Result<Self, ractor::SpawnErr> {
        let (actor, _) = Actor::spawn(None, FanoutActor, arguments).await?;
        Ok(Self(actor))
    }

    /// Publishes everything that waits, and marks it. False when the publisher would not take it within `patience`.
    pub(crate) async fn drain(&self, patience: Duration) -> bool {
        let (reply, done) = oneshot::channel();
        let _ = self.0.cast(FanoutMessage::Drained(reply));
        let published = matches!(tokio::time::timeout(patience, done).await, Ok(Ok(true)));
        if published {
            tokio::time::sleep(2 * MARK_PAUSE).await;
        }
        published
    }

    pub(crate) fn stop(&self) {
        self.0.stop(None);
    }
}

struct FanoutActor;

struct FanoutState {
    parts: FanoutArguments,
    busy: bool,
    away: bool,
    /// Events that wait, as last counted and published since.
    waiting: u64,
    draining: Vec<oneshot::Sender<bool>>,
    /// The position that the keeper writes.
    mark: watch::Sender<i64>,
    watcher: AbortHandle,
    keeper: AbortHandle,
}

impl Actor for FanoutActor {
    type Msg = FanoutMessage;
    type State = FanoutState;
    type Arguments = FanoutArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<FanoutMessage>,
        parts: FanoutArguments,
    ) -> Result<FanoutState, ActorProcessingErr> {
        let mut head = parts.outbox.head();
        let actor = myself.clone();
        let watcher =
            tokio::spawn(
                async move { while actor.cast(FanoutMessage::Grown).is_ok() && head.changed().await.is_ok() {} },
            );
        let mark = watch::Sender::new(parts.position);
        let keeper = tokio::spawn(keep_mark(parts.clone(), mark.subscribe()));
        Ok(FanoutState {
            parts,
            busy: false,
            away: false,
            waiting: 0,
            draining: Vec::new(),
            mark,
            watcher: watcher.abort_handle(),
            keeper: keeper.abort_handle(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<FanoutMessage>,
        message: FanoutMessage,
        state: &mut FanoutState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FanoutMessage::Grown => state.start(&myself),
            FanoutMessage::Drained(reply) => {
                state.draining.push(reply);
                state.start(&myself);
            }
            FanoutMessage::Ended(round) => state.ended(&myself, round),
            FanoutMessage::Counted(logged) => {
                let unsaved = state.parts.outbox.unsaved() as u64;
                state.tell_waiting(logged.map_or(state.waiting.max(unsaved), |logged| logged + unsaved));
            }
        }
        Ok(())
    }
}

impl FanoutState {
    fn start(&mut self, myself: &ActorRef<FanoutMessage>) {
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        let (parts, actor) = (self.parts.clone(), myself.clone());
        tokio::spawn(async move {
            let round = publish_next(&parts).await;
            let _ = actor.cast(FanoutMessage::Ended(round));
        });
    }

    fn ended(&mut self, myself: &ActorRef<FanoutMessage>, round: Round) {
        self.busy = false;
        match round {
            Round::Published { position, count, more } => {
                let none = !more && count == 0;
                self.tell_waiting(if none { 0 } else { self.waiting.saturating_sub(count as u64) });
                if std::mem::take(&mut self.away) {
                    tracing::info!("events are published again");
                }
                let moved = position > self.parts.position;
                self.parts.position = position;
                self.mark.send_replace(position);
                if moved || more {
                    self.start(myself);
                } else {
                    self.answer(true);
                }
            }
            Round::Behind(position) => {
                let again = position.max(self.parts.position - LONGEST_REPETITION_MICROS);
                tracing::warn!("the bus has forgotten events that it acknowledged; they are published again");
                self.parts.position = self.parts.position.min(again);
                self.start(myself);
            }
            Round::Failed(reason) => {
                if !self.away {
                    tracing::warn!(reason, "events cannot be published; they wait in the log");
                }
                self.away = true;
                self.answer(false);
                self.count_waiting(myself);
            }
        }
    }

    fn tell_waiting(&mut self, waiting: u64) {
        self.waiting = waiting;
        self.parts.meters.waiting.set(waiting as f64);
    }

    fn answer(&mut self, published: bool) {
        for reply in self.draining.drain(..) {
            let _ = reply.send(published);
        }
    }

    /// Counts what waits, and tries again after a pause.
    fn count_waiting(&mut self, myself: &ActorRef<FanoutMessage>) {
        self.busy = true;
        let (parts, actor) = (self.parts.clone(), myself.clone());
        tokio::spawn(async move {
            let _ = actor.cast(FanoutMessage::Counted(parts.log.waiting(parts.position).await.ok()));
            tokio::time::sleep(RETRY).await;
            let round = publish_next(&parts).await;
            let _ = actor.cast(FanoutMessage::Ended(round));
        });
    }
}

impl Drop for FanoutState {
    fn drop(&mut self) {
        self.watcher.abort();
        self.keeper.abort();
    }
}

/// Publishes the next batch after the position, from memory or from the log, and marks it.
async fn publish_next(parts: &FanoutArguments) -> Round {
    let position = parts.position;
    let events = match parts.outbox.after(position, BATCH) {
        Recent::Events(events) => events,
        Recent::ReadLog => match from_log(parts, position).await {
            Ok(events) => events,
            Err(error) => return Round::Failed(error.to_string()),
        },
    };
    let Some(last) = events.last() else {
        return Round::Published { position, count: 0, more: false };
    };
    if let Err(error) = parts.publisher.publish(&events).await {
        return error.behind.map_or_else(|| Round::Failed(error.to_string()), Round::Behind);
    }
    parts.meters.published.increment(events.len() as u64);
    Round::Published { position: last.position, count: events.len(), more: events.len() == BATCH }
}

/// Writes the mark as it moves, but never past events that only memory holds, or that are in doubt. Publishing does not wait for it: a mark
/// that lags costs a repetition after a restart, nothing else.
async fn keep_mark(parts: FanoutArguments, mut mark: watch::Receiver<i64>) {
    while mark.changed().await.is_ok() {
        loop {
            let position = *mark.borrow_and_update();
            let all_known = parts.outbox.unsaved() == 0 && !parts.outbox.has_doubts();
            if all_known && parts.log.mark_published(position).await.is_ok() {
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        tokio::time::sleep(MARK_PAUSE).await;
    }
}

async fn from_log(parts: &FanoutArguments, position: i64) -> Result<Vec<Arc<Event>>, StoreError> {
    parts.log.events_after(position, BATCH as u32).await
}
