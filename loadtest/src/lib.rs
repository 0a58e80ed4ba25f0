//! The load harness of fleetbeat: simulated spoke fleets. Speaks only the wire and depends on nothing
//! of the product.

pub mod spokes;
