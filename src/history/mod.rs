//! History of one cluster: what a window of time was spent in. Pure.

mod uptime;

pub use uptime::{Account, Course, Step, Window, account};
