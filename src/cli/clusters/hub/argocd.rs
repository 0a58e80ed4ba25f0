//! Argo CD's declared clusters: Secrets labelled `argocd.argoproj.io/secret-type=cluster`, with name, server and a config.

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Found, Seen, labels, reach};
use crate::cli::clusters::inline::Inline;
use crate::hub::{Hub, HubError};

const SELECTOR: &str = "argocd.argoproj.io/secret-type=cluster";
/// Names of the hub itself that only its own pods know.
const OF_PODS: [&str; 3] = ["kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// How Argo CD reaches a cluster, as far as it can be taken over. What else it may hold is of no concern here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    username: Option<String>,
    password: Option<String>,
    bearer_token: Option<String>,
    tls_client_config: Option<Tls>,
    aws_auth_config: Option<serde::de::IgnoredAny>,
    exec_provider_config: Option<serde::de::IgnoredAny>,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tls {
    insecure: bool,
    server_name: Option<String>,
    ca_data: Option<String>,
    cert_data: Option<String>,
    key_data: Option<String>,
}

/// Every cluster Secret.
pub(super) async fn read(hub: &Hub, namespace: Option<&str>) -> Result<Vec<Seen>, HubError> {
    let secrets = reach::secrets(hub, namespace, SELECTOR, None).await?;
    Ok(secrets.iter().map(seen).collect())
}

fn seen(secret: &Secret) -> Seen {
    let text = |key: &str| secret.data.as_ref()?.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    let called = text("name").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let config = text("config").unwrap_or_else(|| "{}".to_owned());
    Seen {
        called: called.unwrap_or_else(|| secret.name_any()),
        place: format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any()),
        found: found(secret, text("server").unwrap_or_default().trim(), &config),
    }
}

fn found(secret: &Secret, server: &str, config: &str) -> Found {
    if server.is_empty() {
        return Found::Unfit("the Secret names no server".to_owned());
    }
    let host = url::Url::parse(server).ok().and_then(|url| url.host_str().map(str::to_owned));
    if host.is_some_and(|host| OF_PODS.contains(&host.as_str())) {
        let why = "is the hub itself, by a name that only its own pods know: add it by its address";
        return Found::Skipped(why.to_owned());
    }
    // What is wrong with it is not told: the words could quote it.
    let Ok(config) = serde_json::from_str::<Config>(config) else {
        return Found::Unfit("config is not the JSON that Argo CD reads".to_owned());
    };
    match fields(secret, server, &config) {
        Ok(fields) => Found::Cluster(fields, upload(server, &config)),
        Err(why) => Found::Unfit(why),
    }
}

fn fields(secret: &Secret, server: &str, config: &Config) -> Result<Map<String, Value>, String> {
    if config.proxy_url.as_ref().is_some_and(|url| !url.is_empty()) {
        return Err("config.proxyUrl is not supported".to_owned());
    }
    let own = Tls::default();
    let tls = config.tls_client_config.as_ref().unwrap_or(&own);
    if tls.insecure {
        let why = "config.tlsClientConfig.insecure is not supported: give the authority's certificate instead";
        return Err(why.to_owned());
    }
    let mut fields = Map::from_iter([("api_server_url".to_owned(), server.into())]);
    if let Some(data) = given(&tls.ca_data) {
        let pem = BASE64_STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pem = pem.ok_or("config.tlsClientConfig.caData is not base64 of PEM")?;
        fields.insert("ca_bundle".to_owned(), pem.into());
    }
    if let Some(name) = given(&tls.server_name) {
        fields.insert("tls_server_name".to_owned(), name.into());
    }
    let machinery = |key: &str| matches!(labels::domain(key), "argocd.argoproj.io" | "app.kubernetes.io");
    fields.insert("labels".to_owned(), labels::carried(secret.metadata.labels.as_ref(), machinery));
    Ok(fields)
}

/// The body of an upload, or why there is none.
fn upload(server: &str, config: &Config) -> Result<Value, String> {
    for (key, is_there) in [
        ("execProviderConfig runs a program", config.exec_provider_config.is_some()),
        ("awsAuthConfig asks AWS for a token", config.aws_auth_config.is_some()),
        ("username and password are not accepted", given(&config.username).or(given(&config.password)).is_some()),
    ] {
        if is_there {
            return Err(format!("config.{key}: upload a token of a service account instead"));
        }
    }
    let own = Tls::default();
    let tls = config.tls_client_config.as_ref().unwrap_or(&own);
    let user = texts([
        ("token", &config.bearer_token),
        ("client-certificate-data", &tls.cert_data),
        ("client-key-data", &tls.key_data),
    ]);
    if user.is_empty() {
        return Err("the Secret has none".to_owned());
    }
    let mut cluster = texts([("certificate-authority-data", &tls.ca_data), ("tls-server-name", &tls.server_name)]);
    cluster.insert("server".to_owned(), server.into());
    let kubeconfig = json!({
        "clusters": [{ "name": "it", "cluster": cluster }],
        "users": [{ "name": "it", "user": user }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
    });
    Inline::read(&kubeconfig.to_string()).of("it")
}

fn texts<const N: usize>(of: [(&str, &Option<String>); N]) -> Map<String, Value> {
    of.into_iter().filter_map(|(key, value)| Some((key.to_owned(), given(value)?.into()))).collect()
}

fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}
