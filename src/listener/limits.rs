//! What a client may draw out of the listener.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How long half of anything may stay, so that it is gone within ten seconds on a busy machine, too.
const HALF: Duration = Duration::from_secs(9);

/// This machine.
const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// What a client may draw out.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for the head of a request, from its first byte; and for the first one of a connection, from when that was accepted.
    pub head_timeout: Duration,
    /// Time for a whole request with its body, from its first byte; longer by what `body_rate` allows for what has come.
    pub body_timeout: Duration,
    /// Bytes a second at which a body may come slowly for longer than `body_timeout`.
    pub body_rate: u32,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a client may not take in what it is sent.
    pub write_timeout: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// Connections of one address (one /64 of IPv6) at once; further ones are closed.
    pub connections_per_address: usize,
    /// Networks whose connections are not counted by address: proxies, which speak for many.
    pub uncounted: Vec<IpNet>,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Time for requests in flight when the process stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: HALF,
            head_timeout: HALF,
            body_timeout: HALF,
            body_rate: 16 * 1024,
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            head_bytes: 64 * 1024,
            headers: 100,
            connections: 4_096,
            connections_per_address: 256,
            uncounted: LOOPBACK.to_vec(),
            streams: 100,
            grace: Duration::from_secs(10),
        }
    }
}
