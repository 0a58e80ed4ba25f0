//! The load harness of fleetbeat: simulated spoke fleets, scenarios, measurement. Speaks only the wire and depends on
//! nothing of the product.

pub mod clock;
pub mod judge;
pub mod scenario;
pub mod spokes;
