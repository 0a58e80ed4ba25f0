//! Credentials of watched clusters: what they are, the port through which the probes read them, and the in-memory store.

pub mod kubeconfig;
pub mod material;
mod memory;

use std::{fmt, sync::Arc};

use fleetbeat_actors::{health::Endpoint, roll::ClusterId};
use secrecy::SecretString;

pub use memory::InMemoryCredentials;

/// Reads the credentials of a cluster. Called before every check: answers from memory, at once.
pub trait Credentials: Send + Sync + 'static {
    /// What is known for `id` now.
    fn get(&self, id: ClusterId) -> Lookup;
}

/// The answer of a credential store.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The cluster has no credentials.
    None,
    /// These.
    Some(Arc<Credential>),
    /// The store did not answer, so nobody knows; the check must not run as if there were none.
    Unavailable,
}

/// The secrets of one cluster. A changed credential has another version.
#[derive(Clone, Default)]
pub struct Credential {
    /// Tells two contents of the same cluster apart. Unique in its store.
    pub version: u64,
    /// Bearer token for the API server.
    pub bearer_token: Option<SecretString>,
    /// Client certificate for the API server.
    pub client_certificate: Option<ClientCertificate>,
    /// Bearer token for Prometheus.
    pub prometheus_token: Option<SecretString>,
    /// Bearer token for Tempo.
    pub tempo_token: Option<SecretString>,
    /// Bearer token for Loki.
    pub loki_token: Option<SecretString>,
}

/// A client certificate with its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// Certificate chain, PEM, leaf first.
    pub chain_pem: String,
    /// Private key, PEM.
    pub key_pem: SecretString,
}

impl Credential {
    /// The bearer token for one endpoint.
    pub const fn token(&self, endpoint: Endpoint) -> Option<&SecretString> {
        match endpoint {
            Endpoint::ApiServer => self.bearer_token.as_ref(),
            Endpoint::Prometheus => self.prometheus_token.as_ref(),
            Endpoint::Tempo => self.tempo_token.as_ref(),
            Endpoint::Loki => self.loki_token.as_ref(),
        }
    }

    /// The client certificate for one endpoint: only the API server has one.
    pub const fn certificate(&self, endpoint: Endpoint) -> Option<&ClientCertificate> {
        match endpoint {
            Endpoint::ApiServer => self.client_certificate.as_ref(),
            Endpoint::Prometheus | Endpoint::Tempo | Endpoint::Loki => None,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("version", &self.version)
            .field("bearer_token", &self.bearer_token.is_some())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("prometheus_token", &self.prometheus_token.is_some())
            .field("tempo_token", &self.tempo_token.is_some())
            .field("loki_token", &self.loki_token.is_some())
            .finish()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_appears_in_debug_output() {
        let secret = "canary-7f3a";
        let credential = Credential {
            bearer_token: Some(secret.into()),
            loki_token: Some(secret.into()),
            client_certificate: Some(ClientCertificate { chain_pem: secret.into(), key_pem: secret.into() }),
            ..Credential::default()
        };
        let shown = format!("{credential:?} {:?}", credential.client_certificate);
        assert!(!shown.contains(secret), "{shown}");
        assert!(!format!("{:?}", Lookup::Some(Arc::new(credential))).contains(secret));
    }
}
