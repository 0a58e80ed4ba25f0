//! Simulated spokes.
