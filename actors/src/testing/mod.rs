//! Hand-written fakes with scenarios, for tests of the engine and of what stands on it.

mod fleet;
mod memory;

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    ports::Clock,
    roll::{CheckOverrides, Cluster, ClusterId, ClusterType, Endpoints, Environment, Platform},
};

pub use fleet::{Behaviour, FakeFleet};
pub use memory::{MemoryPublisher, MemoryStore};

/// Some instant to count from.
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A clock whose wall runs along with tokio's (pausable) clock, from a fixed day.
#[derive(Debug)]
pub struct TestClock {
    base: Instant,
}

impl Default for TestClock {
    fn default() -> Self {
        Self { base: instant() }
    }
}

impl Clock for TestClock {
    fn wall(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.now() - self.base).unwrap_or_default();
        DateTime::from_timestamp_nanos(1_800_000_000_000_000_000) + elapsed
    }
}

/// A spoke of that name, with an API server only.
pub fn cluster(name: &str) -> Cluster {
    let now = DateTime::from_timestamp_nanos(1_800_000_000_000_000_000);
    Cluster {
        id: ClusterId::generate(),
        name: name.to_owned(),
        display_name: None,
        api_server_url: format!("https://{name}.example:6443"),
        cluster_type: ClusterType::Spoke,
        platform: Platform::Openshift,
        platform_version: None,
        region: None,
        environment: Environment::Development,
        labels: std::collections::BTreeMap::new(),
        endpoints: Endpoints::default(),
        ca_bundle: None,
        tls_server_name: None,
        health_check: CheckOverrides::default(),
        source: None,
        capabilities: None,
        generation: 1,
        created_by: None,
        created_at: now,
        updated_at: now,
    }
}

/// `count` spokes, `spoke-0` and on.
pub fn clusters(count: usize) -> Vec<Arc<Cluster>> {
    (0..count).map(|i| Arc::new(cluster(&format!("spoke-{i}")))).collect()
}
