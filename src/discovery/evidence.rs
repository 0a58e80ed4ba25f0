//! What a cluster was seen to have: the raw facts from which its capabilities are concluded.

use super::{
    gap::Gap,
    interview::Listing,
    read::{Endpoint, Node, Route},
};

/// Facts about one cluster. Every one may be unknown for a reason of its own.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Version of Kubernetes.
    pub version: Result<String, Gap>,
    /// Groups of its API.
    pub groups: Result<Vec<String>, Gap>,
    /// Version of OpenShift or MicroShift; `None` when it is neither.
    pub release: Result<Option<String>, Gap>,
    /// Nodes.
    pub nodes: Listing<Node>,
    /// Namespaces.
    pub namespaces: Listing<String>,
    /// SR-IOV network node policies, by name.
    pub sriov: Listing<String>,
    /// PTP configurations, by name.
    pub ptp: Listing<String>,
    /// What runs in the namespaces that may hold GPU operators and observability.
    pub workloads: Vec<Workloads>,
    /// Namespaces of that kind that were not looked into, because there are too many.
    pub overlooked: bool,
    /// Routes of OpenShift in those namespaces.
    pub routes: Listing<Route>,
}

/// What runs in one namespace.
#[derive(Clone, Debug)]
pub struct Workloads {
    /// The namespace.
    pub namespace: String,
    /// Pods, by name.
    pub pods: Listing<String>,
    /// Services.
    pub services: Listing<Endpoint>,
}

/// The groups that tell of OpenShift, of which MicroShift has only some.
const OPENSHIFT: &str = "config.openshift.io";
const ROUTES: &str = "route.openshift.io";

impl Evidence {
    /// Does the cluster serve this group? `None` when that is not known.
    pub fn serves(&self, group: &str) -> Option<bool> {
        self.groups.as_ref().ok().map(|groups| groups.iter().any(|known| known == group))
    }

    /// Is it OpenShift?
    pub fn is_openshift(&self) -> Option<bool> {
        self.serves(OPENSHIFT)
    }

    /// Is it MicroShift: OpenShift's routes without its configuration?
    pub fn is_microshift(&self) -> Option<bool> {
        Some(!self.serves(OPENSHIFT)? && self.serves(ROUTES)?)
    }
}
