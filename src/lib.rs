//! fleetbeat.
