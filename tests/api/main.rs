//! The API as its callers meet it.
#![cfg(test)]

mod access;
mod apart;
mod audit;
mod bad_input;
mod clusters;
mod credentials;
mod discovery;
mod doors;
mod events;
mod forged;
mod house;
mod lists;
mod metrics;
mod past;
mod scope;
mod serving;
mod silences;
mod sockets;
mod sources;
mod status_page;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
