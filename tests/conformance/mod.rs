//! The conformance suite of the store contract: every case takes a backend.

pub mod audit;
pub mod backend;
pub mod credentials;
pub mod discoveries;
pub mod history;
pub mod keys;
pub mod ledger;
pub mod log;
pub mod opening;
pub mod roll;
pub mod sample;
pub mod secrets;
pub mod sessions;
pub mod silences;
pub mod webhooks;

pub use backend::Backend;
