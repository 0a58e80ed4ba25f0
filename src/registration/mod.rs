//! Registration: the path of every write to the roll. Validates, gives the event its place, stores both in one
//! transaction, and only then shows the change on the board and pokes the engine.

mod capabilities;
mod change;
mod credentials;
mod error;
mod expiring;
mod given;
mod import;
mod invalid;
mod noticed;
mod reader;
mod source;
mod spec;
mod upload;
pub mod validate;
mod watch;
mod write;

pub use change::Change;
pub use credentials::{CredentialError, Proven, Verdict};
pub use error::WriteError;
pub use expiring::Told;
pub use given::Given;
pub use import::{ImportItem, ImportOutcome, MAX_IMPORT};
pub use invalid::{Detail, Invalid};
pub use source::{Foreign, claim};
pub use spec::Spec;
pub use upload::{Became, Terms, Upload};
pub use watch::Watch;
pub use write::{Precondition, Registration, Written};
