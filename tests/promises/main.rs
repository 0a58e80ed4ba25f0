//! The promises, shown on the real binary over simulated spokes with real TLS, real PostgreSQL and real Redis.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod house;
mod outages;
mod restarts;
mod watching;
