//! The sections about credentials, the hub and the internal endpoint. What each key means and its default stand in `config/default.yaml`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Listen, durations::seconds, hidden::Hidden};

/// Credentials of clusters.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Where they are kept.
    pub store: CredentialPlace,
    /// Kubernetes namespace of the Secrets.
    pub secret_namespace: String,
    /// Days before a credential's end from which a warning is shown.
    pub rotation_warning_days: u32,
    /// Share of a service-account token's life, percent, after which it is renewed; 0 for never.
    pub renew_at_percent: u8,
    /// File of the key that seals stored credentials.
    pub key_file: PathBuf,
    /// The key itself.
    pub key: Hidden,
    /// The key before it.
    pub previous_key: Hidden,
}

/// Where credentials are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum CredentialPlace {
    /// Sealed in the database.
    Sealed,
    /// In Secrets of the hub.
    Kubernetes,
}

impl TryFrom<String> for CredentialPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "sealed" => Ok(Self::Sealed),
            "kubernetes" => Ok(Self::Kubernetes),
            _ => Err("must be `sealed` or `kubernetes`".to_owned()),
        }
    }
}

impl From<CredentialPlace> for String {
    fn from(value: CredentialPlace) -> Self {
        match value {
            CredentialPlace::Sealed => "sealed",
            CredentialPlace::Kubernetes => "kubernetes",
        }
        .to_owned()
    }
}

/// The Kubernetes API of the cluster that fleetbeat belongs to.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// A kubeconfig to reach it with; empty for the pod's own service account.
    pub kubeconfig: PathBuf,
    /// Folder of the pod's service account.
    pub service_account_dir: PathBuf,
    /// Longest time for one request.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// Largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

/// The endpoint that hands credentials to other parts of the platform.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Internal {
    /// Where it is served; nowhere when empty.
    pub listen: MaybeListen,
    /// For whom tokens have to be made.
    pub audience: String,
    /// Who may ask, as `namespace/name`.
    pub allowed_service_accounts: Vec<String>,
}

/// An address or Unix socket to listen on, or an empty text for none.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaybeListen(pub Option<Listen>);

impl TryFrom<String> for MaybeListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() { Ok(Self(None)) } else { Listen::try_from(text).map(|listen| Self(Some(listen))) }
    }
}

impl From<MaybeListen> for String {
    fn from(value: MaybeListen) -> Self {
        value.0.map(Self::from).unwrap_or_default()
    }
}
