//! Where a secret may be sent: scheme, host and port of one URL, and the authorities trusted there.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use fleetbeat_actors::{health::Endpoint, roll::Cluster};
use url::Url;

/// The place a secret is bound to. Another place, or another trust, is another binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding(String);

impl Binding {
    /// The binding of a URL under a CA bundle; `None` where credentials may not be sent at all: without TLS.
    pub fn of(url: &str, ca_bundle: Option<&str>) -> Option<Self> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let trust = ca_bundle.map_or_else(|| "-".to_owned(), |pem| fingerprint(pem.trim()));
        Some(Self(format!("https://{}:{port} {trust}", host.trim_end_matches('.'))))
    }

    /// The binding of one endpoint of a cluster.
    pub fn of_endpoint(cluster: &Cluster, endpoint: Endpoint) -> Option<Self> {
        Self::of(url_of(cluster, endpoint)?, cluster.ca_bundle.as_deref())
    }

    /// A binding as it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The same scheme, host and port, whatever is trusted there?
    pub fn same_place(&self, other: &Self) -> bool {
        let place = |binding: &Self| binding.0.split(' ').next().map(str::to_owned);
        place(self) == place(other)
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URL of one endpoint of a cluster, where configured.
pub(crate) fn url_of(cluster: &Cluster, endpoint: Endpoint) -> Option<&str> {
    match endpoint {
        Endpoint::ApiServer => Some(&cluster.api_server_url),
        Endpoint::Prometheus => cluster.endpoints.prometheus_url.as_deref(),
        Endpoint::Tempo => cluster.endpoints.tempo_url.as_deref(),
        Endpoint::Loki => cluster.endpoints.loki_url.as_deref(),
    }
}

/// SHA-256 in hexadecimal digits.
pub(super) fn fingerprint(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_port_and_trust_make_a_binding_and_the_path_does_not() {
        let of = |url, ca| Binding::of(url, ca);
        let one = of("https://a.example:6443", None);
        assert!(one.is_some());
        for same in ["https://a.example:6443/", "https://A.example:6443/path", "https://a.example.:6443"] {
            assert_eq!(of(same, None), one, "{same}");
        }
        for other in ["https://b.example:6443", "https://a.example:6444", "https://a.example"] {
            assert_ne!(of(other, None), one, "{other}");
        }
        assert_ne!(of("https://a.example:6443", Some("pem")), one);
        assert_eq!(of("https://a.example", None), of("https://a.example:443", None));
        assert_eq!(of("http://a.example:6443", None), None);
    }
}
