//! ManagedClusters of Open Cluster Management: address, authorities and labels. They hold no credentials.

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::api::DynamicObject;
use serde_json::Map;

use super::{Found, Seen, labels, reach};
use crate::hub::{Hub, HubError};

const GROUP: &str = "cluster.open-cluster-management.io";
const CLUSTER_SET: &str = "cluster.open-cluster-management.io/clusterset";

/// Every ManagedCluster.
pub(super) async fn read(hub: &Hub) -> Result<Vec<Seen>, HubError> {
    let kind = reach::kind(GROUP, "v1", "ManagedCluster", "managedclusters");
    Ok(reach::objects(hub, None, &kind).await?.iter().map(seen).collect())
}

fn seen(object: &DynamicObject) -> Seen {
    let name = object.metadata.name.clone().unwrap_or_default();
    Seen { called: name.clone(), place: name, found: found(object).unwrap_or_else(Found::Unfit) }
}

fn found(object: &DynamicObject) -> Result<Found, String> {
    let spec = &object.data["spec"];
    if spec["hubAcceptsClient"] == false {
        return Ok(Found::Skipped("the hub has not accepted it".to_owned()));
    }
    let places = spec["managedClusterClientConfigs"].as_array().into_iter().flatten();
    let Some((url, place)) = places.filter_map(|place| Some((place["url"].as_str()?, place))).next() else {
        return Ok(Found::Skipped("the hub knows no address of it (spec.managedClusterClientConfigs)".to_owned()));
    };
    let mut fields = Map::from_iter([("api_server_url".to_owned(), url.into())]);
    if let Some(data) = place["caBundle"].as_str().filter(|data| !data.is_empty()) {
        let pem = BASE64_STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        fields.insert("ca_bundle".to_owned(), pem.ok_or("caBundle is not base64 of PEM")?.into());
    }
    let own = object.metadata.labels.as_ref();
    let label = |key: &str| own.and_then(|labels| labels.get(key)).map(String::as_str);
    let claim = |name: &str| {
        let claims = object.data["status"]["clusterClaims"].as_array()?;
        claims.iter().find(|claim| claim["name"] == name)?["value"].as_str()
    };
    if label("local-cluster") == Some("true") {
        fields.insert("cluster_type".to_owned(), "HUB".into());
    }
    let product = claim("product.open-cluster-management.io").or(label("vendor"));
    if let Some(platform) = product.and_then(platform) {
        fields.insert("platform".to_owned(), platform.into());
    }
    if let Some(region) = claim("region.open-cluster-management.io") {
        fields.insert("region".to_owned(), region.into());
    }
    let machinery = |key: &str| labels::domain(key).ends_with("open-cluster-management.io") && key != CLUSTER_SET;
    fields.insert("labels".to_owned(), labels::carried(own, machinery));
    Ok(Found::Cluster(fields, Err("Open Cluster Management keeps none on the hub".to_owned())))
}

/// What a product's name says of the platform; nothing where it could be any.
fn platform(product: &str) -> Option<&'static str> {
    match product {
        "OpenShift" | "OpenShiftDedicated" | "ROSA" | "ARO" => Some("OPENSHIFT"),
        "MicroShift" => Some("MICROSHIFT"),
        "" | "auto-detect" | "Other" => None,
        _ => Some("KUBERNETES"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(object: Value) -> Found {
        seen(&serde_json::from_value(object).unwrap()).found
    }

    #[test]
    fn a_managed_cluster_becomes_a_cluster_without_credentials() {
        let found = read(json!({
            "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster",
            "metadata": { "name": "edge-1", "labels": { "team": "ran", "local-cluster": "true",
                "feature.open-cluster-management.io/addon-x": "available", CLUSTER_SET: "blue" } },
            "spec": { "hubAcceptsClient": true, "managedClusterClientConfigs": [
                { "caBundle": "" }, { "url": "https://edge-1.example:6443", "caBundle": BASE64_STANDARD.encode("PEM") }] },
            "status": { "clusterClaims": [{ "name": "product.open-cluster-management.io", "value": "MicroShift" },
                { "name": "region.open-cluster-management.io", "value": "eu-1" }] },
        }));
        let Found::Cluster(fields, Err(why)) = found else { panic!("no cluster") };
        assert!(why.contains("keeps none"), "{why}");
        let expected = json!({ "api_server_url": "https://edge-1.example:6443", "ca_bundle": "PEM", "region": "eu-1",
            "cluster_type": "HUB", "platform": "MICROSHIFT", "labels": { "team": "ran", "local-cluster": "true",
                CLUSTER_SET: "blue" } });
        assert_eq!(Value::from(fields), expected);
    }

    #[test]
    fn what_has_no_address_or_was_not_accepted_is_left_out() {
        for spec in
            [json!({}), json!({ "hubAcceptsClient": false, "managedClusterClientConfigs": [{ "url": "https://a" }] })]
        {
            let found = read(json!({ "apiVersion": "x/v1", "kind": "x", "metadata": { "name": "x" }, "spec": spec }));
            assert!(matches!(found, Found::Skipped(_)));
        }
    }
}
