//! The recorder: writes what cluster actors observe, in batches, with the events that tell of it in the same
//! transaction. When the store is away it announces from memory, keeps what must be written, and tries again.

mod draft;
mod load;
mod portion;
mod work;

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::{
    event::EventDraft,
    health::{Status, Transition},
    meters::Meters,
    outbox::Outbox,
    ports::{Clock, Ledger, Marker},
    roll::ClusterId,
    rollup::Rollup,
    tempo::Tempo,
};
use load::{Due, Load};
use portion::Appetite;
use work::{Announced, Outcome, announce, store, store_when_back};

/// A sign of life is written this often: after a kill, history does not know what was from the last one on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// How the recorder batches.
#[derive(Clone, Copy, Debug)]
pub struct RecorderRules {
    /// Changed statuses are written within this time. Transitions are written at once.
    pub flush_interval: Duration,
    /// Statuses of which only stamps changed, and rollups, are written this often. A kill loses as much of them.
    pub idle_flush: Duration,
    /// How long to wait before a store that is away is tried again.
    pub retry: Duration,
    /// Events that may wait in memory for the store; beyond it, transitions of one cluster are merged into one.
    pub unsaved_limit: usize,
}

impl Default for RecorderRules {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_millis(250),
            idle_flush: Duration::from_secs(60),
            retry: Duration::from_secs(1),
            unsaved_limit: 30_000,
        }
    }
}

/// What a cluster actor saw.
pub(crate) struct Observation {
    pub(crate) status: Arc<Status>,
    /// Did more than stamps change?
    pub(crate) urgent: bool,
    pub(crate) transition: Option<Arc<Transition>>,
    /// A finished rollup and the open one.
    pub(crate) rollups: [Option<Rollup>; 2],
}

/// What happens to the recorder.
pub(crate) enum RecorderMessage {
    Observed(ClusterId, Box<Observation>),
    Announced(EventDraft),
    Ticked,
    /// An announcement from memory ended.
    Told(Announced),
    /// A write ended.
    Stored(Box<Outcome>),
    /// Write everything now and say when it is done (false when the store is away).
    Drained(oneshot::Sender<bool>),
}

/// A reference to the recorder.
#[derive(Clone)]
pub struct Recorder(ActorRef<RecorderMessage>);

impl Recorder {
    pub(crate) fn observed(&self, id: ClusterId, observation: Observation) {
        let _ = self.0.cast(RecorderMessage::Observed(id, Box::new(observation)));
    }

    /// Announces an event that tells of no transition of a cluster.
    pub(crate) fn announce(&self, draft: EventDraft) {
        let _ = self.0.cast(RecorderMessage::Announced(draft));
    }

    /// Writes everything that waits. False when the store would not take it within `patience`.
    pub(crate) async fn drain(&self, patience: Duration) -> bool {
        let (reply, done) = oneshot::channel();
        let _ = self.0.cast(RecorderMessage::Drained(reply));
        matches!(tokio::time::timeout(patience, done).await, Ok(Ok(true)))
    }

    pub(crate) fn stop(&self) {
        self.0.stop(None);
    }

    pub(crate) async fn spawn(arguments: RecorderArguments) -> Result<Self, ractor::SpawnErr> {
        let (actor, _) = Actor::spawn(None, RecorderActor, arguments).await?;
        Ok(Self(actor))
    }
}

/// What the recorder works with.
#[derive(Clone)]
pub(crate) struct RecorderArguments {
    pub(crate) rules: RecorderRules,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) marker: Option<Arc<dyn Marker>>,
    pub(crate) tempo: Arc<Tempo>,
}

impl RecorderArguments {
    fn tick_next(&self, myself: &ActorRef<RecorderMessage>) {
        let pause = self.tempo.until_next(self.clock.now(), self.rules.flush_interval);
        myself.send_after(pause, || RecorderMessage::Ticked);
    }
}

struct RecorderActor;

struct RecorderState {
    parts: RecorderArguments,
    load: Load,
    /// Is the store believed to be away?
    away: bool,
    announcing: bool,
    storing: bool,
    /// The last write of everything was not all of it.
    behind: bool,
    appetite: Appetite,
    /// When idle statuses were last written, and a sign of life, and when the store may be tried again.
    idle_since: std::time::Instant,
    alive_since: std::time::Instant,
    retry_at: std::time::Instant,
    draining: Vec<oneshot::Sender<bool>>,
}

impl Actor for RecorderActor {
    type Msg = RecorderMessage;
    type State = RecorderState;
    type Arguments = RecorderArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<RecorderMessage>,
        parts: RecorderArguments,
    ) -> Result<RecorderState, ActorProcessingErr> {
        let now = parts.clock.now();
        parts.tick_next(&myself);
        Ok(RecorderState {
            parts,
            load: Load::default(),
            away: false,
            announcing: false,
            storing: false,
            behind: false,
            appetite: Appetite::default(),
            idle_since: now,
            alive_since: now,
            retry_at: now,
            draining: Vec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RecorderMessage>,
        message: RecorderMessage,
        state: &mut RecorderState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RecorderMessage::Observed(id, observation) => {
                state.load.observe(id, *observation);
                state.announce_soon(&myself, false);
            }
            RecorderMessage::Announced(draft) => {
                state.load.announce(draft);
                state.announce_soon(&myself, false);
            }
            RecorderMessage::Ticked => {
                state.parts.tick_next(&myself);
                state.announce_soon(&myself, true);
            }
            RecorderMessage::Told(announced) => {
                state.announcing = false;
                state.load.told(announced.turns);
                state.load.set_aside(announced.postponed);
                state.announce_soon(&myself, false);
            }
            RecorderMessage::Stored(outcome) => state.stored(&myself, *outcome),
            RecorderMessage::Drained(reply) => {
                state.draining.push(reply);
                state.retry_at = state.parts.clock.now();
                state.announce_soon(&myself, true);
            }
        }
        Ok(())
    }
}

impl RecorderState {
    /// Does what can be done now: transitions at once, changed statuses at a tick.
    fn announce_soon(&mut self, myself: &ActorRef<RecorderMessage>, tick: bool) {
        let now = self.parts.clock.now();
        if self.away {
            // The write first: it alone can end the doubts that keep drafts from being told.
            if now >= self.retry_at {
                self.write(myself, now, true);
            }
            self.tell(myself, tick);
        } else if self.load.has_drafts() || tick {
            self.write(myself, now, tick);
        }
    }

    /// Announces from memory while the store is away.
    fn tell(&mut self, myself: &ActorRef<RecorderMessage>, tick: bool) {
        self.parts.meters.unsaved.set(self.parts.outbox.unsaved() as f64);
        let full = self.parts.outbox.unsaved() >= self.parts.rules.unsaved_limit;
        if full && tick {
            self.load.merge_drafts();
        }
        if self.announcing || full || !self.load.has_drafts() {
            return;
        }
        self.announcing = true;
        let (parts, drafts, actor) = (self.parts.clone(), self.load.take_drafts(), myself.clone());
        tokio::spawn(async move {
            let announced = announce(&parts, drafts).await;
            let _ = actor.cast(RecorderMessage::Told(announced));
        });
    }

    /// Writes what is due, one write at a time.
    fn write(&mut self, myself: &ActorRef<RecorderMessage>, now: std::time::Instant, tick: bool) {
        if self.storing || self.announcing {
            return;
        }
        let idle_is_due = now.duration_since(self.idle_since) >= self.parts.rules.idle_flush;
        let everything = idle_is_due || self.behind || !self.draining.is_empty();
        if everything {
            self.idle_since = now;
        }
        let alive_is_due = everything || now.duration_since(self.alive_since) >= SIGN_OF_LIFE;
        if alive_is_due {
            self.alive_since = now;
        }
        let alive_at = alive_is_due.then(|| self.parts.clock.wall());
        let rows = self.appetite.rows();
        let outbox = &self.parts.outbox;
        let due = Due { changed: tick, everything, drafts: !self.away, rows };
        let portion = self.load.take(due, outbox.unsaved(), alive_at);
        self.behind = everything && !self.load.is_idle();
        if portion.is_empty() && !outbox.has_doubts() {
            self.away = false;
            self.answer(true);
            return;
        }
        self.storing = true;
        let (parts, appetite, actor) = (self.parts.clone(), self.appetite, myself.clone());
        let away = self.away;
        tokio::spawn(async move {
            let outcome = match away {
                true => store_when_back(&parts, portion, appetite).await,
                false => store(&parts, portion, appetite).await,
            };
            let _ = actor.cast(RecorderMessage::Stored(Box::new(outcome)));
        });
    }

    fn stored(&mut self, myself: &ActorRef<RecorderMessage>, outcome: Outcome) {
        self.storing = false;
        self.parts.meters.unsaved.set(self.parts.outbox.unsaved() as f64);
        self.appetite.learn(matches!(outcome, Outcome::Written { .. }));
        match outcome {
            Outcome::Written { rest } => {
                if self.away {
                    tracing::info!("the store is back");
                }
                self.away = false;
                self.load.put_back(rest);
                self.load.take_up();
                if self.load.is_empty() && self.parts.outbox.unsaved() == 0 {
                    return self.answer(true);
                }
                self.announce_soon(myself, self.parts.outbox.unsaved() > 0 || !self.draining.is_empty());
            }
            Outcome::Away { rest, reason } => {
                if !self.away {
                    tracing::warn!(reason, "the store is away; events are announced from memory");
                }
                self.away = true;
                self.retry_at = self.parts.clock.now() + self.parts.rules.retry;
                self.load.put_back(rest);
                self.answer(false);
                self.announce_soon(myself, false);
            }
        }
    }

    fn answer(&mut self, written: bool) {
        for reply in self.draining.drain(..) {
            let _ = reply.send(written);
        }
    }
}
