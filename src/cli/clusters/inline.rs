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
    /// The cluster had none; they were tried on it and stored.
    Stored,
    /// They were tried on the cluster and took the place of others.
    Replaced,
    /// The cluster has them already.
    Unchanged,
    /// The cluster has a newer token of the same account, which stays.
    Kept,
    /// They would be tried on a cluster that is not there yet, or moves.
    WouldBeTried,
    /// The cluster accepts them, and they would be stored.
    WouldBeStored,
    /// The cluster accepts them, and they would take the place of others.
    WouldBeReplaced,
    /// There are none that can be used, and why.
    Without(String),
    /// They were not stored, and why.
    Failed(String),
    /// They were not stored in place of others, and why.
    Refused(String),
}

impl Conveyed {
    /// The word in JSON.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::WouldBeTried => "would be tried",
            Self::WouldBeStored => "would be stored",
            Self::WouldBeReplaced => "would be replaced",
            Self::Without(_) => "none",
            Self::Failed(_) | Self::Refused(_) => "failed",
        }
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Stored => "with credentials".to_owned(),
            Self::Replaced => "with new credentials in place of the old ones".to_owned(),
            Self::Unchanged => "has these credentials already".to_owned(),
            Self::Kept => "keeps the newer token that it has of the same account".to_owned(),
            Self::WouldBeTried => "its credentials would be tried".to_owned(),
            Self::WouldBeStored => "its credentials would be stored: the cluster accepts them".to_owned(),
            Self::WouldBeReplaced => "its credentials would be replaced: the cluster accepts the new ones".to_owned(),
            Self::Without(why) => format!("without credentials: {why}"),
            Self::Failed(why) => format!("credentials not stored: {why}"),
            Self::Refused(why) => format!("new credentials not stored, the old ones stay: {why}"),
        }
    }

    /// Were there some that could not be stored?
    pub(super) const fn has_failed(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Refused(_))
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

/// Uploads credentials to a registered cluster, or rotates those that it has unless they are the same. In a rehearsal they are
/// tried on the cluster, and nothing is stored.
///
/// # Errors
/// When the server does not answer; what it refuses is told in what became of them.
pub(super) async fn convey(
    desk: &Desk,
    id: &str,
    given: Result<Value, String>,
    rehearsed: bool,
) -> Result<Conveyed, CliError> {
    let path = format!("/api/v1/clusters/{id}/credentials");
    let body = match given {
        Ok(body) => body,
        Err(why) => return Ok(Conveyed::Without(why)),
    };
    let has_some = match patiently(async || desk.client.get(&path).await).await {
        Ok(_) => true,
        Err(CliError::Refused(refusal)) if refusal.code == "CREDENTIALS_NOT_FOUND" => false,
        Err(CliError::Refused(refusal)) if rehearsed && refusal.code == "PERMISSION_DENIED" => {
            return Ok(Conveyed::WouldBeTried);
        }
        Err(CliError::Refused(refusal)) => return Ok(Conveyed::Failed(words(&refusal))),
        Err(error) => return Err(error),
    };
    let path = match has_some {
        true => format!("{path}/rotate?if_changed=true&dry_run={rehearsed}"),
        false => format!("{path}?dry_run={rehearsed}"),
    };
    match patiently(async || desk.client.post(&path, Some(&body), desk.client.timeout()).await).await {
        Ok(answer) => Ok(became(&answer.json["status"], rehearsed)),
        Err(CliError::Refused(refusal)) if has_some => Ok(Conveyed::Refused(words(&refusal))),
        Err(CliError::Refused(refusal)) => Ok(Conveyed::Failed(words(&refusal))),
        Err(error) => Err(error),
    }
}

fn became(status: &Value, rehearsed: bool) -> Conveyed {
    match (status.as_str().unwrap_or_default(), rehearsed) {
        ("unchanged", _) => Conveyed::Unchanged,
        ("kept", _) => Conveyed::Kept,
        ("rotated", false) => Conveyed::Replaced,
        ("rotated", true) => Conveyed::WouldBeReplaced,
        (_, false) => Conveyed::Stored,
        (_, true) => Conveyed::WouldBeStored,
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
