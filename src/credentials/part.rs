//! What a credential consists of: a part for every endpoint it opens.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use fleetbeat_actors::health::Endpoint;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::{Binding, Expiries};

/// The secrets of one cluster. A changed credential has another version.
#[derive(Clone, Default)]
pub struct Credential {
    /// Tells two contents of the same cluster apart. Unique in this process.
    pub version: u64,
    pub(super) parts: [Option<Arc<Part>>; 4],
}

/// The secrets of one endpoint.
#[derive(Clone, Default)]
pub struct Part {
    /// As what it was given.
    pub auth_type: AuthType,
    /// Bearer token.
    pub token: Option<SecretString>,
    /// Client certificate; only an API server's is used.
    pub certificate: Option<ClientCertificate>,
    /// Authorities for this endpoint, where the cluster has no bundle of its own. PEM.
    pub ca_pem: Option<String>,
    /// Name to verify in place of the URL's host, where the cluster names none.
    pub tls_server_name: Option<String>,
    /// Where it may be sent; anywhere when `None`, which only tests use.
    pub bound_to: Option<Binding>,
}

/// A client certificate with its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// Certificate chain, PEM, leaf first.
    pub chain_pem: String,
    /// Private key, PEM.
    pub key_pem: SecretString,
}

/// As what a credential was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthType {
    /// A kubeconfig.
    Kubeconfig,
    /// A bearer token.
    #[default]
    Token,
    /// A client certificate.
    Certificate,
}

impl AuthType {
    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubeconfig => "KUBECONFIG",
            Self::Token => "TOKEN",
            Self::Certificate => "CERTIFICATE",
        }
    }

    /// The type of a word; `SERVICE_ACCOUNT` is a token.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "KUBECONFIG" => Some(Self::Kubeconfig),
            "TOKEN" | "SERVICE_ACCOUNT" => Some(Self::Token),
            "CERTIFICATE" => Some(Self::Certificate),
            _ => None,
        }
    }
}

impl Part {
    /// A bearer token, bound to nothing.
    pub fn of_token(token: impl Into<SecretString>) -> Self {
        Self { token: Some(token.into()), ..Self::default() }
    }

    /// A client certificate, bound to nothing.
    pub fn of_certificate(certificate: ClientCertificate) -> Self {
        Self { auth_type: AuthType::Certificate, certificate: Some(certificate), ..Self::default() }
    }

    /// Do both hold the same?
    pub fn same_as(&self, other: &Self) -> bool {
        let token = |part: &Self| part.token.as_ref().map(|token| Zeroizing::new(token.expose_secret().to_owned()));
        let certificate = |part: &Self| {
            let own = part.certificate.as_ref()?;
            Some((own.chain_pem.clone(), Zeroizing::new(own.key_pem.expose_secret().to_owned())))
        };
        self.auth_type == other.auth_type
            && token(self) == token(other)
            && certificate(self) == certificate(other)
            && self.ca_pem == other.ca_pem
            && self.tls_server_name == other.tls_server_name
            && self.bound_to == other.bound_to
    }

    /// When what it consists of ends.
    pub fn expiries(&self) -> Expiries {
        Expiries::of(self)
    }
}

impl Credential {
    /// The part for one endpoint.
    pub fn part(&self, endpoint: Endpoint) -> Option<&Arc<Part>> {
        self.parts[index(endpoint)].as_ref()
    }

    /// The same with this part.
    #[must_use]
    pub fn with(mut self, endpoint: Endpoint, part: impl Into<Arc<Part>>) -> Self {
        self.parts[index(endpoint)] = Some(part.into());
        self
    }

    /// The same without this part.
    #[must_use]
    pub fn without(mut self, endpoint: Endpoint) -> Self {
        self.parts[index(endpoint)] = None;
        self
    }

    /// Every part, API server first.
    pub fn parts(&self) -> impl Iterator<Item = (Endpoint, &Arc<Part>)> {
        Endpoint::ALL.into_iter().filter_map(|endpoint| Some((endpoint, self.part(endpoint)?)))
    }

    /// The first end of any token or client certificate in it.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.parts().filter_map(|(_, part)| part.expiries().identity()).min()
    }

    /// Do both hold the same, whatever their versions?
    pub fn same_as(&self, other: &Self) -> bool {
        self.parts.iter().zip(&other.parts).all(|pair| match pair {
            (Some(one), Some(two)) => one.same_as(two),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        })
    }

    /// Has it no part?
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Option::is_none)
    }
}

const fn index(endpoint: Endpoint) -> usize {
    match endpoint {
        Endpoint::ApiServer => 0,
        Endpoint::Prometheus => 1,
        Endpoint::Tempo => 2,
        Endpoint::Loki => 3,
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<_> = self.parts().map(|(endpoint, _)| endpoint.as_str()).collect();
        f.debug_struct("Credential").field("version", &self.version).field("endpoints", &endpoints).finish()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part([redacted])")
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
    use crate::credentials::Lookup;

    #[test]
    fn no_secret_appears_in_debug_output() {
        let secret = "canary-7f3a";
        let certificate = ClientCertificate { chain_pem: secret.into(), key_pem: secret.into() };
        let part = Part { ca_pem: Some(secret.into()), ..Part::of_certificate(certificate.clone()) };
        let credential =
            Credential::default().with(Endpoint::ApiServer, part.clone()).with(Endpoint::Loki, Part::of_token(secret));
        let shown = format!("{credential:?} {part:?} {certificate:?}");
        assert!(!shown.contains(secret), "{shown}");
        assert!(!format!("{:?}", Lookup::Some(Arc::new(credential))).contains(secret));
    }
}
