//! Cluster API's kubeconfigs: Secrets `<name>-kubeconfig` of type `cluster.x-k8s.io/secret`, read by the strict rules of uploads.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Map, Value};

use super::{Found, Seen, labels, reach};
use crate::cli::clusters::inline::upload;
use crate::credentials::kubeconfig::{self, Kubeconfig, Rules};
use crate::hub::{Hub, HubError};

const GROUP: &str = "cluster.x-k8s.io";
const SELECTOR: &str = "cluster.x-k8s.io/cluster-name";
const OF_TYPE: &str = "type=cluster.x-k8s.io/secret";
const KEY: &str = "value";

type Labels = HashMap<String, BTreeMap<String, String>>;

/// Every cluster that has a kubeconfig, with the labels of its Cluster where those may be read.
pub(super) async fn read(hub: &Hub, namespace: Option<&str>) -> Result<Vec<Seen>, HubError> {
    let secrets = reach::secrets(hub, namespace, SELECTOR, Some(OF_TYPE)).await?;
    let labels = reach::labels_of(hub, namespace, GROUP, "Cluster", "clusters").await.unwrap_or_default();
    Ok(secrets.iter().filter_map(|secret| seen(secret, &labels)).collect())
}

/// `None` for Secrets of other kinds: authorities, kubeconfigs of users.
fn seen(secret: &Secret, labels: &Labels) -> Option<Seen> {
    let name = secret.metadata.labels.as_ref()?.get(SELECTOR)?;
    if secret.metadata.name.as_deref() != Some(&format!("{name}-kubeconfig")) {
        return None;
    }
    let place = format!("{}/{name}", secret.namespace().unwrap_or_default());
    let text = secret.data.as_ref().and_then(|data| String::from_utf8(data.get(KEY)?.0.clone()).ok());
    let found = match text.as_deref().map(|text| kubeconfig::read(text, Rules::default())) {
        None => Found::Unfit(format!("the Secret has no text `{KEY}`")),
        Some(Err(refused)) => Found::Unfit(format!("the kubeconfig is not accepted: {refused}")),
        Some(Ok(config)) => Found::Cluster(fields(&config, labels.get(&place)), Ok(upload(&config))),
    };
    Some(Seen { called: name.clone(), place, found })
}

fn fields(config: &Kubeconfig, carried: Option<&BTreeMap<String, String>>) -> Map<String, Value> {
    let machinery = |key: &str| labels::domain(key).ends_with("cluster.x-k8s.io");
    let mut fields = Map::from_iter([
        ("api_server_url".to_owned(), config.server.as_str().into()),
        ("labels".to_owned(), labels::carried(carried, machinery)),
    ]);
    for (field, value) in [("ca_bundle", &config.ca_pem), ("tls_server_name", &config.tls_server_name)] {
        fields.extend(value.as_deref().map(|value| (field.to_owned(), value.into())));
    }
    fields
}
