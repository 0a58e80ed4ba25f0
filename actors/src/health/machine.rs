//! The machine: every decision about one cluster, as `step(moment, input) -> effects`. It owns no timer and does no I/O.

use std::{collections::VecDeque, time::Instant};

use chrono::{DateTime, Utc};

use super::{
    CheckReport, Endpoint, Evidence, NotRun, Outcome, Sight, State, Status, judge,
    pace::Pace,
    step::{Change, Effects, Input, Moment, PokeReason, StartCheck, Trust},
    threshold::{self, Weighing},
};
use crate::target::{Cadence, Policy};

/// How often a decision that waits for the fleet's evidence is looked at again.
const RECONSIDER: std::time::Duration = std::time::Duration::from_millis(250);

/// What the timer is armed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Regular,
    Recheck,
    Reconsider,
}

/// The health machine of one cluster.
#[derive(Clone, Debug)]
pub struct Machine {
    status: Status,
    pace: Pace,
    plan: Plan,
    generation: i64,
    number: u64,
    in_flight: Option<StartCheck>,
    /// A look that was asked for while a check was in flight.
    again: bool,
    /// A connection was closed while a check was in flight, which may have asked that endpoint before.
    closed: bool,
    /// Is this a second look, after one that told nothing?
    second_look: bool,
    /// When the first check of the present failing streak started.
    suspect_since: Option<Instant>,
    started_at: Instant,
    /// The last sight of the state that the streak leans to.
    leaning: Option<Sight>,
    changes: VecDeque<Instant>,
    flap_changes: usize,
    flap_window: std::time::Duration,
}

impl Machine {
    /// A machine that continues from `status`. `phase` spreads regular checks over the period; with `at_once` the
    /// first check is due now.
    pub fn new(
        policy: &Policy,
        cadence: Cadence,
        generation: i64,
        status: Status,
        phase: u64,
        at: Moment,
        at_once: bool,
    ) -> Self {
        let pace = Pace::new(cadence, phase, at, at_once);
        let age = |stamp: &DateTime<Utc>| (at.wall - *stamp).to_std().unwrap_or_default();
        let changes = status.memory.changes.iter().filter_map(|stamp| at.now.checked_sub(age(stamp))).collect();
        Self {
            status,
            pace,
            plan: Plan::Regular,
            generation,
            number: 0,
            in_flight: None,
            again: false,
            closed: false,
            second_look: false,
            suspect_since: None,
            started_at: at.now,
            leaning: None,
            changes,
            flap_changes: policy.flap_changes,
            flap_window: policy.flap_window,
        }
    }

    /// What is believed now.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// When the first wake is due.
    pub const fn first_wake(&self) -> Instant {
        self.pace.due()
    }

    /// Since when reports fail in a way that could worsen the state, if they do.
    pub const fn suspect_since(&self) -> Option<Instant> {
        self.suspect_since
    }

    /// Does a confirmed change wait for trust? Then the next wake wants to know it.
    pub fn is_reconsidering(&self) -> bool {
        self.plan == Plan::Reconsider
    }

    /// Could the next report confirm that the cluster is down? Only then does trust matter.
    pub fn may_worsen(&self) -> bool {
        let confirmed = self.status.memory.worse.saturating_add(1) >= self.pace.cadence().failure_threshold;
        match self.status.state {
            State::Unknown => true,
            State::Online | State::Degraded => confirmed,
            State::Offline => false,
        }
    }

    /// When the last check started.
    pub const fn started_at(&self) -> Instant {
        self.started_at
    }

    /// One step.
    pub fn step(&mut self, at: Moment, input: Input<'_>) -> Effects {
        let effects = self.react(at, input);
        if effects.show {
            // Whatever is shown is written as well, and a store takes only what is newer.
            self.status.version += 1;
        }
        effects
    }

    fn react(&mut self, at: Moment, input: Input<'_>) -> Effects {
        match (input, self.in_flight) {
            (Input::Wake(_), Some(_)) => Effects::default(),
            (Input::Wake(trust), None) => self.wake(at, trust),
            (Input::Poked(reason), flight) => self.poked(at, reason, flight.is_some()),
            (Input::Reported { number, report, trust }, Some(flight)) if flight.number == number => {
                self.reported(at, report, trust)
            }
            (Input::Reported { .. }, _) => Effects::default(),
            (Input::Retuned { cadence, generation, recheck }, _) => self.retuned(at, cadence, generation, recheck),
        }
    }

    fn wake(&mut self, at: Moment, trust: Trust) -> Effects {
        match self.plan {
            Plan::Regular => match self.pace.wake(at) {
                Ok(lag) => Effects { lag: Some(lag), ..self.start(at, false) },
                Err(next) => Effects { wake_at: Some(next), ..Effects::default() },
            },
            Plan::Recheck => self.start(at, true),
            Plan::Reconsider => {
                let mut effects = Effects::default();
                match self.leaning {
                    Some(sight) => self.conclude(at, sight, trust, &mut effects),
                    None => self.plan(at, Plan::Regular, &mut effects),
                }
                effects
            }
        }
    }

    fn start(&mut self, at: Moment, fresh: bool) -> Effects {
        self.number += 1;
        self.plan = Plan::Regular;
        self.started_at = at.now;
        let check = StartCheck { number: self.number, fresh };
        self.in_flight = Some(check);
        Effects { start: Some(check), ..Effects::default() }
    }

    fn poked(&mut self, at: Moment, reason: PokeReason, busy: bool) -> Effects {
        if reason == PokeReason::ConnectionClosed && (self.is_alert() || !self.pace.afford_poke(at.now)) {
            return Effects::default();
        }
        if busy {
            match reason {
                PokeReason::Requested => self.again = true,
                PokeReason::ConnectionClosed => self.closed = true,
            }
            return Effects::default();
        }
        self.start(at, self.suspect_since.is_some())
    }

    /// Is a look due soon anyway, which sees whatever the end of a connection could tell? One at once would confirm a streak too soon.
    fn is_alert(&self) -> bool {
        self.closed || self.plan == Plan::Recheck
    }

    fn retuned(&mut self, at: Moment, cadence: Cadence, generation: i64, recheck: bool) -> Effects {
        self.generation = generation;
        if self.pace.retune(cadence, at.now) || recheck {
            self.forget_streak();
            return Effects { show: true, ..self.start(at, recheck) };
        }
        Effects { show: true, ..Effects::default() }
    }

    fn reported(&mut self, at: Moment, report: &CheckReport, trust: Trust) -> Effects {
        self.in_flight = None;
        let mut effects = Effects::default();
        match judge(report, &self.status.findings) {
            Err(reason) => {
                effects.not_run = Some(reason);
                let plan = self.plan_after_nothing(reason);
                self.plan(at, plan, &mut effects);
            }
            Ok(sight) => self.seen(at, report, sight, trust, &mut effects),
        }
        let closed = std::mem::take(&mut self.closed) && self.plan == Plan::Regular;
        if std::mem::take(&mut self.again) || closed {
            let again = self.start(at, self.suspect_since.is_some());
            effects.start = again.start;
            effects.wake_at = None;
        }
        effects
    }

    /// Takes in a report that says something, and asks again soon for what it left out.
    fn seen(&mut self, at: Moment, report: &CheckReport, sight: Sight, trust: Trust, effects: &mut Effects) {
        self.stamp(at, &sight, effects);
        if self.leaves_suspicion(report, &sight) {
            // The API server answered, whatever it did before.
            self.status.memory.leaning = Some(State::Degraded);
        } else {
            self.weigh(at, sight, trust, effects);
        }
        let plan = report.left_out().map(|reason| self.plan_after_nothing(reason));
        self.second_look &= plan.is_some();
        if plan == Some(Plan::Recheck) && self.plan == Plan::Regular {
            self.plan(at, Plan::Recheck, effects);
        }
    }

    /// Is nothing amiss in this report only because an endpoint was not asked that failed before in this streak? Then it neither
    /// confirms the streak nor ends it.
    fn leaves_suspicion(&self, report: &CheckReport, sight: &Sight) -> bool {
        if self.status.memory.worse == 0 || (self.status.state, sight.state) != (State::Online, State::Online) {
            return false;
        }
        let suspected = |endpoint| self.leaning.is_none_or(|leaning| leaning.findings.is_failing(endpoint));
        let not_asked = |endpoint| matches!(report.outcome(endpoint), Some(Outcome::NotRun(_)));
        Endpoint::ALL.into_iter().any(|endpoint| not_asked(endpoint) && suspected(endpoint))
    }

    /// What did not run tells nothing. Who is suspected is looked at again soon, and so, once, is who failed while the process had
    /// no time: it may well be down, and a period is long. For want of capacity nobody is.
    fn plan_after_nothing(&mut self, reason: NotRun) -> Plan {
        let had_no_time = matches!(reason, NotRun::Stalled | NotRun::Abandoned);
        self.second_look = had_no_time && !self.second_look;
        if self.second_look || self.suspect_since.is_some() { Plan::Recheck } else { Plan::Regular }
    }

    /// Stamps what every check that ran tells, whatever it is weighed to.
    fn stamp(&mut self, at: Moment, sight: &Sight, effects: &mut Effects) {
        let (passed, latency_ms) = sight.findings.api_server.map_or((false, 0), |f| (f.healthy, f.latency_ms));
        self.status.last_check_at = Some(at.wall);
        self.status.latency_ms = Some(latency_ms);
        if passed {
            self.status.last_success_at = Some(at.wall);
        }
        if self.status.observed_generation != self.generation {
            self.status.observed_generation = self.generation;
            effects.record = true;
        }
        effects.sample = Some((passed, latency_ms));
        effects.show = true;
    }

    fn weigh(&mut self, at: Moment, sight: Sight, trust: Trust, effects: &mut Effects) {
        let before = (self.status.memory.worse, self.status.memory.better);
        let cadence = self.pace.cadence();
        let (failures, successes) = (cadence.failure_threshold, cadence.success_threshold);
        let weighing = threshold::weigh(&mut self.status.memory, self.status.state, sight.state, failures, successes);
        let after = (self.status.memory.worse, self.status.memory.better);
        effects.record |= before != after;
        if sight.state <= self.status.state && self.status.state != State::Unknown {
            self.suspect_since = None;
        } else {
            self.suspect_since.get_or_insert(self.started_at);
        }
        match weighing {
            Weighing::Same => self.settle(at, sight, effects),
            Weighing::WouldImprove => {
                self.lean(sight);
                self.plan(at, Plan::Regular, effects);
            }
            Weighing::WouldWorsen => {
                self.lean(sight);
                self.plan(at, Plan::Recheck, effects);
            }
            Weighing::Change(state) => {
                self.lean(sight);
                match self.leaning.filter(|leaning| leaning.state == state) {
                    Some(leaning) => {
                        self.conclude(at, leaning, trust, effects);
                        // The last report said more than all of them: another change begins with it.
                        if effects.change.is_some() && sight.state != state {
                            self.begin_streak_with(at, sight, effects);
                        }
                    }
                    // It was carried over a restart and leans to a state whose sight is not remembered.
                    None => self.begin_streak_with(at, sight, effects),
                }
            }
        }
    }

    /// Remembers the sight that a confirmed streak will be concluded from.
    fn lean(&mut self, sight: Sight) {
        if self.status.memory.leaning.is_none_or(|leaning| leaning == sight.state) {
            self.leaning = Some(sight);
        }
    }

    /// A streak of which this is the first report.
    fn begin_streak_with(&mut self, at: Moment, sight: Sight, effects: &mut Effects) {
        threshold::forget(&mut self.status.memory);
        self.status.memory.leaning = Some(sight.state);
        let worse = sight.state > self.status.state;
        self.status.memory.worse = u8::from(worse);
        self.status.memory.better = u8::from(!worse);
        self.leaning = Some(sight);
        if worse {
            self.suspect_since.get_or_insert(self.started_at);
        }
        self.plan(at, if worse { Plan::Recheck } else { Plan::Regular }, effects);
    }

    /// A change is confirmed; it happens unless it is a worsening that the monitor's own network could explain.
    fn conclude(&mut self, at: Moment, sight: Sight, trust: Trust, effects: &mut Effects) {
        let worsens = sight.state > self.status.state;
        match (worsens && sight.blames_network(), trust) {
            (false, _) | (true, Trust::Sure) => self.change(at, sight, effects),
            (true, Trust::Wait) => self.plan(at, Plan::Reconsider, effects),
            (true, Trust::Hold) => {
                effects.show = true;
                self.status.held = true;
                self.plan(at, Plan::Regular, effects);
            }
        }
    }

    fn change(&mut self, at: Moment, sight: Sight, effects: &mut Effects) {
        let memory = &self.status.memory;
        let evidence =
            Evidence { check: self.number, reports: memory.worse.max(memory.better).max(1), findings: sight.findings };
        effects.change = Some(Change {
            old_state: self.status.state,
            new_state: sight.state,
            cause: sight.findings.worst(),
            evidence,
        });
        self.status.state = sight.state;
        self.status.since = at.wall;
        self.changes.push_back(at.now);
        self.status.memory.changes.push(at.wall);
        self.settle(at, sight, effects);
        effects.record = true;
    }

    /// Adopts a sight that agrees with the state: findings, score, connectivity; the streak ends.
    fn settle(&mut self, at: Moment, sight: Sight, effects: &mut Effects) {
        let status = &mut self.status;
        let verdicts =
            |findings: &super::Findings| Endpoint::ALL.map(|e| findings.of(e).map(|f| (f.healthy, f.failure)));
        effects.record |= verdicts(&status.findings) != verdicts(&sight.findings) || status.held;
        status.findings = sight.findings;
        status.health_score = sight.health_score;
        status.connected = sight.connected;
        effects.show = true;
        self.forget_streak();
        self.expire_changes(at);
        self.plan(at, Plan::Regular, effects);
    }

    fn forget_streak(&mut self) {
        threshold::forget(&mut self.status.memory);
        self.status.held = false;
        self.leaning = None;
        self.suspect_since = None;
    }

    fn expire_changes(&mut self, at: Moment) {
        let window = self.flap_window;
        let old = self.changes.iter().take_while(|&&change| at.now.saturating_duration_since(change) > window).count();
        let surplus = self.changes.len().saturating_sub(self.flap_changes.max(1)).max(old);
        self.changes.drain(..surplus.min(self.changes.len()));
        let stamps = &mut self.status.memory.changes;
        stamps.drain(..stamps.len().saturating_sub(self.changes.len()));
        self.status.flapping = self.changes.len() >= self.flap_changes;
    }

    fn plan(&mut self, at: Moment, plan: Plan, effects: &mut Effects) {
        self.plan = plan;
        effects.wake_at = Some(match plan {
            Plan::Regular => self.pace.due(),
            Plan::Recheck => at.now + self.pace.recheck_delay(),
            Plan::Reconsider => at.now + RECONSIDER,
        });
    }
}
