//! Counting what the spokes serve, and staying within the descriptors of the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::clock::Clock;

/// Counters of one server.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub accepted: AtomicU64,
    pub open: AtomicI64,
    pub handshakes: AtomicU64,
    pub resumed: AtomicU64,
    pub handshake_failures: AtomicU64,
    pub requests: AtomicU64,
    pub with_credentials: AtomicU64,
    /// Milliseconds since the fleet's start, plus one; 0 = never.
    pub last_request: AtomicU64,
    /// Connections closed unserved because descriptors ran out.
    pub turned_away: AtomicU64,
}

/// What one server, one spoke or a fleet has served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// TLS handshakes finished.
    pub handshakes: u64,
    /// …of which resumed a session.
    pub resumed: u64,
    /// TLS handshakes given up, mostly by the client.
    pub handshake_failures: u64,
    /// Requests read.
    pub requests: u64,
    /// Requests that carried an Authorization header.
    pub with_credentials: u64,
    /// When the last request came, in milliseconds since the fleet's start.
    pub last_request_ms: Option<u64>,
    /// Connections closed unserved because descriptors ran out; anything but 0 spoils a measurement.
    pub turned_away: u64,
}

impl Counters {
    pub fn read(&self) -> Served {
        Served {
            accepted: self.accepted.load(Relaxed),
            open: u64::try_from(self.open.load(Relaxed)).unwrap_or(0),
            handshakes: self.handshakes.load(Relaxed),
            resumed: self.resumed.load(Relaxed),
            handshake_failures: self.handshake_failures.load(Relaxed),
            requests: self.requests.load(Relaxed),
            with_credentials: self.with_credentials.load(Relaxed),
            last_request_ms: self.last_request.load(Relaxed).checked_sub(1),
            turned_away: self.turned_away.load(Relaxed),
        }
    }
}

impl std::ops::AddAssign for Served {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.open += other.open;
        self.handshakes += other.handshakes;
        self.resumed += other.resumed;
        self.handshake_failures += other.handshake_failures;
        self.requests += other.requests;
        self.with_credentials += other.with_credentials;
        self.last_request_ms = self.last_request_ms.max(other.last_request_ms);
        self.turned_away += other.turned_away;
    }
}

/// Connections accepted by a whole fleet, by the second of the epoch; seconds without any are left out.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<BTreeMap<i64, u64>>);

impl Pace {
    pub fn accepted(&self) {
        *self.0.lock().entry(Clock::wall().timestamp()).or_default() += 1;
    }

    pub fn read(&self) -> BTreeMap<i64, u64> {
        self.0.lock().clone()
    }
}

/// Descriptors the fleet may use for connections.
#[derive(Debug)]
pub(super) struct Descriptors {
    left: AtomicI64,
}

/// One descriptor in use; dropping it gives it back.
pub(super) struct Descriptor(Arc<Descriptors>);

impl Descriptors {
    pub fn new(connections: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(i64::try_from(connections).unwrap_or(i64::MAX)) })
    }

    pub fn take(self: &Arc<Self>) -> Option<Descriptor> {
        if self.left.fetch_sub(1, Relaxed) > 0 {
            return Some(Descriptor(Arc::clone(self)));
        }
        self.left.fetch_add(1, Relaxed);
        None
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Relaxed);
    }
}

/// Raises the soft limit of open files to the hard one and returns it.
pub(super) fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => hard,
        Err(_) => limit.current.unwrap_or(hard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_run_out_and_come_back() {
        let descriptors = Descriptors::new(2);
        let (one, two) = (descriptors.take(), descriptors.take());
        assert!(one.is_some() && two.is_some() && descriptors.take().is_none());
        drop(one);
        assert!(descriptors.take().is_some());
    }
}
