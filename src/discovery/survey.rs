//! Asks an API server everything that discovery wants to know, step by step. A step that fails leaves a gap; only a
//! server that cannot be talked to at all ends the survey.

use super::{
    ask::Question,
    evidence::{Evidence, Workloads},
    gap::Gap,
    interview::{Interview, Listing},
    read,
    rules::{MAX_WORKLOAD_NAMESPACES, worth_a_look},
};

/// Nodes come whole, 10 to 30 KB each.
const NODES_A_PAGE: u32 = 50;
const MAX_NODES: usize = 20_000;
/// Names and labels are some 500 bytes each.
const NAMES_A_PAGE: u32 = 500;
const MAX_NAMESPACES: usize = 20_000;
const MAX_OBJECTS: usize = 2_000;
const SERVICES_A_PAGE: u32 = 200;

const SRIOV: (&str, &str) =
    ("sriovnetwork.openshift.io", "/apis/sriovnetwork.openshift.io/v1/sriovnetworknodepolicies");
const PTP: (&str, &str) = ("ptp.openshift.io", "/apis/ptp.openshift.io/v1/ptpconfigs");

/// Asks everything.
///
/// # Errors
/// When the first question already finds nobody who would answer or accept the credentials.
pub async fn survey(mut interview: Interview) -> Result<Evidence, Gap> {
    let version = interview.learn(Question::get("/version"), read::version).await;
    if let Err(gap @ (Gap::Silent(_) | Gap::Unauthorized | Gap::Late)) = version {
        return Err(gap);
    }
    let groups = interview.learn(Question::get("/apis"), read::groups).await;
    let mut evidence = Evidence {
        version,
        groups,
        release: Ok(None),
        nodes: Listing::default(),
        namespaces: Listing::default(),
        sriov: Listing::default(),
        ptp: Listing::default(),
        workloads: Vec::new(),
        overlooked: false,
        routes: Listing::default(),
    };
    evidence.release = release(&mut interview, &evidence).await;
    evidence.nodes = interview.list(Question::get("/api/v1/nodes"), NODES_A_PAGE, MAX_NODES, read::nodes).await;
    let namespaces = Question::names("/api/v1/namespaces");
    evidence.namespaces = interview.list(namespaces, NAMES_A_PAGE, MAX_NAMESPACES, read::names).await;
    evidence.sriov = custom(&mut interview, &evidence, SRIOV).await;
    evidence.ptp = custom(&mut interview, &evidence, PTP).await;
    look_into(&mut interview, &mut evidence).await;
    Ok(evidence)
}

/// The version of OpenShift or MicroShift.
async fn release(interview: &mut Interview, evidence: &Evidence) -> Result<Option<String>, Gap> {
    let groups = evidence.groups.as_ref().map_err(|_| Gap::Depends)?;
    if groups.is_empty() {
        return Err(Gap::Depends);
    }
    if evidence.is_openshift() == Some(true) {
        let path = "/apis/config.openshift.io/v1/clusterversions/version";
        return interview.learn(Question::get(path), read::openshift).await;
    }
    if evidence.is_microshift() == Some(true) {
        let path = "/api/v1/namespaces/kube-public/configmaps/microshift-version";
        return interview.learn(Question::get(path), read::config_map_version).await;
    }
    Ok(None)
}

/// Objects of a group that the cluster may not have.
async fn custom(interview: &mut Interview, evidence: &Evidence, (group, path): (&str, &str)) -> Listing<String> {
    match evidence.serves(group) {
        Some(false) => Listing::unknown(Gap::Absent),
        Some(true) | None => interview.list(Question::names(path), NAMES_A_PAGE, MAX_OBJECTS, read::names).await,
    }
}

/// Looks into the namespaces whose names promise something.
async fn look_into(interview: &mut Interview, evidence: &mut Evidence) {
    let mut namespaces: Vec<String> =
        evidence.namespaces.items.iter().filter(|name| worth_a_look(name)).cloned().collect();
    evidence.overlooked = namespaces.len() > MAX_WORKLOAD_NAMESPACES;
    namespaces.truncate(MAX_WORKLOAD_NAMESPACES);
    let routed = evidence.serves("route.openshift.io") == Some(true);
    for namespace in namespaces {
        let pods = Question::names(format!("/api/v1/namespaces/{namespace}/pods"));
        let services = Question::get(format!("/api/v1/namespaces/{namespace}/services"));
        let pods = interview.list(pods, NAMES_A_PAGE, MAX_OBJECTS, read::names).await;
        let services = interview.list(services, SERVICES_A_PAGE, MAX_OBJECTS, read::services).await;
        if routed {
            let path = format!("/apis/route.openshift.io/v1/namespaces/{namespace}/routes");
            let routes = interview.list(Question::get(path), SERVICES_A_PAGE, MAX_OBJECTS, read::routes).await;
            evidence.routes.items.extend(routes.items);
            evidence.routes.gap = evidence.routes.gap.or(routes.gap);
        }
        evidence.workloads.push(Workloads { namespace, pods, services });
    }
}
