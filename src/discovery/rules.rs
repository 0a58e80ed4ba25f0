//! The words by which things are recognised in a cluster. Pure.

/// Namespaces that are looked into, at most.
pub const MAX_WORKLOAD_NAMESPACES: usize = 24;

/// Beginnings of namespaces of network functions, with what runs there.
pub const CNF: [(&str, &str); 5] = [("du-", "vdu"), ("cu-", "vcu"), ("upf-", "upf"), ("amf-", "amf"), ("smf-", "smf")];

/// API groups of service meshes.
const MESHES: [(&str, &str); 7] = [
    ("networking.istio.io", "istio"),
    ("maistra.io", "openshift-service-mesh"),
    ("sailoperator.io", "openshift-service-mesh"),
    ("linkerd.io", "linkerd"),
    ("policy.linkerd.io", "linkerd"),
    ("consul.hashicorp.com", "consul"),
    ("kuma.io", "kuma"),
];

/// Namespaces that may hold GPU operators or observability: whole names, and parts of names.
const WHOLE: [&str; 8] = [
    "openshift-monitoring",
    "openshift-user-workload-monitoring",
    "openshift-logging",
    "monitoring",
    "observability",
    "cattle-monitoring-system",
    "tempo",
    "loki",
];
const PARTS: [&str; 9] = [
    "gpu-operator",
    "nvidia",
    "prometheus",
    "tempo-",
    "-tempo",
    "loki-",
    "-loki",
    "observability",
    "distributed-tracing",
];

/// May a namespace hold something that is looked for?
pub fn worth_a_look(namespace: &str) -> bool {
    WHOLE.contains(&namespace) || PARTS.iter().any(|part| namespace.contains(part))
}

/// What a namespace of a network function runs.
pub fn cnf_type(namespace: &str) -> Option<&'static str> {
    CNF.iter().find(|(beginning, _)| namespace.starts_with(beginning)).map(|(_, kind)| *kind)
}

/// The mesh that a group belongs to.
pub fn mesh(group: &str) -> Option<&'static str> {
    MESHES.iter().find(|(known, _)| *known == group).map(|(_, mesh)| *mesh)
}

/// Is it this workload: the name itself, or a name that goes on after a hyphen?
pub fn is_workload(name: &str, workload: &str) -> bool {
    name.strip_prefix(workload).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_functions_are_known_by_the_beginning_of_their_namespaces() {
        for (namespace, kind) in [
            ("du-site1", Some("vdu")),
            ("cu-7", Some("vcu")),
            ("upf-core", Some("upf")),
            ("amf-a", Some("amf")),
            ("smf-x", Some("smf")),
        ] {
            assert_eq!(cnf_type(namespace), kind);
        }
        for other in ["du", "education", "my-du-1", "default", "cut-1"] {
            assert_eq!(cnf_type(other), None, "{other}");
        }
    }

    #[test]
    fn only_promising_namespaces_are_looked_into() {
        for namespace in [
            "openshift-monitoring",
            "nvidia-gpu-operator",
            "gpu-operator",
            "kube-prometheus-stack",
            "tempo-prod",
            "openshift-tempo-operator",
        ] {
            assert!(worth_a_look(namespace), "{namespace}");
        }
        for namespace in ["default", "kube-system", "shop", "temporal", "lokiness"] {
            assert!(!worth_a_look(namespace), "{namespace}");
        }
    }

    #[test]
    fn a_workload_is_a_whole_word() {
        assert!(is_workload("loki", "loki") && is_workload("loki-distributor-0", "loki"));
        assert!(!is_workload("lokiness", "loki") && !is_workload("my-loki", "loki"));
    }
}
