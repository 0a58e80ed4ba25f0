//! The inline credentials of a kubeconfig's contexts, read by the strict rules of uploads, and their way to the server. No file that
//! the kubeconfig names is opened, nothing is run, and no reason repeats a value of it.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::Desk;
use super::sending::patiently;
use crate::cli::error::{CliError, Refusal};
use crate::credentials::kubeconfig::{self, Kubeconfig, Refused, Rules};

/// Largest kubeconfig whose credentials are read, in bytes: it may hold many clusters.
const MAX_BYTES: usize = 4 << 20;

/// What became of a cluster's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conveyed {
    /// They were tried on the cluster and stored.
    Stored,
    /// The cluster has credentials already; they were left as they are.
    Kept,
    /// They would be tried, where the cluster has none yet.
    WouldBeTried,
    /// There are none that can be used, and why.
    Without(String),
    /// They were not stored, and why.
    Failed(String),
}

impl Conveyed {
    /// The word in JSON.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Kept => "kept",
            Self::WouldBeTried => "would be tried",
            Self::Without(_) => "none",
            Self::Failed(_) => "failed",
        }
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Stored => "with credentials".to_owned(),
            Self::Kept => "keeps the credentials it has".to_owned(),
            Self::WouldBeTried => "its credentials would be tried, unless it has some".to_owned(),
            Self::Without(why) => format!("without credentials: {why}"),
            Self::Failed(why) => format!("credentials not stored: {why}"),
        }
    }
}

/// The credentials of every context, or why there are none.
pub(super) struct Inline(Result<HashMap<String, Result<Kubeconfig, Refused>>, Refused>);

impl Inline {
    /// Reads a kubeconfig strictly.
    pub(super) fn read(text: &str) -> Self {
        let rules = Rules { max_bytes: MAX_BYTES, ..Rules::default() };
        Self(kubeconfig::contexts(text, rules).map(HashMap::from_iter))
    }

    /// The body of an upload for one context, or why it has none.
    pub(super) fn of(&self, context: &str) -> Result<Value, String> {
        let contexts = self.0.as_ref().map_err(Refused::to_string)?;
        match contexts.get(context) {
            Some(Ok(config)) => Ok(upload(config)),
            Some(Err(refused)) => Err(refused.to_string()),
            None => Err("the context cannot be read".to_owned()),
        }
    }
}

/// The body of an upload: a kubeconfig of this context alone.
pub(super) fn upload(config: &Kubeconfig) -> Value {
    let encoded = |text: &str| Value::from(BASE64_STANDARD.encode(text));
    let mut cluster = Map::from_iter([("server".to_owned(), config.server.as_str().into())]);
    if let Some(pem) = &config.ca_pem {
        cluster.insert("certificate-authority-data".to_owned(), encoded(pem));
    }
    if let Some(name) = &config.tls_server_name {
        cluster.insert("tls-server-name".to_owned(), name.as_str().into());
    }
    let mut user = Map::new();
    if let Some(token) = &config.token {
        user.insert("token".to_owned(), token.expose_secret().into());
    }
    if let Some(own) = &config.certificate {
        user.insert("client-certificate-data".to_owned(), encoded(&own.chain_pem));
        user.insert("client-key-data".to_owned(), encoded(own.key_pem.expose_secret()));
    }
    let alone = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{ "name": "it", "cluster": cluster }],
        "users": [{ "name": "it", "user": user }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
    });
    json!({ "auth_type": "KUBECONFIG", "kubeconfig": alone.to_string() })
}

/// Uploads credentials to a registered cluster that has none yet. What it has may be newer, and stays.
///
/// # Errors
/// When the server does not answer; what it refuses is told in what became of them.
pub(super) async fn convey(desk: &Desk, id: &str, given: Result<Value, String>) -> Result<Conveyed, CliError> {
    let path = format!("/api/v1/clusters/{id}/credentials");
    let body = match given {
        Ok(body) => body,
        Err(why) => return Ok(Conveyed::Without(why)),
    };
    match patiently(async || desk.client.get(&path).await).await {
        Ok(_) => return Ok(Conveyed::Kept),
        Err(CliError::Refused(refusal)) if refusal.code == "CREDENTIALS_NOT_FOUND" => {}
        Err(CliError::Refused(refusal)) => return Ok(Conveyed::Failed(words(&refusal))),
        Err(error) => return Err(error),
    }
    match patiently(async || desk.client.post(&path, Some(&body), desk.client.timeout()).await).await {
        Ok(_) => Ok(Conveyed::Stored),
        Err(CliError::Refused(refusal)) => Ok(Conveyed::Failed(words(&refusal))),
        Err(error) => Err(error),
    }
}

fn words(refusal: &Refusal) -> String {
    let details: Vec<_> = refusal.details.iter().map(|(field, message)| format!("{field}: {message}")).collect();
    if details.is_empty() { refusal.message.clone() } else { format!("{} ({})", refusal.message, details.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
apiVersion: v1
kind: Config
users:
- {name: good, user: {token: a-secret-token}}
- {name: runs, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: secret-program}}}
clusters:
- {name: one, cluster: {server: "https://one.example:6443", tls-server-name: kubernetes}}
contexts:
- {name: good, context: {cluster: one, user: good}}
- {name: runs, context: {cluster: one, user: runs}}
"#;

    #[test]
    fn a_context_gives_a_kubeconfig_of_itself_alone() {
        let body = Inline::read(CONFIG).of("good").unwrap();
        assert_eq!(body["auth_type"], "KUBECONFIG");
        let alone = kubeconfig::read(body["kubeconfig"].as_str().unwrap(), Rules::default()).unwrap();
        assert_eq!(alone.token.unwrap().expose_secret(), "a-secret-token");
        assert_eq!(
            (alone.server.as_str(), alone.tls_server_name.as_deref()),
            ("https://one.example:6443", Some("kubernetes"))
        );
    }

    #[test]
    fn what_runs_a_program_gives_nothing_and_says_where() {
        let why = Inline::read(CONFIG).of("runs").unwrap_err();
        assert!(why.contains("users[1].user.exec") && !why.contains("secret-program"), "{why}");
        assert!(Inline::read(CONFIG).of("nobody").is_err() && Inline::read("just: words").of("x").is_err());
    }
}
