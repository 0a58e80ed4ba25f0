//! Silences and maintenance windows: when notifications about which clusters are held back and what happens to them counts for
//! nothing. They never touch the checks. Not here: sending notifications, and adding up uptime.

mod calendar;
mod desk;
mod schedule;
mod silence;

pub use calendar::{Calendar, Held};
pub use desk::{MAX_OPEN, MAX_SILENCES, SilenceError, Silences};
pub use schedule::{HORIZON, MAX_LENGTH, Schedule, Wrong};
pub use silence::{Silence, SilenceDraft, Standing};
