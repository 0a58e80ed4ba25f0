//! What facts make of a cluster: tests of [`super::conclude`].

use fleetbeat_actors::health::Cause;

use super::*;
use crate::discovery::{
    ask::Silence,
    read::{Endpoint, Route},
};

fn all<T>(items: Vec<T>) -> Listing<T> {
    Listing { items, gap: None }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// A plain cluster with nothing special.
fn plain() -> Evidence {
    Evidence {
        version: Ok("v1.33.1".to_owned()),
        groups: Ok(texts(&["apps", "rbac.authorization.k8s.io"])),
        release: Ok(None),
        nodes: all(vec![Node { ready: true, ..Node::default() }, Node::default()]),
        namespaces: all(texts(&["default", "kube-system"])),
        sriov: Listing::unknown(Gap::Absent),
        ptp: Listing::unknown(Gap::Absent),
        workloads: Vec::new(),
        overlooked: false,
        routes: Listing::default(),
    }
}

fn gpu_node(gpus: u64, product: &str) -> Node {
    Node { ready: true, has_gpu: true, gpus, product: Some(product.to_owned()) }
}

fn workloads(namespace: &str, pods: &[&str], services: &[(&str, u16)]) -> Workloads {
    let service = |(name, port): &(&str, u16)| Endpoint { name: (*name).to_owned(), ports: vec![(None, *port)] };
    Workloads {
        namespace: namespace.to_owned(),
        pods: all(texts(pods)),
        services: all(services.iter().map(service).collect()),
    }
}

const LATE: Gap = Gap::Silent(Silence::Failed(Cause::Timeout));

#[test]
fn a_plain_cluster_is_known_to_have_nothing_special() {
    let found = conclude(&plain(), None);
    assert_eq!((found.node_count, found.ready_node_count), (Some(2), Some(1)));
    assert_eq!((found.has_gpu_nodes, found.gpu_count), (Some(false), Some(0)));
    assert_eq!((found.has_cnf_workloads, found.has_prometheus), (Some(false), Some(false)));
    assert_eq!((found.has_service_mesh, found.platform.as_deref()), (Some(false), Some("KUBERNETES")));
    assert_eq!(found.unknown.keys().collect::<Vec<_>>(), ["ptp", "sriov"]);
    assert_eq!(found.unknown["sriov"].reason, "absent");
    assert_eq!(found.sriov_policy_count, None, "absent is not zero");
    assert!(found.is_complete());
}

#[test]
fn gpus_are_counted_by_product() {
    let nodes = all(vec![gpu_node(8, "A100"), gpu_node(4, "A100"), gpu_node(1, "L4"), Node::default()]);
    let found = conclude(&Evidence { nodes, ..plain() }, None);
    assert_eq!((found.has_gpu_nodes, found.gpu_node_count, found.gpu_count), (Some(true), Some(3), Some(13)));
    assert_eq!(found.gpu_types.unwrap(), BTreeMap::from([("A100".to_owned(), 12), ("L4".to_owned(), 1)]));
}

#[test]
fn a_thousand_products_are_not_all_named() {
    let nodes = all((0..1_000).map(|n| gpu_node(1, &format!("p{n}"))).collect());
    let found = conclude(&Evidence { nodes, ..plain() }, None);
    assert_eq!((found.gpu_types.unwrap().len(), found.gpu_count), (MAX_PRODUCTS, Some(1_000)));
}

#[test]
fn nothing_is_false_that_could_not_be_looked_at() {
    let refused = Evidence {
        nodes: Listing::unknown(Gap::Forbidden),
        namespaces: Listing::unknown(Gap::Forbidden),
        sriov: Listing::unknown(Gap::Forbidden),
        ptp: Listing::unknown(Gap::Forbidden),
        groups: Err(Gap::Forbidden),
        release: Err(Gap::Depends),
        ..plain()
    };
    let found = conclude(&refused, None);
    let all = [found.has_gpu_nodes, found.has_cnf_workloads, found.has_prometheus, found.has_thanos, found.has_tempo];
    assert_eq!(all, [None; 5]);
    assert_eq!((found.has_loki, found.has_service_mesh, found.has_gpu_operator), (None, None, None));
    assert_eq!((found.node_count, found.gpu_count, found.cnf_types.clone()), (None, None, None));
    assert_eq!(found.unknown["nodes"].reason, "forbidden");
    assert_eq!(found.unknown["nodes"].message, "the account may not list nodes (403)");
    assert!(!found.is_complete());
}

#[test]
fn an_exporter_tells_of_gpus_where_nodes_may_not_be_listed() {
    let found = conclude(
        &Evidence {
            nodes: Listing::unknown(Gap::Forbidden),
            workloads: vec![workloads("nvidia-gpu-operator", &["gpu-operator-7d9", "nvidia-dcgm-exporter-x2k"], &[])],
            ..plain()
        },
        None,
    );
    assert_eq!((found.has_gpu_nodes, found.gpu_count), (Some(true), None));
    assert_eq!((found.has_gpu_operator, found.has_dcgm_exporter), (Some(true), Some(true)));
}

#[test]
fn network_functions_are_seen_by_their_namespaces_and_by_what_they_need() {
    let found = conclude(&Evidence { namespaces: all(texts(&["du-a", "du-b", "upf-core", "x"])), ..plain() }, None);
    assert_eq!(found.cnf_types.unwrap(), ["upf", "vdu"]);
    assert_eq!(found.cnf_namespaces.unwrap(), ["du-a", "du-b", "upf-core"]);
    let found = conclude(&Evidence { sriov: all(texts(&["policy-1"])), ptp: all(Vec::new()), ..plain() }, None);
    assert_eq!(
        (found.has_cnf_workloads, found.sriov_policy_count, found.ptp_config_count),
        (Some(true), Some(1), Some(0))
    );
    let found = conclude(&Evidence { sriov: Listing::unknown(Gap::Forbidden), ..plain() }, None);
    assert_eq!(found.has_cnf_workloads, None);
}

#[test]
fn openshift_is_known_by_its_groups() {
    let openshift = Evidence {
        groups: Ok(texts(&["config.openshift.io", "route.openshift.io", "maistra.io", "networking.istio.io"])),
        release: Ok(Some("4.18.9".to_owned())),
        namespaces: all(texts(&["openshift-monitoring"])),
        workloads: vec![workloads("openshift-monitoring", &["prometheus-k8s-0"], &[("thanos-querier", 9_091)])],
        ..plain()
    };
    let found = conclude(&openshift, None);
    assert_eq!((found.platform.as_deref(), found.platform_version.as_deref()), (Some("OPENSHIFT"), Some("4.18.9")));
    assert_eq!((found.has_prometheus, found.has_thanos, found.has_loki), (Some(true), Some(true), Some(false)));
    assert_eq!(found.service_meshes.unwrap(), ["istio", "openshift-service-mesh"]);
    let url = "https://thanos-querier.openshift-monitoring.svc:9091";
    assert_eq!(found.suggested_endpoints.prometheus_url.as_deref(), Some(url));
    let route = Route { host: "thanos.apps.example.com".to_owned(), to: "thanos-querier".to_owned(), tls: true };
    let found = conclude(&Evidence { routes: all(vec![route]), ..openshift }, None);
    assert_eq!(found.suggested_endpoints.prometheus_url.as_deref(), Some("https://thanos.apps.example.com"));
    let microshift = Evidence { groups: Ok(texts(&["route.openshift.io"])), ..plain() };
    assert_eq!(conclude(&microshift, None).platform.as_deref(), Some("MICROSHIFT"));
}

#[test]
fn what_was_known_stays_through_a_failure_of_the_moment() {
    let before = conclude(&Evidence { nodes: all(vec![gpu_node(8, "A100")]), ..plain() }, None);
    let now = conclude(&Evidence { nodes: Listing::unknown(LATE), ..plain() }, Some(&before));
    assert_eq!((now.gpu_count, now.unknown["nodes"].reason.as_str()), (Some(8), "timeout"));
    assert!(now.says_the_same(&before), "nobody is told of a slow answer");
    assert!(!now.is_complete());
}

#[test]
fn what_may_no_longer_be_seen_is_no_longer_known() {
    let before = conclude(&Evidence { nodes: all(vec![gpu_node(8, "A100")]), ..plain() }, None);
    let now = conclude(&Evidence { nodes: Listing::unknown(Gap::Forbidden), ..plain() }, Some(&before));
    assert_eq!((now.gpu_count, now.has_gpu_nodes), (None, None));
    assert!(!now.says_the_same(&before));
    assert!(now.changed_fields(Some(&before)).contains(&"gpu_count".to_owned()));
}

#[test]
fn capabilities_come_back_from_the_store_as_they_were() {
    let found = conclude(&Evidence { nodes: all(vec![gpu_node(8, "A100")]), ..plain() }, None);
    assert_eq!(Capabilities::read(&serde_json::to_value(&found).unwrap()), found);
    let strange = Capabilities::read(
        &serde_json::json!({"has_gpu_nodes": true, "gpu_count": 8, "cnf_types": ["vdu"], "share": 0.25}),
    );
    assert_eq!((strange.has_gpu_nodes, strange.gpu_count), (Some(true), Some(8)));
}
