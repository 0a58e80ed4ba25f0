//! Whose certificates are believed: the system's roots and the operator's file, loaded once, and a cluster's own bundle.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

/// Why trust could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read, or is not PEM.
    #[error("cannot read certificates from {0}")]
    Unreadable(String),
    /// There is no certificate in it, or one that cannot be an anchor.
    #[error("no usable certificate in {0}")]
    Unusable(String),
}

/// The shared trust: one provider, one set of roots for all clusters.
#[derive(Clone, Debug)]
pub struct Trust {
    provider: Arc<CryptoProvider>,
    shared: Option<Arc<WebPkiServerVerifier>>,
}

impl Trust {
    /// The system's roots (those that can be read) and the certificates of `ca_file`.
    ///
    /// # Errors
    /// When `ca_file` is given but cannot be read or holds no usable certificate.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        if !system.errors.is_empty() {
            tracing::warn!(errors = system.errors.len(), "some of the system's root certificates cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        if let Some(path) = ca_file {
            let name = path.display().to_string();
            let pem = std::fs::read(path).map_err(|_| TrustError::Unreadable(name.clone()))?;
            add_pem(&mut roots, &pem, &name)?;
        }
        Ok(Self::of(roots))
    }

    /// Exactly these roots, for every cluster without a bundle of its own.
    pub fn of(roots: RootCertStore) -> Self {
        let provider = Arc::new(provider());
        let shared = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
        Self { provider, shared }
    }

    /// The provider of all cryptography.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone()
    }

    /// The verifier for an API server: the bundle alone when there is one.
    pub(super) fn for_api_server(&self, bundle: Option<&str>) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
        let own = self.own(bundle)?;
        let shared = if own.is_some() { None } else { self.shared.clone() };
        Ok(Arc::new(Verifier { own, shared, algorithms: self.provider.signature_verification_algorithms }))
    }

    /// The verifier for the other endpoints, which often stand behind an ingress with a public certificate: the
    /// bundle and the shared roots.
    pub(super) fn for_endpoint(&self, bundle: Option<&str>) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
        let (own, shared) = (self.own(bundle)?, self.shared.clone());
        Ok(Arc::new(Verifier { own, shared, algorithms: self.provider.signature_verification_algorithms }))
    }

    fn own(&self, bundle: Option<&str>) -> Result<Option<Arc<WebPkiServerVerifier>>, TrustError> {
        let Some(pem) = bundle else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        add_pem(&mut roots, pem.as_bytes(), "ca_bundle")?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map(Some)
            .map_err(|_| TrustError::Unusable("ca_bundle".to_owned()))
    }
}

/// Is `pem` a bundle with at least one certificate, all of them usable as trust anchors?
///
/// # Errors
/// When it is not.
pub fn check_bundle(pem: &str) -> Result<(), TrustError> {
    add_pem(&mut RootCertStore::empty(), pem.as_bytes(), "ca_bundle")
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8], name: &str) -> Result<(), TrustError> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| TrustError::Unreadable(name.to_owned()))?;
        roots.add(certificate).map_err(|_| TrustError::Unusable(name.to_owned()))?;
    }
    if roots.is_empty() { Err(TrustError::Unusable(name.to_owned())) } else { Ok(()) }
}

/// The default provider with the classical key exchange first: it costs a sixth less per handshake; a server that wants
/// the post-quantum group still gets it.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519);
    provider
}

/// Verifies with the cluster's own anchors first, then with the shared ones, where each counts.
#[derive(Debug)]
struct Verifier {
    own: Option<Arc<WebPkiServerVerifier>>,
    shared: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |verifier: &Arc<WebPkiServerVerifier>| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        match (self.own.as_ref().map(verify), &self.shared) {
            (Some(Ok(verified)), _) => Ok(verified),
            (Some(Err(own)), Some(shared)) => {
                verify(shared).map_err(|error| if own == unknown() { error } else { own })
            }
            (Some(Err(own)), None) => Err(own),
            (None, Some(shared)) => verify(shared),
            (None, None) => Err(unknown()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
