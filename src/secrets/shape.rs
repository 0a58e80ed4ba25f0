//! What a Secret looks like: `cluster-creds-{id}` with two labels, and in its data a kubeconfig and a token for each of the
//! further endpoints. Annotations tell where each may be sent; a Secret that somebody else made has none, and is bound to where
//! the cluster's endpoints are when it is read.

use std::sync::Arc;

use fleetbeat_actors::{
    health::Endpoint,
    roll::{Cluster, ClusterId},
};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use secrecy::{ExposeSecret, zeroize::Zeroizing};
use serde_json::{Map, Value, json};

use crate::credentials::{
    AuthType, Binding, Change, Credential, Part,
    kubeconfig::{self, Rules},
    material,
};

const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "cluster-registry");
const CLUSTER_ID: &str = "aiops.io/cluster-id";
/// Selects the Secrets of this kind.
pub(super) const SELECTOR: &str = "app.kubernetes.io/component=cluster-registry,aiops.io/cluster-id";
const AUTH_TYPE: &str = "fleetbeat.io/auth-type";
const KUBECONFIG: &str = "kubeconfig";

/// Name of a cluster's Secret.
pub(super) fn name(id: ClusterId) -> String {
    format!("cluster-creds-{id}")
}

/// Whose a Secret is. One whose name and label tell different clusters is nobody's.
pub(super) fn cluster_id(secret: &Secret) -> Option<ClusterId> {
    let id = secret.metadata.labels.as_ref()?.get(CLUSTER_ID)?.parse().ok().map(ClusterId)?;
    (secret.metadata.name.as_deref() == Some(&name(id))).then_some(id)
}

/// A Secret with nothing in it yet.
pub(super) fn empty(id: ClusterId) -> Secret {
    let metadata = ObjectMeta { name: Some(name(id)), ..ObjectMeta::default() };
    Secret { metadata, type_: Some("Opaque".to_owned()), ..Secret::default() }
}

/// Does it hold nothing of ours or of anybody's?
pub(super) fn is_bare(secret: &Secret) -> bool {
    secret.data.as_ref().is_none_or(|data| data.is_empty())
}

/// A Secret after a change. What others added to it stays.
pub(super) fn changed(mut secret: Secret, cluster: &Cluster, change: &Change) -> Secret {
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.insert(COMPONENT.0.to_owned(), COMPONENT.1.to_owned());
    labels.insert(CLUSTER_ID.to_owned(), cluster.id.to_string());
    for kind in &change.gone {
        remove(&mut secret, *kind);
    }
    for (kind, part) in &change.put {
        remove(&mut secret, *kind);
        put(&mut secret, cluster, *kind, part);
    }
    secret
}

fn put(secret: &mut Secret, cluster: &Cluster, kind: Endpoint, part: &Part) {
    let data = secret.data.get_or_insert_default();
    let mut keep = |key: String, text: &str| data.insert(key, ByteString(text.as_bytes().to_vec()));
    match (kind, &part.token) {
        (Endpoint::ApiServer, _) => {
            keep(KUBECONFIG.to_owned(), &written(cluster, part));
        }
        (_, Some(token)) => {
            keep(token_key(kind), token.expose_secret());
            part.ca_pem.as_deref().map(|pem| keep(ca_key(kind), pem));
        }
        (_, None) => {}
    }
    let annotations = secret.metadata.annotations.get_or_insert_default();
    if let Some(place) = &part.bound_to {
        annotations.insert(bound_key(kind), place.as_str().to_owned());
    }
    if kind == Endpoint::ApiServer {
        annotations.insert(AUTH_TYPE.to_owned(), part.auth_type.as_str().to_owned());
    }
}

fn remove(secret: &mut Secret, kind: Endpoint) {
    let (data, annotations) = (secret.data.as_mut(), secret.metadata.annotations.as_mut());
    let keys = match kind {
        Endpoint::ApiServer => vec![KUBECONFIG.to_owned()],
        Endpoint::Prometheus | Endpoint::Tempo | Endpoint::Loki => vec![token_key(kind), ca_key(kind)],
    };
    if let Some(data) = data {
        data.retain(|key, _| !keys.contains(key));
    }
    if let Some(annotations) = annotations {
        annotations.remove(&bound_key(kind));
        if kind == Endpoint::ApiServer {
            annotations.remove(AUTH_TYPE);
        }
    }
}

/// What a Secret says about a cluster; `None` when something in it cannot be used.
pub(super) fn read(secret: &Secret, cluster: &Cluster) -> Option<Credential> {
    let mut credential = Credential::default();
    for kind in Endpoint::ALL {
        let part = match kind {
            Endpoint::ApiServer => api_server(secret, cluster)?,
            Endpoint::Prometheus | Endpoint::Tempo | Endpoint::Loki => endpoint(secret, cluster, kind)?,
        };
        if let Some(part) = part {
            credential = credential.with(kind, Arc::new(part));
        }
    }
    Some(credential)
}

fn api_server(secret: &Secret, cluster: &Cluster) -> Option<Option<Part>> {
    let Some(text) = text(secret, KUBECONFIG) else { return Some(None) };
    let config = kubeconfig::read(&text?, Rules::default()).map_err(|refused| {
        tracing::warn!(id = %cluster.id, %refused, "the kubeconfig in a Secret is not accepted");
    });
    let config = config.ok()?;
    let at = Binding::of(&config.server, None)?;
    let told = annotation(secret, &bound_key(Endpoint::ApiServer)).map(|text| Binding::stored(text.to_owned()));
    let bound_to = match told.filter(|told| told.same_place(&at)) {
        Some(told) => told,
        None => Binding::of_endpoint(cluster, Endpoint::ApiServer).filter(|own| own.same_place(&at))?,
    };
    let auth_type = annotation(secret, AUTH_TYPE).and_then(AuthType::of_word).unwrap_or(AuthType::Kubeconfig);
    Some(Some(Part {
        auth_type,
        token: config.token,
        certificate: config.certificate,
        ca_pem: config.ca_pem.filter(|pem| Some(pem.as_str()) != cluster.ca_bundle.as_deref()),
        tls_server_name: config.tls_server_name.filter(|name| Some(name) != cluster.tls_server_name.as_ref()),
        bound_to: Some(bound_to),
    }))
}

fn endpoint(secret: &Secret, cluster: &Cluster, kind: Endpoint) -> Option<Option<Part>> {
    let Some(token) = text(secret, &token_key(kind)) else { return Some(None) };
    let token = material::token(&token?).ok()?;
    let ca_pem = match text(secret, &ca_key(kind)) {
        None => None,
        Some(pem) => Some(pem?.to_string()).filter(|pem| material::authorities(pem).is_ok()),
    };
    let told = annotation(secret, &bound_key(kind)).map(|text| Binding::stored(text.to_owned()));
    let bound_to = told.or_else(|| Binding::of_endpoint(cluster, kind));
    // Somebody may have given a token for an endpoint that the cluster does not have: it is sent nowhere.
    Some(bound_to.map(|place| Part { ca_pem, bound_to: Some(place), ..Part::of_token(token) }))
}

/// A kubeconfig that anybody can use.
fn written(cluster: &Cluster, part: &Part) -> Zeroizing<String> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let bundle = cluster.ca_bundle.as_deref().filter(|pem| material::authorities(pem).is_ok());
    let mut server = Map::from_iter([("server".to_owned(), json!(cluster.api_server_url))]);
    if let Some(pem) = part.ca_pem.as_deref().or(bundle) {
        server.insert("certificate-authority-data".to_owned(), json!(BASE64_STANDARD.encode(pem)));
    }
    if let Some(name) = part.tls_server_name.as_ref().or(cluster.tls_server_name.as_ref()) {
        server.insert("tls-server-name".to_owned(), json!(name));
    }
    let mut user = Map::new();
    if let Some(token) = &part.token {
        user.insert("token".to_owned(), json!(token.expose_secret()));
    }
    if let Some(certificate) = &part.certificate {
        let key = BASE64_STANDARD.encode(certificate.key_pem.expose_secret());
        let chain = BASE64_STANDARD.encode(&certificate.chain_pem);
        user.insert("client-certificate-data".to_owned(), json!(chain));
        user.insert("client-key-data".to_owned(), json!(key));
    }
    let name = &cluster.name;
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{ "name": name, "cluster": server }],
        "users": [{ "name": "fleetbeat", "user": user }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": "fleetbeat" } }],
    });
    // JSON is YAML as well, should the prettier form ever fail.
    Zeroizing::new(serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string()))
}

/// A text of the data: `Some(None)` when it is none.
fn text(secret: &Secret, key: &str) -> Option<Option<Zeroizing<String>>> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    Some(String::from_utf8(bytes.clone()).ok().map(Zeroizing::new))
}

fn annotation<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn token_key(kind: Endpoint) -> String {
    format!("{}-token", kind.as_str())
}

fn ca_key(kind: Endpoint) -> String {
    format!("{}-ca", kind.as_str())
}

fn bound_key(kind: Endpoint) -> String {
    format!("fleetbeat.io/{}-bound-to", kind.as_str().replace('_', "-"))
}
