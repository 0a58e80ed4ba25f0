//! Random histories through the health machine: what must hold whatever happens.
#![cfg(test)]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    health::{
        Beat, Cause, Change, CheckReport, Effects, Failure, Input, Machine, Moment, NotRun, Outcome, PokeReason, State,
        Status, Trust,
    },
    target::{Cadence, Policy},
    testing::instant,
};
use proptest::prelude::*;

/// One thing that happens, and how long after the one before.
#[derive(Clone, Debug)]
enum Happening {
    /// The check in flight comes back with this, if one is in flight.
    Report(Outcome, Option<Outcome>),
    /// A report of an older check arrives.
    LateReport(Outcome),
    /// The timer fires, if it is armed: at its time, or this much late.
    Wake(u64),
    Closed,
    Asked,
    Retuned {
        period: u64,
        recheck: bool,
    },
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failed = |cause, http_status| Outcome::failed(Failure { cause, http_status }, Duration::from_millis(7));
    prop_oneof![
        6 => Just(Outcome::Healthy { latency: Duration::from_millis(3) }),
        2 => Just(failed(Cause::Refused, None)),
        2 => Just(failed(Cause::Timeout, None)),
        1 => Just(failed(Cause::HttpStatus, Some(503))),
        1 => Just(failed(Cause::Unauthorized, Some(401))),
        1 => Just(failed(Cause::Throttled, Some(429))),
        2 => Just(Outcome::NotRun(NotRun::Stalled)),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (outcome(), prop::option::of(outcome())).prop_map(|(outcome, prometheus)| Happening::Report(outcome, prometheus)),
        1 => outcome().prop_map(Happening::LateReport),
        8 => prop_oneof![9 => 0..50_u64, 1 => 0..400_000_u64].prop_map(Happening::Wake),
        1 => Just(Happening::Closed),
        1 => Just(Happening::Asked),
        1 => (5..200_u64, any::<bool>()).prop_map(|(period, recheck)| Happening::Retuned { period, recheck }),
    ]
}

fn trust() -> impl Strategy<Value = Trust> {
    prop_oneof![6 => Just(Trust::Sure), 1 => Just(Trust::Wait), 1 => Just(Trust::Hold)]
}

/// A machine with the world around it: its timer, its check in flight, and what it said.
struct World {
    machine: Machine,
    base: Instant,
    now: Instant,
    armed: Option<Instant>,
    in_flight: Option<u64>,
    changes: Vec<Change>,
    /// Reports in a row, up to now, in which the API server was gone.
    gone: u32,
}

const FAILURES: u8 = 3;
const SOON: Duration = Duration::from_secs(3);
const LATE: Duration = Duration::from_secs(20);
const WELL: Outcome = Outcome::Healthy { latency: Duration::ZERO };
const REFUSED: Outcome = Outcome::failed(Failure::of(Cause::Refused), Duration::ZERO);
const STALLED: Outcome = Outcome::NotRun(NotRun::Stalled);

fn cadence(period: u64) -> Cadence {
    Cadence {
        period: Duration::from_secs(period),
        deadline: Duration::from_secs(5),
        failure_threshold: FAILURES,
        success_threshold: 2,
        recheck_delay: Duration::from_secs(2),
    }
}

fn beat(anchor: Instant) -> Beat {
    Beat { anchor, every: Duration::from_millis(250) }
}

impl World {
    fn new() -> Self {
        let base = instant();
        let at = Moment { now: base, wall: wall(base, base), beat: beat(base) };
        let machine = Machine::new(&Policy::default(), cadence(30), 1, Status::unknown(at.wall), 7, at, false);
        let armed = Some(machine.first_wake());
        Self { machine, base, now: base, armed, in_flight: None, changes: Vec::new(), gone: 0 }
    }

    fn step(&mut self, input: Input<'_>) -> Effects {
        let at = Moment { now: self.now, wall: wall(self.base, self.now), beat: beat(self.base) };
        let effects = self.machine.step(at, input);
        if let Some(check) = effects.start {
            self.in_flight = Some(check.number);
            self.armed = None;
        } else if let Some(wake_at) = effects.wake_at {
            self.armed = Some(wake_at);
        }
        self.changes.extend(effects.change);
        effects
    }

    /// How long until the next check.
    fn until_next(&self) -> Duration {
        self.armed.expect("another is due") - self.now
    }

    /// Runs the check that is due next, which finds this.
    fn check(&mut self, api_server: Outcome, prometheus: Option<Outcome>) {
        self.happen(&Happening::Wake(0), Trust::Sure);
        self.happen(&Happening::Report(api_server, prometheus), Trust::Sure);
    }

    fn happen(&mut self, happening: &Happening, trust: Trust) -> Option<Effects> {
        match *happening {
            Happening::Report(api_server, prometheus) => {
                let number = self.in_flight.take()?;
                self.now += Duration::from_millis(10);
                let report =
                    CheckReport { api_server, prometheus, tempo: None, loki: None, authenticated: true, fresh: false };
                match api_server {
                    Outcome::Failed { failure, .. }
                        if failure.cause.is_network() || failure.http_status == Some(503) =>
                    {
                        self.gone += 1;
                    }
                    Outcome::NotRun(_) => {}
                    Outcome::Healthy { .. } | Outcome::Failed { .. } => self.gone = 0,
                }
                Some(self.step(Input::Reported { number, report: &report, trust }))
            }
            Happening::LateReport(api_server) => {
                let report = CheckReport { api_server, ..CheckReport::not_run(NotRun::Stalled) };
                Some(self.step(Input::Reported { number: 0, report: &report, trust: Trust::Sure }))
            }
            Happening::Wake(late_ms) => {
                let armed = self.armed.take()?;
                self.now = self.now.max(armed) + Duration::from_millis(late_ms);
                Some(self.step(Input::Wake(trust)))
            }
            Happening::Closed => Some(self.step(Input::Poked(PokeReason::ConnectionClosed))),
            Happening::Asked => Some(self.step(Input::Poked(PokeReason::Requested))),
            Happening::Retuned { period, recheck } => {
                self.gone = if recheck { 0 } else { self.gone };
                let effects = self.step(Input::Retuned { cadence: cadence(period), generation: 2, recheck });
                if effects.start.is_some() {
                    self.gone = 0;
                }
                Some(effects)
            }
        }
    }
}

fn wall(base: Instant, now: Instant) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(1_800_000_000_000_000_000) + TimeDelta::from_std(now - base).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_never_wedges_and_its_story_has_no_holes(story in prop::collection::vec((happening(), trust()), 1..200)) {
        let mut world = World::new();
        let (mut state, mut version) = (State::Unknown, 0);
        for (happening, trust) in &story {
            let before = world.machine.status().clone();
            let gone_before = world.gone;
            let Some(effects) = world.happen(happening, *trust) else { continue };
            let after = world.machine.status();
            prop_assert!(world.in_flight.is_some() || world.armed.is_some(), "nothing would ever happen again");
            prop_assert!(after.version >= version);
            prop_assert!(effects.change.is_none() || effects.show, "a change that nobody sees");
            prop_assert!(*after == before || after.version > before.version, "a store would not take it");
            version = after.version;
            if let Some(change) = effects.change {
                prop_assert_eq!(change.old_state, state);
                prop_assert_ne!(change.new_state, state);
                prop_assert_ne!(change.new_state, State::Unknown);
                state = change.new_state;
                if change.new_state == State::Offline && change.old_state != State::Unknown {
                    prop_assert!(world.gone.max(gone_before) >= u32::from(FAILURES), "one failure was enough");
                }
                if change.new_state == State::Offline {
                    let blames_network = change.cause.is_some_and(|(_, failure)| failure.cause.is_network());
                    prop_assert!(!blames_network || *trust == Trust::Sure, "believed without trust");
                }
            }
            prop_assert_eq!(after.state, state);
            prop_assert_eq!(after.state == State::Unknown, after.health_score == 0 && after.findings.api_server.is_none());
            if let Happening::LateReport(_) = happening {
                prop_assert_eq!(effects, Effects::default());
                prop_assert_eq!(&before, after);
            }
            if let Happening::Report(Outcome::NotRun(_), _) = happening {
                prop_assert_eq!((before.state, before.health_score, &before.memory), (after.state, after.health_score, &after.memory));
            }
        }
    }

    #[test]
    fn a_cluster_that_stays_as_it_is_ends_in_the_state_it_deserves(
        story in prop::collection::vec((happening(), trust()), 0..60),
        (api_server, prometheus, expected) in prop_oneof![
            Just((WELL, Some(WELL), State::Online)),
            Just((REFUSED, Some(WELL), State::Offline)),
            Just((WELL, Some(REFUSED), State::Degraded)),
            Just((Outcome::failed(Failure::status(Cause::Forbidden, 403), Duration::ZERO), None, State::Degraded)),
        ],
    ) {
        let mut world = World::new();
        for (happening, trust) in &story {
            world.happen(happening, *trust);
        }
        for _ in 0..12 {
            world.check(api_server, prometheus);
        }
        prop_assert_eq!(world.machine.status().state, expected);
    }

    #[test]
    fn a_restart_continues_the_streak(failures in 1..FAILURES) {
        let mut world = World::new();
        world.check(WELL, None);
        for _ in 0..failures {
            world.check(REFUSED, None);
        }
        let stored = world.machine.status().clone();
        let at = Moment { now: world.now, wall: wall(world.base, world.now), beat: beat(world.base) };
        world.machine = Machine::new(&Policy::default(), cadence(30), 1, stored, 7, at, false);
        world.armed = Some(world.machine.first_wake());
        for round in failures..FAILURES {
            prop_assert_eq!(world.machine.status().state, State::Online, "round {}", round);
            world.check(REFUSED, None);
        }
        prop_assert_eq!(world.machine.status().state, State::Offline);
    }
}

/// Runs the check that is due next, which does not run for this reason; how long until the next one.
fn miss(world: &mut World, reason: NotRun) -> Duration {
    world.now = world.armed.expect("a check is due");
    let check = world.step(Input::Wake(Trust::Sure)).start.expect("it starts");
    let report = CheckReport::not_run(reason);
    world.step(Input::Reported { number: check.number, report: &report, trust: Trust::Sure });
    world.in_flight = None;
    world.until_next()
}

#[test]
fn what_failed_while_the_process_had_no_time_is_looked_at_once_more_before_its_period_is_over() {
    let mut world = World::new();
    for reason in [NotRun::Stalled, NotRun::Abandoned] {
        assert!(miss(&mut world, reason) < SOON, "{reason:?}");
        assert!(miss(&mut world, reason) > LATE, "{reason:?}: once is enough");
    }
    for reason in [NotRun::NoPermit, NotRun::NoDescriptor] {
        assert!(miss(&mut world, reason) > LATE, "{reason:?}: who has no room wants fewer checks, not more");
    }
}

#[test]
fn an_endpoint_that_could_not_be_asked_for_want_of_time_is_asked_once_more_before_the_period_is_over() {
    let mut world = World::new();
    world.check(WELL, Some(WELL));
    world.check(WELL, Some(STALLED));
    assert!(world.until_next() < SOON);
    world.check(WELL, Some(STALLED));
    assert!(world.until_next() > LATE, "once is enough");
    world.check(WELL, Some(Outcome::NotRun(NotRun::NoPermit)));
    assert!(world.until_next() > LATE, "who has no room wants fewer checks, not more");
}

#[test]
fn a_look_in_which_the_failing_endpoint_could_not_be_asked_neither_confirms_nor_clears_it() {
    let mut world = World::new();
    world.check(WELL, Some(WELL));
    let died = world.now;
    for _ in 1..FAILURES {
        world.check(WELL, Some(REFUSED));
        world.check(WELL, Some(STALLED));
        assert_eq!(world.machine.status().state, State::Online);
        assert!(world.until_next() < SOON);
    }
    world.check(WELL, Some(REFUSED));
    assert_eq!(world.machine.status().state, State::Degraded);
    assert!(world.now - died < Duration::from_secs(30 + 2 * 5), "a period and rechecks: {:?}", world.now - died);
}

#[test]
fn an_api_server_that_answers_is_cleared_whatever_could_not_be_asked() {
    let mut world = World::new();
    world.check(WELL, Some(WELL));
    for _ in 0..4 {
        for _ in 1..FAILURES {
            world.check(REFUSED, Some(WELL));
        }
        world.check(WELL, Some(STALLED));
        assert_eq!((world.machine.status().state, world.machine.status().memory.worse), (State::Online, 0));
    }
    for _ in 1..FAILURES {
        world.check(REFUSED, Some(REFUSED));
    }
    world.check(WELL, Some(STALLED));
    world.check(REFUSED, Some(REFUSED));
    assert_ne!(world.machine.status().state, State::Offline, "it answered in between");
}

#[test]
fn what_dies_while_it_is_looked_at_is_not_shown_half_alive_for_a_period() {
    let mut world = World::new();
    world.check(WELL, Some(WELL));
    world.check(WELL, Some(REFUSED));
    world.check(REFUSED, Some(REFUSED));
    world.check(REFUSED, Some(REFUSED));
    assert_eq!(world.machine.status().state, State::Degraded, "all three agree on this");
    let shown = world.now;
    world.check(REFUSED, Some(REFUSED));
    world.check(REFUSED, Some(REFUSED));
    assert_eq!(world.machine.status().state, State::Offline, "the last three agree on this");
    assert!(world.now - shown < Duration::from_secs(5), "{:?}", world.now - shown);
}

#[test]
fn a_connection_that_closes_while_a_check_is_in_flight_is_looked_at_once_more_after_it() {
    let mut world = World::new();
    world.check(WELL, Some(WELL));
    world.happen(&Happening::Wake(0), Trust::Sure);
    world.happen(&Happening::Closed, Trust::Sure);
    world.happen(&Happening::Report(WELL, Some(WELL)), Trust::Sure);
    assert!(world.in_flight.is_some(), "the check may have asked that endpoint before it died");
    world.happen(&Happening::Report(WELL, Some(WELL)), Trust::Sure);
    assert!(world.in_flight.is_none(), "once is enough");
}

#[test]
fn endpoints_that_die_one_after_the_other_confirm_nothing_sooner_and_hide_nothing_longer_than_rechecks_take() {
    let mut world = World::new();
    world.check(WELL, Some(WELL));
    let died = world.now;
    world.happen(&Happening::Closed, Trust::Sure);
    world.happen(&Happening::Closed, Trust::Sure);
    world.happen(&Happening::Report(WELL, Some(REFUSED)), Trust::Sure);
    assert!(world.in_flight.is_none(), "a recheck is due soon");
    world.happen(&Happening::Closed, Trust::Sure);
    assert!(world.in_flight.is_none(), "a recheck is due soon");
    while world.machine.status().state != State::Offline {
        world.check(REFUSED, Some(REFUSED));
        assert!(
            world.now - died < Duration::from_secs(12),
            "{:?} and {:?}",
            world.now - died,
            world.machine.status().state
        );
    }
    assert!(world.now - died >= Duration::from_secs(4), "{:?}", world.now - died);
}
