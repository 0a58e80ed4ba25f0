//! Peers: what a connection itself proves of who is at its other end. The listener says so; no header can.

use std::{net::SocketAddr, sync::Arc};

/// The other end of a connection. Stands in the extensions of every request that came over it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; none over the unix socket.
    pub address: Option<SocketAddr>,
    /// Names in the client certificate that the listener verified: the common name, DNS names, URIs. Empty without one.
    pub names: Arc<[String]>,
    /// Did it come over the unix socket?
    pub is_local_socket: bool,
}
