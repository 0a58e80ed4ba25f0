//! The fleetbeat engine: health rules, actors and the ports through which they touch the world.
//!
//! This crate opens no socket and no file. It says what is true ([`health`]), who acts (the actors), and what it needs
//! from outside ([`ports`]).

pub mod board;
pub mod doubt;
pub mod event;
pub mod health;
pub mod outbox;
pub mod ports;
pub mod roll;
pub mod rollup;
pub mod target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
