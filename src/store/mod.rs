//! What fleetbeat keeps: one contract, two backends.

mod contract;

pub use contract::{EventFilter, Gap, Retention, Store, StoredTransition};
