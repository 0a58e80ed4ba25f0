//! The actor that owns one cluster: its timer, its check in flight, its health machine. It decides nothing itself.

mod flight;
mod timer;

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::{
    board::Board,
    doubt::Doubt,
    health::{
        CheckReport, Effects, Input, Machine, Moment, Outcome, PokeReason, StartCheck, State, Status, Transition, Trust,
    },
    meters::Meters,
    ports::{Clock, Poke, Prober, Session},
    recorder::{Observation, Recorder},
    rollup::Accumulator,
    target::{Policy, Target},
    tempo::Tempo,
};
use flight::Flight;
use timer::Timer;

/// What every cluster actor shares.
pub(crate) struct Commons {
    pub(crate) board: Arc<Board>,
    pub(crate) prober: Arc<dyn Prober>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) doubt: Arc<Doubt>,
    pub(crate) recorder: Recorder,
    pub(crate) policy: Policy,
    pub(crate) meters: Arc<Meters>,
    pub(crate) tempo: Arc<Tempo>,
    /// Which run of the process this is: microseconds of the epoch at its start.
    pub(crate) run: i64,
    /// Are clusters watched at all?
    pub(crate) enabled: bool,
}

impl Commons {
    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), wall: self.clock.wall(), beat: self.tempo.beat() }
    }
}

/// What happens to a cluster actor.
pub(crate) enum ClusterMessage {
    /// The timer fired that was armed as this number.
    Woke(u64),
    /// The peer closed a kept connection.
    ConnectionClosed,
    /// Somebody wants the result of a check that starts now.
    Asked(oneshot::Sender<CheckReport>),
    /// A check came back, with the session if it survived.
    Reported { number: u64, report: CheckReport, session: Option<Box<dyn Session>> },
    /// The cluster's spec changed.
    Retuned(Arc<Target>),
    /// Start nothing more; stop when the check in flight has ended.
    Finished,
}

/// What a cluster actor starts with.
pub(crate) struct ClusterArguments {
    pub(crate) commons: Arc<Commons>,
    pub(crate) target: Arc<Target>,
    pub(crate) status: Status,
    /// Check now, rather than at this cluster's place in the period?
    pub(crate) at_once: bool,
}

/// Everything mutable of a cluster actor.
pub(crate) struct ClusterState {
    commons: Arc<Commons>,
    target: Arc<Target>,
    /// The target as the session knows it.
    probed: Arc<Target>,
    machine: Machine,
    session: Option<Box<dyn Session>>,
    flight: Option<Flight>,
    timer: Timer,
    waiting: Vec<oneshot::Sender<CheckReport>>,
    rollup: Accumulator,
    suspect: bool,
    finishing: bool,
}

pub(crate) struct ClusterActor;

impl Actor for ClusterActor {
    type Msg = ClusterMessage;
    type State = ClusterState;
    type Arguments = ClusterArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ClusterMessage>,
        arguments: ClusterArguments,
    ) -> Result<ClusterState, ActorProcessingErr> {
        Ok(ClusterState::new(&myself, arguments))
    }

    async fn handle(
        &self,
        myself: ActorRef<ClusterMessage>,
        message: ClusterMessage,
        state: &mut ClusterState,
    ) -> Result<(), ActorProcessingErr> {
        state.handle(&myself, message);
        if state.finishing && state.flight.is_none() {
            myself.stop(None);
        }
        Ok(())
    }
}

impl ClusterState {
    fn new(myself: &ActorRef<ClusterMessage>, arguments: ClusterArguments) -> Self {
        let ClusterArguments { commons, target, status, at_once } = arguments;
        let at = commons.moment();
        let phase = target.id().spread();
        let machine = Machine::new(&commons.policy, target.cadence, target.generation(), status, phase, at, at_once);
        let mut timer = Timer::default();
        timer.arm(myself, machine.first_wake(), at.now);
        Self {
            rollup: Accumulator::new(at.wall),
            commons,
            probed: Arc::clone(&target),
            target,
            machine,
            session: None,
            flight: None,
            timer,
            waiting: Vec::new(),
            suspect: false,
            finishing: false,
        }
    }

    fn handle(&mut self, myself: &ActorRef<ClusterMessage>, message: ClusterMessage) {
        let at = self.commons.moment();
        match message {
            ClusterMessage::Woke(arm) => {
                if self.timer.fired(arm) {
                    let trust = if self.machine.is_reconsidering() { self.trust(at) } else { Trust::Sure };
                    self.step(myself, at, Input::Wake(trust));
                }
            }
            ClusterMessage::ConnectionClosed => self.step(myself, at, Input::Poked(PokeReason::ConnectionClosed)),
            ClusterMessage::Asked(reply) => {
                self.waiting.push(reply);
                self.step(myself, at, Input::Poked(PokeReason::Requested));
            }
            ClusterMessage::Reported { number, report, session } => self.reported(myself, at, number, &report, session),
            ClusterMessage::Retuned(target) => self.retuned(myself, at, target),
            ClusterMessage::Finished => {
                self.finishing = true;
                self.timer.disarm();
            }
        }
    }

    fn reported(
        &mut self,
        myself: &ActorRef<ClusterMessage>,
        at: Moment,
        number: u64,
        report: &CheckReport,
        session: Option<Box<dyn Session>>,
    ) {
        if self.flight.as_ref().is_none_or(|flight| flight.number != number) {
            return;
        }
        self.flight = None;
        self.session = session;
        self.commons.meters.checked(self.target.cluster.cluster_type, report);
        let blames_network = self.weigh_evidence(at, report);
        let trust = match (blames_network, self.machine.may_worsen()) {
            (false, _) => Trust::Sure,
            (true, true) => self.trust(at),
            // Nothing hangs on it: evidence is not gathered for what is down already or not confirmed yet.
            (true, false) => Trust::Wait,
        };
        self.step(myself, at, Input::Reported { number, report, trust });
        self.mark_suspect(blames_network && self.machine.suspect_since().is_some());
        let answered = std::mem::take(&mut self.waiting);
        if self.flight.is_some() {
            // They asked while this check was in flight: theirs has just started.
            self.waiting = answered;
        } else {
            for reply in answered {
                let _ = reply.send(*report);
            }
        }
    }

    /// Tells the fleet's evidence what this report shows of the network. True when it blames it.
    fn weigh_evidence(&self, at: Moment, report: &CheckReport) -> bool {
        match report.api_server {
            Outcome::NotRun(_) => false,
            Outcome::Failed { failure, .. } if failure.cause.is_network() => true,
            Outcome::Failed { .. } | Outcome::Healthy { .. } => {
                self.commons.doubt.evidence.passed(at.now);
                false
            }
        }
    }

    fn mark_suspect(&mut self, suspect: bool) {
        if self.suspect != suspect {
            self.suspect = suspect;
            self.commons.doubt.evidence.suspect(suspect);
        }
    }

    fn trust(&self, at: Moment) -> Trust {
        let started = self.machine.started_at();
        let since = self.machine.suspect_since().unwrap_or(started);
        self.commons.doubt.trust(at.now, since, started, self.commons.board.len())
    }

    fn retuned(&mut self, myself: &ActorRef<ClusterMessage>, at: Moment, target: Arc<Target>) {
        let recheck = !target.cluster.probes_alike(&self.target.cluster);
        let cadence = target.cadence;
        if recheck {
            self.flight = None;
        }
        self.target = target;
        let generation = self.target.generation();
        self.step(myself, at, Input::Retuned { cadence, generation, recheck });
    }

    fn step(&mut self, myself: &ActorRef<ClusterMessage>, at: Moment, input: Input<'_>) {
        let effects = self.machine.step(at, input);
        self.run(myself, at, effects);
    }

    /// Runs effects: record and announce, show, then start and arm.
    fn run(&mut self, myself: &ActorRef<ClusterMessage>, at: Moment, effects: Effects) {
        if let Some(lag) = effects.lag {
            self.commons.tempo.note(self.target.probes());
            self.commons.meters.scheduled(self.target.cluster.cluster_type, lag);
        }
        if effects.show {
            self.publish(at, &effects);
        }
        if self.finishing {
            return;
        }
        if let Some(start) = effects.start {
            self.timer.disarm();
            self.start(myself, at, start);
        } else if let Some(wake_at) = effects.wake_at {
            self.timer.arm(myself, wake_at, at.now);
        }
    }

    fn publish(&mut self, at: Moment, effects: &Effects) {
        let id = self.target.id();
        let status = Arc::new(self.machine.status().clone());
        let finished = effects.sample.and_then(|(passed, latency_ms)| self.rollup.add(at.wall, passed, latency_ms));
        let transition = effects.change.map(|change| Arc::new(self.transition(at, change)));
        if let Some(transition) = &transition {
            self.commons.meters.changed(transition);
        }
        let fresh_for = 2 * self.target.cadence.period + self.target.cadence.deadline;
        let run = self.commons.run;
        let rollups = [finished.and_then(|f| f.rollup(id, run)), self.rollup.rollup(id, run)];
        let observation = Observation { status: Arc::clone(&status), urgent: effects.record, transition, rollups };
        self.commons.recorder.observed(id, observation);
        let checked = if effects.sample.is_some() { Some(at.now) } else { None };
        self.commons.board.show(id, status, checked, fresh_for);
    }

    fn transition(&self, at: Moment, change: crate::health::Change) -> Transition {
        Transition {
            event_id: uuid::Uuid::now_v7(),
            cluster_id: self.target.id(),
            cluster_name: self.target.cluster.name.clone(),
            old_state: change.old_state,
            new_state: change.new_state,
            at: at.wall,
            health_score: self.machine.status().health_score,
            cause: change.cause,
            evidence: change.evidence,
        }
    }

    fn start(&mut self, myself: &ActorRef<ClusterMessage>, at: Moment, check: StartCheck) {
        if self.machine.status().state != State::Offline {
            self.commons.doubt.evidence.asked(at.now);
        }
        let session = match self.session.take() {
            Some(mut session) => {
                if !Arc::ptr_eq(&self.probed, &self.target) {
                    session.retune(Arc::clone(&self.target));
                }
                session
            }
            None => {
                let actor = myself.clone();
                let poke: Poke = Arc::new(move || drop(actor.cast(ClusterMessage::ConnectionClosed)));
                self.commons.prober.open(Arc::clone(&self.target), poke, Some(Arc::clone(&self.commons.doubt.vigil)))
            }
        };
        self.probed = Arc::clone(&self.target);
        self.flight = Some(Flight::start(myself.clone(), self.target.cadence, check, session));
    }
}

impl Drop for ClusterState {
    fn drop(&mut self) {
        self.mark_suspect(false);
    }
}
