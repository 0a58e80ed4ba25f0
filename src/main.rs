//! fleetbeat.
fn main() {}
