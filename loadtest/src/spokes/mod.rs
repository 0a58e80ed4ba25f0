//! Simulated spokes: real listeners with real TLS on loopback addresses, behaving as told, with a log
//! of the truth. Knows nothing of fleetbeat; what a monitor should conclude is in [`expect`].

pub mod behaviour;
mod clock;
mod cluster;
mod connection;
pub mod control;
pub mod dice;
mod door;
pub mod error;
mod exchange;
pub mod expect;
pub mod fleet;
mod hostile;
pub mod options;
pub mod role;
pub mod script;
pub mod select;
pub mod spoke;
pub mod stats;
mod tls;
pub mod truth;
mod wire;

pub use behaviour::{Behaviour, CertificateFault, ResetAt};
pub use error::FleetError;
pub use expect::{Expected, State};
pub use fleet::{Change, Fleet, FleetHandle};
pub use options::{Endpoints, FleetOptions, Ports};
pub use role::{Role, Scope};
pub use script::{Playback, Script, ScriptOptions};
pub use select::Selector;
pub use spoke::{ClusterType, Endpoint, Registration, RegistrationFile, Spoke};
pub use stats::Served;
pub use truth::Truth;
