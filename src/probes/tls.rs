//! The TLS side of one line: its client configuration, never shared with another line.

use std::{sync::Arc, time::Duration};

use fleetbeat_actors::health::{Cause, Endpoint};
use rustls::{
    ClientConfig,
    client::{Resumption, danger::ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use secrecy::ExposeSecret;

use super::tickets::Tickets;
use crate::credentials::{ClientCertificate, Part};

/// One line's TLS: configuration, session, and what is known of the server's certificate.
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// Version of the credential on which the configuration depends; 0 when it depends on none.
    pub(super) identity: u64,
    /// Name to verify in place of the site's.
    pub(super) server_name: Option<ServerName<'static>>,
    tickets: Arc<Tickets>,
    not_after: Option<i64>,
}

impl Tls {
    /// A configuration with this verifier and, for an API server, this client certificate.
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        verifier: Arc<dyn ServerCertVerifier>,
        identity: u64,
        certificate: Option<&ClientCertificate>,
        server_name: Option<&str>,
    ) -> Result<Self, Cause> {
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| Cause::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = parse(certificate).ok_or(Cause::Credentials)?;
                builder.with_client_auth_cert(chain, key).map_err(|_| Cause::Credentials)?
            }
        };
        let server_name = match server_name {
            None => None,
            Some(name) => Some(ServerName::try_from(name.to_owned()).map_err(|_| Cause::Credentials)?),
        };
        let tickets = Arc::new(Tickets::default());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::store(tickets.clone());
        Ok(Self { config: Arc::new(config), identity, server_name, tickets, not_after: None })
    }

    /// Does the configuration for an endpoint depend on more of a credential than its token?
    pub(super) fn depends_on(endpoint: Endpoint, part: &Part) -> bool {
        let named = endpoint == Endpoint::ApiServer && (part.certificate.is_some() || part.tls_server_name.is_some());
        named || part.ca_pem.is_some()
    }

    /// When the server's certificate ends, as the last full handshake showed it; seconds of the epoch.
    pub(super) fn not_after(&self) -> Option<i64> {
        self.not_after
    }

    /// The next handshake is a full one, and the certificate is verified again.
    pub(super) fn forget_session(&self) {
        self.tickets.forget();
    }

    /// A handshake succeeded. After a full one the session may be resumed for `resume_for`, if given.
    pub(super) fn shook_hands(&mut self, connection: &rustls::ClientConnection, resume_for: Option<Duration>) {
        if connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            return;
        }
        if let Some(span) = resume_for {
            self.tickets.collect_for(span);
        }
        self.not_after = connection.peer_certificates().and_then(|chain| not_after(chain.first()?));
    }

    /// Has the certificate seen last expired meanwhile?
    pub(super) fn has_expired(&self) -> bool {
        let now = UnixTime::now().as_secs();
        self.not_after.is_some_and(|end| i64::try_from(now).is_ok_and(|now| now > end))
    }
}

fn parse(certificate: &ClientCertificate) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty())?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.expose_secret().as_bytes()).ok()?;
    Some((chain, key))
}

fn not_after(leaf: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
