//! What a simulated cluster can do, as its API server tells those who ask for more than its health: nodes, namespaces,
//! custom resources, pods, services. Which of a few kinds it is, its address decides.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::wire::{Request, respond_json};

/// What a simulated cluster is furnished with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Furniture {
    /// Three nodes and nothing special.
    Plain,
    /// Two nodes with four GPUs each, and the GPU Operator.
    Gpu,
    /// Network functions, with SR-IOV and PTP.
    Cnf,
    /// Prometheus, Thanos, Tempo and Loki.
    Observability,
}

impl Furniture {
    /// Of ten clusters, one has GPUs, one network functions, two observability.
    fn of(address: IpAddr) -> Self {
        let IpAddr::V4(address) = address else { return Self::Plain };
        match address.to_bits() % 10 {
            1 => Self::Gpu,
            2 => Self::Cnf,
            3 | 4 => Self::Observability,
            _ => Self::Plain,
        }
    }

    fn namespaces(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["default", "kube-system"],
            Self::Gpu => &["default", "kube-system", "nvidia-gpu-operator"],
            Self::Cnf => &["default", "kube-system", "du-site1", "cu-site1"],
            Self::Observability => &["default", "kube-system", "openshift-monitoring", "observability"],
        }
    }

    fn pods(self, namespace: &str) -> &'static [&'static str] {
        match (self, namespace) {
            (Self::Gpu, "nvidia-gpu-operator") => &["gpu-operator-5c4b", "nvidia-dcgm-exporter-7kx2p"],
            (Self::Observability, "openshift-monitoring") => &["prometheus-k8s-0", "prometheus-k8s-1"],
            (Self::Observability, "observability") => &["tempo-distributor-0", "loki-ingester-0"],
            _ => &[],
        }
    }

    fn services(self, namespace: &str) -> &'static [(&'static str, u16)] {
        match (self, namespace) {
            (Self::Observability, "openshift-monitoring") => &[("thanos-querier", 9_091)],
            _ => &[],
        }
    }

    fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Cnf => &["apps", "sriovnetwork.openshift.io", "ptp.openshift.io"],
            Self::Plain | Self::Gpu | Self::Observability => &["apps"],
        }
    }
}

/// The answer to a question about what the cluster can do; nothing when it is none. Who may ask was seen to already.
pub(super) fn answer(address: IpAddr, request: &Request<'_>) -> Option<Vec<u8>> {
    let furniture = Furniture::of(address);
    let of_cnf = |name: &str| if furniture == Furniture::Cnf { list(vec![named(name)]) } else { list(vec![]) };
    let body = match request.path {
        "/apis" => groups(furniture),
        "/api/v1/nodes" => list((1..=3).map(|nth| node(furniture, nth)).collect()),
        "/api/v1/namespaces" if request.query != "limit=1" => names(furniture.namespaces()),
        "/apis/sriovnetwork.openshift.io/v1/sriovnetworknodepolicies" => of_cnf("policy-1"),
        "/apis/ptp.openshift.io/v1/ptpconfigs" => of_cnf("grandmaster"),
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => json!({ "status": { "allowed": true } }),
        path => in_namespace(furniture, path)?,
    };
    Some(respond_json(200, &body.to_string()))
}

fn in_namespace(furniture: Furniture, path: &str) -> Option<Value> {
    let (namespace, kind) = path.strip_prefix("/api/v1/namespaces/")?.split_once('/')?;
    match kind {
        "pods" => Some(names(furniture.pods(namespace))),
        "services" => {
            let one = |(name, port): &(&str, u16)| json!({ "metadata": { "name": name }, "spec": { "ports": [{ "name": "web", "port": port }] } });
            Some(list(furniture.services(namespace).iter().map(one).collect()))
        }
        _ => None,
    }
}

fn node(furniture: Furniture, nth: usize) -> Value {
    let mut node = named(&format!("node-{nth}"));
    node["status"] =
        json!({ "capacity": { "cpu": "16", "memory": "64Gi" }, "conditions": [{ "type": "Ready", "status": "True" }] });
    if furniture == Furniture::Gpu && nth < 3 {
        node["metadata"]["labels"] =
            json!({ "nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB" });
        node["status"]["capacity"]["nvidia.com/gpu"] = json!("4");
    }
    node
}

fn groups(furniture: Furniture) -> Value {
    let groups: Vec<Value> = furniture.groups().iter().map(|name| json!({ "name": name })).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

fn names(names: &[&str]) -> Value {
    list(names.iter().map(|name| named(name)).collect())
}

fn named(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

fn list(items: Vec<Value>) -> Value {
    json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "4711" }, "items": items })
}

#[cfg(test)]
mod tests {
    use super::super::wire::request;
    use super::*;

    fn ask(address: &str, path: &str) -> Option<Value> {
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let bytes = answer(address.parse().unwrap(), &request(text.as_bytes()).unwrap())?;
        let text = String::from_utf8(bytes).unwrap();
        Some(serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap())
    }

    #[test]
    fn the_address_decides_what_a_cluster_has() {
        let gpus = |address| {
            ask(address, "/api/v1/nodes?limit=50").unwrap()["items"][0]["status"]["capacity"]["nvidia.com/gpu"].clone()
        };
        let kinds: Vec<_> = (0..10).map(|last| Furniture::of(format!("127.20.0.{last}").parse().unwrap())).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == Furniture::Gpu).count(), 1);
        assert_eq!(kinds.iter().filter(|kind| **kind == Furniture::Plain).count(), 6);
        let at = kinds.iter().position(|kind| *kind == Furniture::Gpu).unwrap();
        assert_eq!(gpus(&format!("127.20.0.{at}")), "4");
    }

    #[test]
    fn a_health_check_and_strange_paths_are_left_to_others() {
        for path in ["/api/v1/namespaces?limit=1", "/readyz", "/api/v1/secrets", "/api/v1/namespaces/x/secrets"] {
            assert_eq!(ask("127.20.0.1", path), None, "{path}");
        }
    }
}
