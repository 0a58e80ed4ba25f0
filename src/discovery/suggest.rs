//! Endpoints that a cluster seems to have: offered, never adopted. Pure.

use super::{
    capabilities::SuggestedEndpoints,
    evidence::{Evidence, Workloads},
    read::Endpoint,
    rules::is_workload,
};

/// What to look for: names of services in order of preference, the port without a better one, and whether it speaks TLS.
struct Wanted {
    service: &'static str,
    port: u16,
    secure: bool,
}

const fn wanted(service: &'static str, port: u16, secure: bool) -> Wanted {
    Wanted { service, port, secure }
}

const PROMETHEUS: [Wanted; 5] = [
    wanted("thanos-querier", 9_091, true),
    wanted("prometheus-k8s", 9_091, true),
    wanted("thanos-query", 9_090, false),
    wanted("prometheus-operated", 9_090, false),
    wanted("prometheus", 9_090, false),
];
const TEMPO: [Wanted; 2] = [wanted("tempo-query-frontend", 3_200, false), wanted("tempo", 3_200, false)];
const LOKI: [Wanted; 3] =
    [wanted("logging-loki-gateway-http", 8_080, true), wanted("loki-gateway", 80, false), wanted("loki", 3_100, false)];

/// What can be offered.
pub fn suggest(evidence: &Evidence) -> SuggestedEndpoints {
    SuggestedEndpoints {
        prometheus_url: best(evidence, &PROMETHEUS),
        tempo_url: best(evidence, &TEMPO),
        loki_url: best(evidence, &LOKI),
    }
}

/// A route leads in from outside; the address of a service only from within.
fn best(evidence: &Evidence, wanted: &[Wanted]) -> Option<String> {
    wanted.iter().find_map(|want| routed(evidence, want).or_else(|| within(evidence, want)))
}

fn routed(evidence: &Evidence, want: &Wanted) -> Option<String> {
    let route = evidence.routes.items.iter().find(|route| is_workload(&route.to, want.service))?;
    let scheme = if route.tls { "https" } else { "http" };
    Some(format!("{scheme}://{}", route.host))
}

fn within(evidence: &Evidence, want: &Wanted) -> Option<String> {
    let found = |workloads: &Workloads| {
        let service = workloads.services.items.iter().find(|service| is_workload(&service.name, want.service))?;
        let scheme = if want.secure { "https" } else { "http" };
        let port = port(service, want.port);
        Some(format!("{scheme}://{}.{}.svc:{port}", service.name, workloads.namespace))
    };
    evidence.workloads.iter().find_map(found)
}

/// The port that is expected, one with a telling name, or the first.
fn port(service: &Endpoint, expected: u16) -> u16 {
    let named = |(name, _): &&(Option<String>, u16)| {
        name.as_deref().is_some_and(|name| matches!(name, "web" | "http" | "http-metrics" | "https" | "public"))
    };
    let has = service.ports.iter().any(|(_, port)| *port == expected);
    let other = || service.ports.iter().find(named).or_else(|| service.ports.first()).map(|(_, port)| *port);
    if has { expected } else { other().unwrap_or(expected) }
}
