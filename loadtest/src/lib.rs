//! The load harness of fleetbeat: simulated spoke fleets, scenarios, measurement. Speaks only the wire and depends on
//! nothing of the product.

pub mod clock;
pub mod follow;
pub mod http;
pub mod judge;
pub mod report;
pub mod resp;
pub mod run;
pub mod scenario;
pub mod scrape;
pub mod spokes;
pub mod stage;
