//! What is true: pure health rules. No runtime, no clock, no I/O; every decision is a function of its arguments.

pub(crate) mod beat;
mod cause;
mod judge;
mod machine;
mod outcome;
mod pace;
pub mod score;
mod status;
mod step;
pub mod threshold;
mod transition;

pub use beat::Beat;
pub use cause::{Cause, Failure, NotRun};
pub use judge::{Sight, judge};
pub use machine::Machine;
pub use outcome::{CheckReport, Endpoint, Outcome};
pub use status::{Connectivity, Finding, Findings, Memory, State, Status};
pub use step::{Change, Effects, Input, Moment, PokeReason, StartCheck, Trust};
pub use transition::{Evidence, Transition};
