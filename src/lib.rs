//! fleetbeat: how the engine touches the world.

pub mod bus;
pub mod config;
pub mod credentials;
pub mod probes;
pub mod registration;
pub mod store;
