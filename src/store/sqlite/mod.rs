//! The store in SQLite: the embedded default, a file of its own.

mod audit;
mod clusters;
mod database;
mod dialect;
mod events;
mod ledger;

pub(super) use database::Database;
