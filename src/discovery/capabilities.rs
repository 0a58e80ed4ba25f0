//! What a cluster can do, as it is stored, shown and announced; and what counts as a change of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::gap::Unknown;

/// What a cluster can do. `null` is not known: `unknown` says why. `false` and 0 are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Capabilities {
    /// Version of Kubernetes.
    #[serde(default)]
    pub kubernetes_version: Option<String>,
    /// Version of OpenShift or MicroShift; null for other clusters.
    #[serde(default)]
    pub platform_version: Option<String>,
    /// `OPENSHIFT`, `MICROSHIFT` or `KUBERNETES`, as seen from its API.
    #[serde(default)]
    pub platform: Option<String>,
    /// Nodes.
    #[serde(default)]
    pub node_count: Option<u64>,
    /// Nodes that say that they are ready.
    #[serde(default)]
    pub ready_node_count: Option<u64>,
    /// Are there nodes with NVIDIA GPUs?
    #[serde(default)]
    pub has_gpu_nodes: Option<bool>,
    /// How many nodes have them.
    #[serde(default)]
    pub gpu_node_count: Option<u64>,
    /// How many GPUs there are (`nvidia.com/gpu`).
    #[serde(default)]
    pub gpu_count: Option<u64>,
    /// GPUs by product, where nodes are labelled with it.
    #[serde(default)]
    pub gpu_types: Option<BTreeMap<String, u64>>,
    /// Does the GPU Operator run?
    #[serde(default)]
    pub has_gpu_operator: Option<bool>,
    /// Does the DCGM exporter run?
    #[serde(default)]
    pub has_dcgm_exporter: Option<bool>,
    /// Are there network functions: their namespaces, SR-IOV policies, or PTP configurations?
    #[serde(default)]
    pub has_cnf_workloads: Option<bool>,
    /// Kinds of network functions: `vdu`, `vcu`, `upf`, `amf`, `smf`.
    #[serde(default)]
    pub cnf_types: Option<Vec<String>>,
    /// Their namespaces, at most 50.
    #[serde(default)]
    pub cnf_namespaces: Option<Vec<String>>,
    /// SR-IOV network node policies.
    #[serde(default)]
    pub sriov_policy_count: Option<u64>,
    /// PTP configurations.
    #[serde(default)]
    pub ptp_config_count: Option<u64>,
    /// Does Prometheus run?
    #[serde(default)]
    pub has_prometheus: Option<bool>,
    /// Does a Thanos querier run?
    #[serde(default)]
    pub has_thanos: Option<bool>,
    /// Does Tempo run?
    #[serde(default)]
    pub has_tempo: Option<bool>,
    /// Does Loki run?
    #[serde(default)]
    pub has_loki: Option<bool>,
    /// Is there a service mesh?
    #[serde(default)]
    pub has_service_mesh: Option<bool>,
    /// Which.
    #[serde(default)]
    pub service_meshes: Option<Vec<String>>,
    /// Endpoints that were seen and are not configured by this. Adopting one is up to you.
    #[serde(default)]
    pub suggested_endpoints: SuggestedEndpoints,
    /// What could not be found out, by step, and why.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Unknown>)]
    pub unknown: BTreeMap<String, Unknown>,
    /// When all this was last confirmed.
    #[serde(default)]
    pub discovered_at: Option<DateTime<Utc>>,
}

/// Endpoints that a cluster seems to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuggestedEndpoints {
    /// Prometheus or a Thanos querier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub prometheus_url: Option<String>,
    /// Tempo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tempo_url: Option<String>,
    /// Loki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub loki_url: Option<String>,
}

impl Capabilities {
    /// As stored; what cannot be read counts as nothing.
    pub fn read(stored: &serde_json::Value) -> Self {
        Self::deserialize(stored).unwrap_or_default()
    }

    /// Is everything known that was asked for?
    pub fn is_complete(&self) -> bool {
        self.unknown.values().all(|unknown| unknown.reason == "absent")
    }

    /// Do both say the same of the cluster? When it was found out, and what could not be found out this time, is
    /// something about the asking.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said = |one: &Self| {
            let lasting = ["forbidden", "absent"];
            let mut said = Self { discovered_at: None, ..one.clone() };
            said.unknown.retain(|_, unknown| lasting.contains(&unknown.reason.as_str()));
            said
        };
        said(self) == said(other)
    }

    /// Names of the fields in which both differ.
    pub fn changed_fields(&self, before: Option<&Self>) -> Vec<String> {
        let fields = |one: &Self| serde_json::to_value(one).ok().and_then(|value| value.as_object().cloned());
        let (now, before) = (fields(self).unwrap_or_default(), before.and_then(fields).unwrap_or_default());
        let about_asking = ["discovered_at", "unknown"];
        let differs =
            |field: &&String| now.get(*field) != before.get(*field) && !about_asking.contains(&field.as_str());
        now.keys().filter(differs).cloned().collect()
    }
}
