//! A step of the machine: what can happen to it, and what it asks for.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{Beat, CheckReport, Endpoint, Evidence, Failure, NotRun, State};
use crate::target::Cadence;

/// Now, on both clocks, and the beat.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic: decides.
    pub now: Instant,
    /// Wall clock: only stamps.
    pub wall: DateTime<Utc>,
    /// On which regular checks begin now.
    pub beat: Beat,
}

/// May a worsening that the monitor's own network could explain be believed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Yes: others are reached.
    Sure,
    /// Not known yet: evidence is being gathered.
    Wait,
    /// No: the monitor doubts itself; the state is held.
    Hold,
}

/// Why a cluster wants a look before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PokeReason {
    /// Its kept connection was closed by the peer. Bounded by a budget, so that a server that always closes costs one
    /// more check a period, never a storm.
    ConnectionClosed,
    /// Somebody asked.
    Requested,
}

/// What can happen to a machine.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The timer that the last effects asked for fired.
    Wake(Trust),
    /// A look before its time.
    Poked(PokeReason),
    /// Check `number` came back.
    Reported {
        /// As the effect said that started it.
        number: u64,
        /// What it found.
        report: &'a CheckReport,
        /// Consulted only when the report blames the network.
        trust: Trust,
    },
    /// The target's endpoints or cadence changed: what is in flight is void.
    Retuned {
        /// The cadence from now on.
        cadence: Cadence,
        /// The generation from now on.
        generation: i64,
        /// Must everything be probed anew (an endpoint changed)?
        recheck: bool,
    },
}

/// A check to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartCheck {
    /// Its number; a report with another one is late.
    pub number: u64,
    /// Over new connections?
    pub fresh: bool,
}

/// A confirmed change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// From.
    pub old_state: State,
    /// To.
    pub new_state: State,
    /// The deciding endpoint and cause.
    pub cause: Option<(Endpoint, Failure)>,
    /// What convinced.
    pub evidence: Evidence,
}

/// What a step asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effects {
    /// Start this check.
    pub start: Option<StartCheck>,
    /// Arm the one timer for this time, in place of what it was armed for.
    pub wake_at: Option<Instant>,
    /// The status changed: show it.
    pub show: bool,
    /// More than stamps changed: have it written soon.
    pub record: bool,
    /// Announce this.
    pub change: Option<Change>,
    /// A check that ran: did the API server pass, and how long did it take (milliseconds)?
    pub sample: Option<(bool, u32)>,
    /// How late a scheduled check woke.
    pub lag: Option<Duration>,
    /// A verdict that the monitor could not stand behind.
    pub not_run: Option<NotRun>,
}
