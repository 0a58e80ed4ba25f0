//! What is true: pure health rules. No runtime, no clock, no I/O; every decision is a function of its arguments.

mod cause;
mod outcome;
mod status;
mod transition;

pub use cause::{Cause, Failure, NotRun};
pub use outcome::{CheckReport, Endpoint, Outcome};
pub use status::{Connectivity, Finding, Findings, Memory, State, Status};
pub use transition::{Evidence, Transition};
