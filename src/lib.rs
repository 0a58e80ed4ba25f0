//! fleetbeat: how the engine touches the world.

pub mod config;
pub mod store;
