//! From facts to capabilities. Pure. What is not known stays `None` with a reason; nothing is false that was not seen to
//! be so. A gap that may pass by itself leaves standing what was known before.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    capabilities::Capabilities,
    evidence::{Evidence, Workloads},
    gap::Gap,
    interview::Listing,
    read::Node,
    rules::{cnf_type, is_workload, mesh},
    suggest::suggest,
};

/// Products of GPUs and namespaces of network functions that are named, at most.
const MAX_PRODUCTS: usize = 32;
const MAX_CNF_NAMESPACES: usize = 50;

/// What the facts say, with what was known before where the asking failed for now.
pub fn conclude(evidence: &Evidence, before: Option<&Capabilities>) -> Capabilities {
    let mut now = Capabilities {
        suggested_endpoints: suggest(evidence),
        unknown: gaps(evidence).into_iter().map(|(step, gap)| (step.to_owned(), gap.shown(verb(step)))).collect(),
        ..Capabilities::default()
    };
    versions(&mut now, evidence);
    nodes(&mut now, evidence);
    network_functions(&mut now, evidence);
    observability(&mut now, evidence);
    if let Ok(groups) = &evidence.groups {
        let meshes: BTreeSet<&str> = groups.iter().filter_map(|group| mesh(group)).collect();
        now.has_service_mesh = Some(!meshes.is_empty());
        now.service_meshes = Some(meshes.into_iter().map(str::to_owned).collect());
    }
    if let Some(before) = before {
        keep(&mut now, before, evidence);
    }
    now
}

/// What is missing, by step.
pub fn gaps(evidence: &Evidence) -> Vec<(&'static str, Gap)> {
    let mut gaps = Vec::new();
    let mut note = |step, gap: Option<Gap>| gaps.extend(gap.map(|gap| (step, gap)));
    note("version", evidence.version.as_ref().err().copied());
    note("api_groups", evidence.groups.as_ref().err().copied());
    note("platform", evidence.release.as_ref().err().copied());
    note("nodes", evidence.nodes.gap);
    note("namespaces", evidence.namespaces.gap);
    note("sriov", evidence.sriov.gap);
    note("ptp", evidence.ptp.gap);
    note("pods", workload_gap(evidence, |found| found.pods.gap));
    note("services", workload_gap(evidence, |found| found.services.gap));
    note("routes", evidence.routes.gap);
    gaps
}

/// What a step wants to do.
fn verb(step: &str) -> &'static str {
    match step {
        "version" => "read the version",
        "api_groups" => "list the groups of the API",
        "platform" => "read the version of the platform",
        "nodes" => "list nodes",
        "namespaces" => "list namespaces",
        "sriov" => "list SR-IOV network node policies",
        "ptp" => "list PTP configurations",
        "pods" => "list pods",
        "services" => "list services",
        _ => "list routes",
    }
}

fn workload_gap(evidence: &Evidence, of: impl Fn(&Workloads) -> Option<Gap>) -> Option<Gap> {
    let too_many = evidence.overlooked.then_some(Gap::Endless);
    let unseen = evidence.namespaces.gap.map(|_| Gap::Depends);
    evidence.workloads.iter().find_map(of).or(unseen).or(too_many)
}

fn versions(now: &mut Capabilities, evidence: &Evidence) {
    now.kubernetes_version = evidence.version.as_ref().ok().cloned();
    now.platform_version = evidence.release.as_ref().ok().cloned().flatten();
    now.platform = match (evidence.is_openshift(), evidence.is_microshift()) {
        (Some(true), _) => Some("OPENSHIFT".to_owned()),
        (Some(false), Some(true)) => Some("MICROSHIFT".to_owned()),
        (Some(false), _) => Some("KUBERNETES".to_owned()),
        (None, _) => None,
    };
}

fn nodes(now: &mut Capabilities, evidence: &Evidence) {
    let count = |nodes: &[Node], is: fn(&Node) -> bool| nodes.iter().filter(|node| is(node)).count() as u64;
    if let Ok(nodes) = evidence.nodes.whole() {
        now.node_count = Some(nodes.len() as u64);
        now.ready_node_count = Some(count(nodes, |node| node.ready));
        now.gpu_node_count = Some(count(nodes, |node| node.has_gpu));
        now.gpu_count = Some(nodes.iter().map(|node| node.gpus).sum());
        now.gpu_types = Some(products(nodes));
    }
    now.has_gpu_operator = runs(evidence, &["gpu-operator"]);
    now.has_dcgm_exporter = runs(evidence, &["nvidia-dcgm-exporter", "dcgm-exporter"]);
    // Drivers and exporters run on nodes with GPUs only.
    let driven = runs(evidence, &["nvidia-driver-daemonset", "nvidia-device-plugin-daemonset"]);
    let seen = evidence.nodes.any(|node| node.has_gpu);
    let beside = (driven == Some(true) || now.has_dcgm_exporter == Some(true)).then_some(true);
    now.has_gpu_nodes = seen.or(beside);
}

fn products(nodes: &[Node]) -> BTreeMap<String, u64> {
    let mut products = BTreeMap::new();
    for node in nodes {
        let Some(product) = &node.product else { continue };
        if products.len() < MAX_PRODUCTS || products.contains_key(product) {
            *products.entry(product.clone()).or_default() += node.gpus;
        }
    }
    products
}

fn network_functions(now: &mut Capabilities, evidence: &Evidence) {
    let known = |listing: &Listing<String>| listing.whole().ok().map(|all| all.len() as u64);
    now.sriov_policy_count = known(&evidence.sriov);
    now.ptp_config_count = known(&evidence.ptp);
    let namespaces = evidence.namespaces.items.iter().filter(|name| cnf_type(name).is_some());
    let mut namespaces: Vec<String> = namespaces.cloned().collect();
    let types: BTreeSet<&str> = namespaces.iter().filter_map(|name| cnf_type(name)).collect();
    let found = !namespaces.is_empty() || !evidence.sriov.items.is_empty() || !evidence.ptp.items.is_empty();
    // A cluster without these APIs has no objects of them; one that does not let us look may have some.
    let looked = |listing: &Listing<String>| matches!(listing.gap, None | Some(Gap::Absent));
    let everywhere = evidence.namespaces.gap.is_none() && looked(&evidence.sriov) && looked(&evidence.ptp);
    now.has_cnf_workloads = if found { Some(true) } else { everywhere.then_some(false) };
    if evidence.namespaces.gap.is_none() {
        namespaces.sort_unstable();
        namespaces.truncate(MAX_CNF_NAMESPACES);
        now.cnf_types = Some(types.into_iter().map(str::to_owned).collect());
        now.cnf_namespaces = Some(namespaces);
    }
}

fn observability(now: &mut Capabilities, evidence: &Evidence) {
    let shipped = evidence.namespaces.items.iter().any(|name| name == "openshift-monitoring").then_some(true);
    now.has_prometheus = shipped.or(runs(evidence, &["prometheus", "prometheus-k8s", "kube-prometheus-stack"]));
    now.has_thanos = runs(evidence, &["thanos-querier", "thanos-query"]);
    now.has_tempo = runs(evidence, &["tempo"]);
    now.has_loki = runs(evidence, &["loki", "logging-loki"]);
}

/// Does one of these workloads run in any namespace that was looked into?
fn runs(evidence: &Evidence, workloads: &[&str]) -> Option<bool> {
    let is = |name: &str| workloads.iter().any(|workload| is_workload(name, workload));
    let mut complete = evidence.namespaces.gap.is_none() && !evidence.overlooked;
    for found in &evidence.workloads {
        let pods = found.pods.any(|name| is(name));
        let services = found.services.any(|service| is(&service.name));
        if pods == Some(true) || services == Some(true) {
            return Some(true);
        }
        complete &= pods.is_some() && services.is_some();
    }
    complete.then_some(false)
}

/// Keeps what was known before, where the asking failed for now.
fn keep(now: &mut Capabilities, before: &Capabilities, evidence: &Evidence) {
    let gaps = gaps(evidence);
    let failed = |steps: &[&str]| gaps.iter().any(|(step, gap)| steps.contains(step) && gap.passes());
    macro_rules! keep {
        ($($field:ident),+: $steps:expr) => {
            if failed(&$steps) {
                $(if now.$field.is_none() { now.$field.clone_from(&before.$field); })+
            }
        };
    }
    keep!(kubernetes_version: ["version"]);
    keep!(platform_version, platform, has_service_mesh, service_meshes: ["api_groups", "platform"]);
    keep!(node_count, ready_node_count, gpu_node_count, gpu_count, gpu_types, has_gpu_nodes: ["nodes"]);
    keep!(cnf_types, cnf_namespaces: ["namespaces"]);
    keep!(sriov_policy_count: ["sriov"]);
    keep!(ptp_config_count: ["ptp"]);
    keep!(has_cnf_workloads: ["namespaces", "sriov", "ptp"]);
    keep!(has_gpu_operator, has_dcgm_exporter, has_prometheus, has_thanos, has_tempo, has_loki:
        ["namespaces", "pods", "services"]);
    if failed(&["namespaces", "services", "routes"]) {
        let (now, before) = (&mut now.suggested_endpoints, before.suggested_endpoints.clone());
        now.prometheus_url = now.prometheus_url.take().or(before.prometheus_url);
        now.tempo_url = now.tempo_url.take().or(before.tempo_url);
        now.loki_url = now.loki_url.take().or(before.loki_url);
    }
}

#[cfg(test)]
#[path = "conclude_tests.rs"]
mod tests;
