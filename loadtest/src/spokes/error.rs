//! What can go wrong with a fleet, told so that the reader knows what to change.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::role::Scope;

/// A fleet could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The process may not open as many files as the fleet needs.
    #[error(
        "{spokes} spokes need {needed} file descriptors ({listeners} listeners, {connections} connections, \
         {reserve} for the rest) but this process may open {limit}: serve fewer spokes, give them fewer \
         endpoints (--endpoints none), or split the fleet over processes (--first)"
    )]
    Descriptors {
        /// Spokes asked for.
        spokes: usize,
        /// Descriptors that takes.
        needed: u64,
        /// …of which listeners.
        listeners: u64,
        /// …of which connections expected at once.
        connections: u64,
        /// …of which kept for everything else in the process.
        reserve: u64,
        /// What the hard limit allows.
        limit: u64,
    },
    /// The addresses would leave 127.0.0.0/8.
    #[error("{count} spokes from {base} leave 127.0.0.0/8: start lower")]
    Addresses {
        /// The first address.
        base: Ipv4Addr,
        /// Spokes asked for.
        count: usize,
    },
    /// A fleet needs at least one spoke.
    #[error("a fleet has at least one spoke")]
    Empty,
    /// A spoke's address is taken or not usable.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Making certificates failed.
    #[error("cannot make certificates: {0}")]
    Certificates(String),
    /// The truth log cannot be written.
    #[error("cannot write the truth log: {0}")]
    Truth(io::Error),
    /// A change names a spoke the fleet does not have.
    #[error("no spoke is called `{0}`")]
    NoSuchSpoke(String),
    /// A change names a role the spoke does not have.
    #[error("spoke `{spoke}` has no {role}")]
    NoSuchRole {
        /// The spoke.
        spoke: String,
        /// What it lacks.
        role: Scope,
    },
    /// The fleet has been stopped.
    #[error("the fleet has been stopped")]
    Stopped,
    /// A thread or runtime could not be started.
    #[error("cannot start a runtime: {0}")]
    Runtime(io::Error),
    /// The control API is for this machine only.
    #[error("the control API listens on loopback only, not on {0}")]
    ControlAddress(SocketAddr),
}
