//! A certificate authority of the test's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Issues certificates for servers on this machine.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new authority, trusted by nobody yet.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "fleetbeat test authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, to be trusted.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client's configuration that trusts this authority and no other.
    pub fn client_config(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        trusting(roots)
    }

    /// The same with a certificate of its own to show.
    pub fn client_config_with(&self, (chain, key): (String, String)) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        config.unwrap().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap()
    }

    /// Certificate and key of a client of this name in this group.
    pub fn issue_client(&self, name: &str, group: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        params.not_before = rcgen::date_time_ymd(2024, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// Serves TLS as `localhost` or `127.0.0.1`.
    pub fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        let (certificate, key) = self.issue();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }

    /// Certificate and key of a server reached as `localhost` or `127.0.0.1`.
    pub fn issue(&self) -> (String, String) {
        self.issue_with(|_| {})
    }

    /// The same, valid from yesterday for so many days: what scanners call short enough.
    pub fn issue_for_days(&self, days: u32) -> (String, String) {
        const DAY: Duration = Duration::from_secs(86_400);
        let yesterday = UNIX_EPOCH + UNIX_EPOCH.elapsed().unwrap() - DAY;
        self.issue_with(|params| {
            params.not_before = yesterday.into();
            params.not_after = (yesterday + days * DAY).into();
            params.use_authority_key_identifier_extension = true;
        })
    }

    fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A client's configuration that trusts the given roots.
pub fn trusting(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    config.with_root_certificates(roots).with_no_client_auth()
}

/// One request over a TLS connection of its own to `localhost` at an address, and everything that comes back.
///
/// # Errors
/// When the handshake fails or the connection ends without a word.
pub async fn exchange(config: rustls::ClientConfig, at: SocketAddr, request: &str) -> Result<String, String> {
    let exchanged = async {
        let name = rustls_pki_types::ServerName::try_from("localhost").map_err(std::io::Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, tokio::net::TcpStream::connect(at).await?).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // A server that ends without saying so in TLS is not the concern of these tests; one that says nothing is.
        match stream.read_to_end(&mut answer).await {
            Err(error) if answer.is_empty() => Err(error),
            _ if answer.is_empty() => Err(std::io::Error::other("closed without a word")),
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    };
    let exchanged = tokio::time::timeout(Duration::from_secs(15), exchanged).await;
    exchanged.map_err(|_| "no answer in 15 s".to_owned())?.map_err(|error: std::io::Error| error.to_string())
}
