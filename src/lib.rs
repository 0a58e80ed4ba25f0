//! fleetbeat: how the engine touches the world.

pub mod store;
