//! Tables whose statements are the same for both databases, or differ in a few words.

pub(super) mod audit;
pub(super) mod clusters;
pub(super) mod credentials;
pub(super) mod discoveries;
pub(super) mod engine;
pub(super) mod events;
pub(super) mod history;
pub(super) mod keys;
pub(super) mod ledger;
pub(super) mod secrets;
pub(super) mod sessions;
pub(super) mod silences;
pub(super) mod webhooks;
