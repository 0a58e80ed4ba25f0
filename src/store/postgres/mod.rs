//! The store in PostgreSQL, schema `clusters`: what production uses.

mod audit;
mod clusters;
mod columns;
mod connect;
mod dialect;
mod events;
mod ledger;
mod pool;
mod sole;
mod translate;

pub(super) use connect::open;
