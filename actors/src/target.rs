//! What the engine watches of a cluster, and how: the cluster with the cadence and thresholds that apply to it.

use std::{sync::Arc, time::Duration};

use crate::roll::{Cluster, ClusterId, ClusterType};

/// How often, how patiently and how sceptically one cluster is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Time between the starts of two checks.
    pub period: Duration,
    /// Deadline of each probe: name resolution, connect, TLS, headers and body together.
    pub deadline: Duration,
    /// Reports in a row that must agree before the state worsens (at least 1).
    pub failure_threshold: u8,
    /// Reports in a row that must agree before the state improves (at least 1).
    pub success_threshold: u8,
    /// Delay before a worsening is looked at again on a fresh connection.
    pub recheck_delay: Duration,
}

/// The rules that apply to every cluster unless it overrides them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Cadence of hubs.
    pub hub: Cadence,
    /// Cadence of spokes.
    pub spoke: Cadence,
    /// Cadence of edge sites.
    pub edge: Cadence,
    /// Cadence of far-edge sites.
    pub far_edge: Cadence,
    /// This many state changes …
    pub flap_changes: usize,
    /// … within this time are flapping.
    pub flap_window: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let cadence = |period, deadline| Cadence {
            period: Duration::from_secs(period),
            deadline: Duration::from_secs(deadline),
            failure_threshold: 2,
            success_threshold: 1,
            recheck_delay: Duration::from_secs(2),
        };
        Self {
            hub: cadence(15, 5),
            spoke: cadence(30, 10),
            edge: cadence(60, 15),
            far_edge: cadence(120, 30),
            flap_changes: 4,
            flap_window: Duration::from_secs(600),
        }
    }
}

impl Policy {
    /// The cadence of a cluster type.
    pub const fn of_type(&self, cluster_type: ClusterType) -> Cadence {
        match cluster_type {
            ClusterType::Hub => self.hub,
            ClusterType::Spoke => self.spoke,
            ClusterType::Edge => self.edge,
            ClusterType::FarEdge => self.far_edge,
        }
    }

    /// The cadence of one cluster: its type's, with its own overrides. A deadline never exceeds the period.
    pub fn cadence(&self, cluster: &Cluster) -> Cadence {
        let base = self.of_type(cluster.cluster_type);
        let own = cluster.health_check;
        let seconds = |own: Option<u32>, base: Duration| own.map_or(base, |s| Duration::from_secs(u64::from(s.max(1))));
        let period = seconds(own.interval_seconds, base.period);
        Cadence {
            period,
            deadline: seconds(own.timeout_seconds, base.deadline).min(period),
            failure_threshold: own.failure_threshold.unwrap_or(base.failure_threshold).max(1),
            success_threshold: own.success_threshold.unwrap_or(base.success_threshold).max(1),
            recheck_delay: base.recheck_delay,
        }
    }

    /// What the engine watches of `cluster` under these rules.
    pub fn target(&self, cluster: Arc<Cluster>) -> Target {
        Target { cadence: self.cadence(&cluster), cluster }
    }
}

/// What the engine watches of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The cluster's entry of the registry.
    pub cluster: Arc<Cluster>,
    /// How it is checked.
    pub cadence: Cadence,
}

impl Target {
    /// The cluster's id.
    pub fn id(&self) -> ClusterId {
        self.cluster.id
    }

    /// How many probes a check has: the API server's and one for each further endpoint.
    pub fn probes(&self) -> u64 {
        let further = &self.cluster.endpoints;
        let further = [&further.prometheus_url, &further.tempo_url, &further.loki_url];
        1 + further.into_iter().flatten().count() as u64
    }

    /// The version of the spec that is watched.
    pub fn generation(&self) -> i64 {
        self.cluster.generation
    }
}
