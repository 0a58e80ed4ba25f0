//! The edge of the process, where strangers knock: connections, deadlines, certificates, and who is told to be calling.
#![cfg(test)]

mod connections;
mod crowd;
mod requests;
mod stand;
#[path = "../support/mod.rs"]
mod support;
