//! When the certificates end that watched servers show, as the last full handshake saw them.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use fleetbeat_actors::{health::Endpoint, roll::ClusterId};

/// Ends of serving certificates, seconds of the epoch.
#[derive(Debug, Default)]
pub(super) struct Serving {
    ends: DashMap<ClusterId, [Option<i64>; 4]>,
    changes: AtomicU64,
}

impl Serving {
    /// A handshake with an endpoint showed this end.
    pub(super) fn note(&self, id: ClusterId, endpoint: Endpoint, end: Option<i64>) {
        if let Some(slot) = Endpoint::ALL.iter().position(|known| *known == endpoint) {
            let was = std::mem::replace(&mut self.ends.entry(id).or_default()[slot], end);
            if was != end {
                self.changes.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// A number that grows whenever an end is another one than before.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The cluster is not watched any more.
    pub(super) fn forget(&self, id: ClusterId) {
        self.ends.remove(&id);
    }

    /// What is known of a cluster.
    pub(super) fn ends(&self, id: ClusterId) -> Vec<(Endpoint, DateTime<Utc>)> {
        let Some(ends) = self.ends.get(&id).map(|ends| *ends) else { return Vec::new() };
        let known = Endpoint::ALL.into_iter().zip(ends);
        known.filter_map(|(endpoint, end)| Some((endpoint, DateTime::from_timestamp(end?, 0)?))).collect()
    }
}
