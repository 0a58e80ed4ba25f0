//! Who is at the other end of a connection, as far as the connection itself proves it.

use std::{net::SocketAddr, sync::Arc};

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::GeneralName;

/// Most names that are taken from one certificate.
const MAX_NAMES: usize = 64;

/// The other end of the connection that a request came over. Every request carries one in its extensions. Nothing in it is
/// taken from a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` over a Unix socket.
    pub address: Option<SocketAddr>,
    /// The names in the client certificate that was verified in the handshake: common name, DNS names, URIs. Empty without
    /// one.
    pub client_cert_names: Arc<[String]>,
    /// Did it come over a Unix socket, whose file's mode says who may?
    pub unix: bool,
    /// Is the connection encrypted?
    pub tls: bool,
}

impl Peer {
    /// Somebody at an address, over plain TCP.
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Some(address), ..Self::default() }
    }

    /// Somebody at a Unix socket.
    pub fn on_unix_socket() -> Self {
        Self { unix: true, ..Self::default() }
    }

    /// The same, over TLS, with the certificate chain that it was verified by, if any.
    #[must_use]
    pub(super) fn with_tls(self, chain: Option<&[CertificateDer<'_>]>) -> Self {
        let names = chain.and_then(<[_]>::first).map(names).unwrap_or_default();
        Self { client_cert_names: names.into(), tls: true, ..self }
    }
}

/// The names that a certificate gives its bearer.
fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(*name),
        _ => None,
    });
    let mut names: Vec<String> = Vec::new();
    for name in common.chain(alternative).filter(|name| !name.is_empty()).take(MAX_NAMES) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_gives_its_common_name_its_dns_names_and_its_uris() {
        let mut params = CertificateParams::new(["gateway.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "gateway");
        params.subject_alt_names.push(SanType::URI("spiffe://fleet/gateway".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("a@example".try_into().unwrap()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(names(certificate.der()), ["gateway", "gateway.example", "spiffe://fleet/gateway"]);
    }

    #[test]
    fn without_a_certificate_there_are_no_names() {
        let peer = Peer::at(([127, 0, 0, 1], 1).into()).with_tls(None);
        assert!(peer.tls && peer.client_cert_names.is_empty());
    }
}
