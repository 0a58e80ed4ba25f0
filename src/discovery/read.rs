//! Reads what an API server answers: only the few fields that matter, everything else is read over. Pure. Texts of the
//! cluster are tamed before anybody sees them.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::IgnoredAny};

/// Longest name or value of a cluster that is kept, bytes; Kubernetes allows 63 for most and 253 for names of objects.
const MAX_TEXT: usize = 253;
/// No node has more GPUs than this.
const MAX_GPUS: u64 = 4_096;

/// The answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// Where the next one begins.
    pub next: Option<String>,
}

/// What matters of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Does it say that it is ready?
    pub ready: bool,
    /// Does it have GPUs?
    pub has_gpu: bool,
    /// How many.
    pub gpus: u64,
    /// Of which product, where a label tells.
    pub product: Option<String>,
}

/// What matters of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// Its ports, by name where they have one.
    pub ports: Vec<(Option<String>, u16)>,
}

/// What matters of an OpenShift route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The host that it is reached at.
    pub host: String,
    /// The service behind it.
    pub to: String,
    /// Does it speak TLS?
    pub tls: bool,
}

/// A text of a cluster without anything that could be more than text: at most `MAX_TEXT` of a few harmless characters,
/// others become `_`.
pub fn tame(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_' | '/' | ' ');
    text.chars().take(MAX_TEXT).map(|c| if harmless(c) { c } else { '_' }).collect()
}

/// Is it a name as Kubernetes gives them?
fn is_name(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

/// `gitVersion` of `/version`.
pub fn version(body: &[u8]) -> Result<String, Malformed> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }
    read(body).map(|version: Version| tame(&version.git_version))
}

/// Names of the API groups of `/apis`.
pub fn groups(body: &[u8]) -> Result<Vec<String>, Malformed> {
    #[derive(Deserialize)]
    struct Groups {
        groups: Option<Vec<Group>>,
    }
    #[derive(Deserialize)]
    struct Group {
        name: String,
    }
    let groups: Groups = read(body)?;
    Ok(groups.groups.unwrap_or_default().into_iter().map(|group| group.name).filter(|name| is_name(name)).collect())
}

/// Version of a ClusterVersion of OpenShift: the newest that was completed, or the one on its way.
pub fn openshift(body: &[u8]) -> Result<Option<String>, Malformed> {
    #[derive(Deserialize)]
    struct ClusterVersion {
        status: Option<Status>,
    }
    #[derive(Deserialize)]
    struct Status {
        history: Option<Vec<Step>>,
        desired: Option<Release>,
    }
    #[derive(Deserialize)]
    struct Step {
        state: Option<String>,
        version: Option<String>,
    }
    #[derive(Deserialize)]
    struct Release {
        version: Option<String>,
    }
    let Some(status) = read::<ClusterVersion>(body)?.status else { return Ok(None) };
    let completed = |step: &Step| step.state.as_deref() == Some("Completed");
    let done = status.history.unwrap_or_default().into_iter().find(completed).and_then(|step| step.version);
    Ok(done.or_else(|| status.desired.and_then(|release| release.version)).map(|version| tame(&version)))
}

/// `version` in the data of a ConfigMap.
pub fn config_map_version(body: &[u8]) -> Result<Option<String>, Malformed> {
    #[derive(Deserialize)]
    struct ConfigMap {
        data: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Data {
        version: Option<String>,
    }
    Ok(read::<ConfigMap>(body)?.data.and_then(|data| data.version).map(|version| tame(&version)))
}

/// A page of nodes.
pub fn nodes(body: &[u8]) -> Result<Page<Node>, Malformed> {
    page(body, |node: WireNode| Some(node.into()))
}

/// A page of anything, names only. What is no name is left out.
pub fn names(body: &[u8]) -> Result<Page<String>, Malformed> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    page(body, |object: Object| is_name(&object.metadata.name).then_some(object.metadata.name))
}

/// A page of services.
pub fn services(body: &[u8]) -> Result<Page<Endpoint>, Malformed> {
    #[derive(Deserialize)]
    struct Exposed {
        metadata: Metadata,
        spec: Option<Spec>,
    }
    #[derive(Deserialize)]
    struct Spec {
        ports: Option<Vec<Port>>,
    }
    #[derive(Deserialize)]
    struct Port {
        name: Option<String>,
        port: u16,
    }
    page(body, |service: Exposed| {
        let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let ports = ports.into_iter().map(|port| (port.name.filter(|name| is_name(name)), port.port)).collect();
        is_name(&service.metadata.name).then_some(Endpoint { name: service.metadata.name, ports })
    })
}

/// A page of routes.
pub fn routes(body: &[u8]) -> Result<Page<Route>, Malformed> {
    #[derive(Deserialize)]
    struct Item {
        spec: Option<Spec>,
    }
    #[derive(Deserialize)]
    struct Spec {
        host: Option<String>,
        to: Option<Metadata>,
        tls: Option<IgnoredAny>,
    }
    page(body, |item: Item| {
        let spec = item.spec?;
        let (host, to) = (spec.host?, spec.to?.name);
        (is_name(&host) && is_name(&to)).then_some(Route { host, to, tls: spec.tls.is_some() })
    })
}

/// `status.allowed` of an access review.
pub fn allowed(body: &[u8]) -> Result<bool, Malformed> {
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        allowed: bool,
    }
    read(body).map(|review: Review| review.status.allowed)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(body).map_err(|_| Malformed)
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
struct List<T> {
    metadata: Option<ListMetadata>,
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct ListMetadata {
    r#continue: Option<String>,
}

fn page<W: DeserializeOwned, T>(body: &[u8], keep: impl Fn(W) -> Option<T>) -> Result<Page<T>, Malformed> {
    let list: List<W> = read(body)?;
    let next = list.metadata.and_then(|metadata| metadata.r#continue).filter(|token| !token.is_empty());
    Ok(Page { items: list.items.unwrap_or_default().into_iter().filter_map(keep).collect(), next })
}

#[derive(Deserialize)]
struct WireNode {
    metadata: Option<NodeMetadata>,
    status: Option<NodeStatus>,
}

#[derive(Deserialize)]
struct NodeMetadata {
    labels: Option<NodeLabels>,
}

#[derive(Deserialize, Default)]
struct NodeLabels {
    #[serde(rename = "nvidia.com/gpu.product")]
    product: Option<String>,
    #[serde(rename = "nvidia.com/gpu.present")]
    present: Option<String>,
    #[serde(rename = "nvidia.com/gpu.count", default, deserialize_with = "quantity")]
    count: u64,
}

#[derive(Deserialize)]
struct NodeStatus {
    capacity: Option<Capacity>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Capacity {
    #[serde(rename = "nvidia.com/gpu", default, deserialize_with = "quantity")]
    gpus: u64,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

impl From<WireNode> for Node {
    fn from(node: WireNode) -> Self {
        let labels = node.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        let (capacity, conditions) = node.status.map_or((None, None), |status| (status.capacity, status.conditions));
        let capacity = capacity.map_or(0, |capacity| capacity.gpus);
        let has_gpu = capacity > 0 || labels.present.as_deref() == Some("true");
        // Cut into slices, a node may count no whole GPU among its resources.
        let gpus = if has_gpu && capacity == 0 { labels.count } else { capacity };
        let ready = |condition: &Condition| condition.r#type == "Ready" && condition.status == "True";
        Self {
            ready: conditions.unwrap_or_default().iter().any(ready),
            has_gpu,
            gpus,
            product: labels.product.filter(|_| has_gpu).map(|product| tame(&product)),
        }
    }
}

/// A whole quantity of Kubernetes, a text or a number; anything else is none.
fn quantity<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Quantity {
        Number(u64),
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Quantity::deserialize(from)? {
        Quantity::Number(number) => number,
        Quantity::Text(text) => text.parse().unwrap_or(0),
        Quantity::Other(_) => 0,
    }
    .min(MAX_GPUS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODES: &str = r#"{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"abc","remainingItemCount":1},"items":[
      {"metadata":{"name":"gpu-1","labels":{"nvidia.com/gpu.present":"true","nvidia.com/gpu.product":"NVIDIA-A100-SXM4-40GB","kubernetes.io/os":"linux"},"managedFields":[{"x":{"y":[]}}]},
       "spec":{"podCIDR":"10.0.0.0/24"},"status":{"capacity":{"cpu":"64","memory":"1Gi","nvidia.com/gpu":"8"},
       "conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True","reason":"KubeletReady"}],"images":[{"names":["a"],"sizeBytes":1}]}},
      {"metadata":{"name":"mig-1","labels":{"nvidia.com/gpu.present":"true","nvidia.com/gpu.count":"4"}},"status":{"capacity":{"nvidia.com/gpu":"0"}}},
      {"metadata":{"name":"plain"},"status":{"capacity":{"cpu":"4"},"conditions":[{"type":"Ready","status":"Unknown"}]}}]}"#;

    #[test]
    fn nodes_tell_of_readiness_and_gpus() {
        let page = nodes(NODES.as_bytes()).unwrap();
        assert_eq!(page.next.as_deref(), Some("abc"));
        let product = Some("NVIDIA-A100-SXM4-40GB".to_owned());
        assert_eq!(page.items[0], Node { ready: true, has_gpu: true, gpus: 8, product });
        assert_eq!(page.items[1], Node { ready: false, has_gpu: true, gpus: 4, product: None });
        assert_eq!(page.items[2], Node::default());
    }

    #[test]
    fn a_list_of_nothing_has_no_next_page() {
        for empty in [r#"{"metadata":{"continue":""},"items":null}"#, r#"{"metadata":{},"items":[]}"#, "{}"] {
            assert_eq!(names(empty.as_bytes()), Ok(Page { items: vec![], next: None }), "{empty}");
        }
    }

    #[test]
    fn what_is_no_name_is_left_out() {
        let list = format!(
            r#"{{"items":[{{"metadata":{{"name":"du-1"}}}},{{"metadata":{{"name":"<script>"}}}},{{"metadata":{{"name":"{}"}}}}]}}"#,
            "a".repeat(100_000)
        );
        assert_eq!(names(list.as_bytes()).unwrap().items, ["du-1"]);
    }

    #[test]
    fn versions_are_read_and_tamed() {
        assert_eq!(version(br#"{"major":"1","gitVersion":"v1.33.1+k3s1"}"#).as_deref(), Ok("v1.33.1+k3s1"));
        let wild = version("{\"gitVersion\":\"v1\\u001b[31m<b>\\n\"}".as_bytes());
        assert_eq!(wild.as_deref(), Ok("v1__31m_b__"));
        assert_eq!(
            version(&serde_json::to_vec(&serde_json::json!({"gitVersion": "x".repeat(9_999)})).unwrap()).unwrap().len(),
            253
        );
        let history = br#"{"status":{"desired":{"version":"4.19.1"},"history":[{"state":"Partial","version":"4.19.1"},{"state":"Completed","version":"4.18.9"}]}}"#;
        assert_eq!(openshift(history), Ok(Some("4.18.9".to_owned())));
        assert_eq!(
            openshift(br#"{"status":{"desired":{"version":"4.19.1"},"history":null}}"#),
            Ok(Some("4.19.1".to_owned()))
        );
        assert_eq!(openshift(b"{}"), Ok(None));
        assert_eq!(config_map_version(br#"{"data":{"major":"4","version":"4.17.2"}}"#), Ok(Some("4.17.2".to_owned())));
    }

    #[test]
    fn services_and_routes_keep_what_leads_to_an_address() {
        let body = br#"{"items":[{"metadata":{"name":"thanos-querier"},"spec":{"clusterIP":"10.0.0.1","ports":[{"name":"web","port":9091},{"port":9092}]}}]}"#;
        assert_eq!(services(body).unwrap().items[0].ports, [(Some("web".to_owned()), 9_091), (None, 9_092)]);
        let body = br#"{"items":[{"spec":{"host":"thanos-querier-openshift-monitoring.apps.example.com","to":{"kind":"Service","name":"thanos-querier"},"tls":{"termination":"reencrypt"}}},{"spec":{"host":"evil.example/x?y","to":{"name":"a"}}}]}"#;
        let routes = routes(body).unwrap().items;
        assert_eq!((routes.len(), routes[0].tls), (1, true));
    }

    #[test]
    fn deep_json_is_read_over_or_refused_and_never_breaks_the_stack() {
        let deep = "[".repeat(200_000);
        assert_eq!(names(deep.as_bytes()), Err(Malformed));
        let inside = format!(
            r#"{{"items":[{{"metadata":{{"name":"a","x":{}{}}}}}]}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let _ = names(inside.as_bytes());
        let labels = format!(
            r#"{{"items":[{{"metadata":{{"labels":{{"nvidia.com/gpu.count":{}{}}}}}}}]}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let _ = nodes(labels.as_bytes());
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (nodes(&body), names(&body), services(&body), routes(&body), version(&body), groups(&body));
            let _ = (openshift(&body), config_map_version(&body), allowed(&body));
        }

        #[test]
        fn a_tamed_text_is_short_and_harmless(text in "\\PC{0,400}") {
            let tamed = tame(&text);
                    let odd = tamed.contains(['<', '"', '\n']);
            prop_assert!(tamed.len() <= MAX_TEXT && tamed.is_ascii() && !odd);
        }
    }
}
