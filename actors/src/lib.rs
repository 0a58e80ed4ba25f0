//! The fleetbeat engine.
