//! The fleetbeat engine: health rules, actors and the ports through which they touch the world.
//!
//! This crate opens no socket and no file. It says what is true ([`health`]), who acts (the actors), and what it needs
//! from outside ([`ports`]).

pub mod board;
mod cluster;
pub mod doubt;
pub mod engine;
pub mod event;
mod fanout;
pub mod health;
mod meters;
pub mod outbox;
pub mod ports;
pub mod recorder;
mod registry;
pub mod roll;
pub mod rollup;
pub mod target;
mod tempo;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod watch;

pub use watch::Canaries;
