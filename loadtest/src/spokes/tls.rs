//! Certificates and TLS settings: one authority and one leaf key per fleet, one certificate per spoke
//! (its address and DNS name), made at its first handshake; faulty ones only when asked for.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::crypto::aws_lc_rs::{self, Ticketer, kx_group};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ServerConfig, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::behaviour::CertificateFault;
use super::clock::Clock;
use super::error::FleetError;

/// What comes with a giant chain: some 200 KiB.
const USELESS_CERTIFICATES: usize = 400;

/// Everything a fleet needs to make certificates.
pub(super) struct Authority {
    trusted: Issuer<'static, KeyPair>,
    stranger: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    /// What every spoke's settings have in common; the certificate is put in per spoke.
    template: ServerConfig,
    ca_pem: String,
}

impl Authority {
    pub fn new() -> Result<Self, FleetError> {
        Self::make().map_err(|error| FleetError::Certificates(error.to_string()))
    }

    fn make() -> Result<Self, Box<dyn std::error::Error>> {
        let (trusted, ca_pem) = issuer("fleetbeat simulated spokes")?;
        let (stranger, _) = issuer("nobody you know")?;
        let leaf_key = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let signing_key = aws_lc_rs::sign::any_ecdsa_type(&der)?;
        let names = CertificateParams::new(vec!["template.spokes.test".to_owned()])?;
        let certificate = names.signed_by(&leaf_key, &trusted)?.der().clone();
        let template = template(&signing_key, certificate)?;
        Ok(Self { trusted, stranger, leaf_key, signing_key, template, ca_pem })
    }

    /// The certificate of the authority, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    fn leaf(&self, names: &Names, fault: Option<CertificateFault>) -> Result<CertificateDer<'static>, rcgen::Error> {
        let wrong_name = fault == Some(CertificateFault::WrongName);
        let sans = if wrong_name {
            vec!["elsewhere.spokes.test".to_owned(), "127.0.0.99".to_owned()]
        } else {
            vec![names.dns.clone(), names.address.to_string()]
        };
        let mut params = CertificateParams::new(sans)?;
        params.distinguished_name.push(DnType::CommonName, names.dns.as_str());
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = if fault == Some(CertificateFault::Expired) {
            date_time_ymd(1970, 1, 1) + yesterday()
        } else {
            date_time_ymd(2049, 1, 1)
        };
        params.use_authority_key_identifier_extension = true;
        let issuer = if fault == Some(CertificateFault::UnknownCa) { &self.stranger } else { &self.trusted };
        Ok(params.signed_by(&self.leaf_key, issuer)?.der().clone())
    }

    fn settings(&self, names: &Names, fault: Option<CertificateFault>) -> Result<ServerConfig, rcgen::Error> {
        let mut chain = vec![self.leaf(names, fault)?];
        if fault == Some(CertificateFault::GiantChain) {
            chain.extend(std::iter::repeat_n(chain[0].clone(), USELESS_CERTIFICATES));
        }
        let key = CertifiedKey::new(chain, Arc::clone(&self.signing_key));
        let mut config = self.template.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        if fault.is_some() {
            config.send_tls13_tickets = 0;
            config.ticketer = Arc::new(NoTickets);
        }
        Ok(config)
    }
}

fn issuer(name: &str) -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2050, 1, 1);
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

/// Yesterday, counted from 1970.
fn yesterday() -> Duration {
    let now = u64::try_from(Clock::wall().timestamp()).unwrap_or(0);
    Duration::from_secs(now.saturating_sub(86_400))
}

/// Cheap settings: no post-quantum group (a fifth of a handshake), tickets without memory, one per handshake.
fn template(
    key: &Arc<dyn SigningKey>,
    certificate: CertificateDer<'static>,
) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], Arc::clone(key)));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Neither gives out tickets nor takes any: a faulty certificate must be looked at.
#[derive(Debug)]
struct NoTickets;

impl rustls::server::ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[derive(Clone, Debug)]
struct Names {
    dns: String,
    address: Ipv4Addr,
}

type Faulty = Option<(CertificateFault, Arc<ServerConfig>)>;

/// The TLS side of one spoke, shared by its servers.
pub(super) struct SpokeTls {
    authority: Arc<Authority>,
    names: Names,
    good: OnceLock<Arc<ServerConfig>>,
    faulty: Mutex<Faulty>,
}

impl SpokeTls {
    pub fn new(authority: Arc<Authority>, dns: String, address: Ipv4Addr) -> Self {
        Self { authority, names: Names { dns, address }, good: OnceLock::new(), faulty: Mutex::new(None) }
    }

    /// The settings to shake hands with; nothing when a certificate cannot be made.
    pub fn settings(&self, fault: Option<CertificateFault>) -> Option<Arc<ServerConfig>> {
        match fault {
            None => self.good(),
            Some(fault) => self.faulty(fault),
        }
    }

    fn good(&self) -> Option<Arc<ServerConfig>> {
        if let Some(config) = self.good.get() {
            return Some(Arc::clone(config));
        }
        let made = Arc::new(self.authority.settings(&self.names, None).ok()?);
        Some(Arc::clone(self.good.get_or_init(|| made)))
    }

    fn faulty(&self, fault: CertificateFault) -> Option<Arc<ServerConfig>> {
        let mut kept = self.faulty.lock();
        if let Some((_, config)) = kept.as_ref().filter(|(kind, _)| *kind == fault) {
            return Some(Arc::clone(config));
        }
        let config = Arc::new(self.authority.settings(&self.names, Some(fault)).ok()?);
        *kept = Some((fault, Arc::clone(&config)));
        Some(config)
    }
}
