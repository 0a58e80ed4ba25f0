//! TLS of the listener: certificates from files, read again when the files change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use metrics::{describe_gauge, gauge};
use parking_lot::{Mutex, RwLock};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Largest file that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// What is asked of clients.
    pub clients: Clients,
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Nothing.
    Anybody,
    /// A certificate of one of these authorities (PEM), if they have one.
    MayProve(PathBuf),
    /// A certificate of one of these authorities: nobody else gets in.
    MustProve(PathBuf),
}

/// Why the files cannot be used. Never repeats what is in them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds nothing that can be used.
    #[error("{}: holds no {what} in PEM", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// The certificates in use.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Fingerprint>,
}

type Fingerprint = Option<Vec<u8>>;

struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let contents = Contents::read(&files)?;
        let config = contents.config(&files)?;
        let seen = Mutex::new(Some(contents.fingerprint()));
        Ok(Arc::new(Self { files, current: RwLock::new(Arc::new(config)), seen }))
    }

    /// Shakes hands as the files say now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read()))
    }

    /// Looks at the files again and again, for ever. What cannot be used is told once and changes nothing.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || tls.look()).await;
            if let Ok(Err(error)) = looked {
                tracing::error!(%error, "the changed TLS files cannot be used; the ones before stay in use");
            }
        }
    }

    /// Looks at the files once; true when they changed and are used now.
    fn look(&self) -> Result<bool, TlsError> {
        let contents = match Contents::read(&self.files) {
            Ok(contents) => contents,
            Err(error) => return if self.seen.lock().take().is_some() { Err(error) } else { Ok(false) },
        };
        let fingerprint = Some(contents.fingerprint());
        if std::mem::replace(&mut *self.seen.lock(), fingerprint.clone()) == fingerprint {
            return Ok(false);
        }
        let config = contents.config(&self.files)?;
        *self.current.write() = Arc::new(config);
        tracing::info!(certificate = %self.files.certificate.display(), "the TLS files changed and are used from now on");
        Ok(true)
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let authorities = match &files.clients {
            Clients::Anybody => None,
            Clients::MayProve(path) | Clients::MustProve(path) => Some(read(path)?),
        };
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)?, authorities })
    }

    fn fingerprint(&self) -> Vec<u8> {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [Some(&self.certificate), Some(&self.key), self.authorities.as_ref()].into_iter().flatten() {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }

    fn config(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::Empty { path: files.key.clone(), what: "private key" })?;
        note_end(&chain);
        let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match self.verifier(&files.clients)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn verifier(&self, clients: &Clients) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let (path, required) = match clients {
            Clients::Anybody => return Ok(None),
            Clients::MayProve(path) => (path, false),
            Clients::MustProve(path) => (path, true),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(self.authorities.as_deref().unwrap_or_default(), path)?);
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let empty = |_| TlsError::Empty { path: path.clone(), what: "certificate that can be used" };
        builder.build().map(Some).map_err(empty)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    read.map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let empty = || TlsError::Empty { path: path.to_owned(), what: "certificate" };
    found.ok().filter(|found| !found.is_empty()).ok_or_else(empty)
}

/// Tells when the server's own certificate ends.
fn note_end(chain: &[CertificateDer<'_>]) {
    describe_gauge!("fleetbeat_api_certificate_expiry_timestamp_seconds", "When the API's own certificate ends.");
    let leaf = chain.first().and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    if let Some((_, leaf)) = leaf {
        gauge!("fleetbeat_api_certificate_expiry_timestamp_seconds").set(leaf.validity().not_after.timestamp() as f64);
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn issue() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn write(directory: &Path, (certificate, key): &(String, String)) -> TlsFiles {
        let files =
            TlsFiles { certificate: directory.join("c.pem"), key: directory.join("k.pem"), clients: Clients::Anybody };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    #[test]
    fn changed_files_are_used_and_bad_ones_are_told_once_and_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (issue(), issue());
        let tls = Tls::load(write(directory.path(), &first)).unwrap();
        let using = || Arc::as_ptr(&tls.current.read());
        let before = using();
        assert!(!tls.look().unwrap(), "nothing changed");

        write(directory.path(), &(second.0.clone(), first.1));
        assert!(matches!(tls.look(), Err(TlsError::Unusable(_))), "a certificate with another's key");
        assert!(!tls.look().unwrap(), "told once");
        assert_eq!(using(), before);

        write(directory.path(), &second);
        assert!(tls.look().unwrap());
        assert_ne!(using(), before);

        std::fs::remove_file(directory.path().join("k.pem")).unwrap();
        assert!(matches!(tls.look(), Err(TlsError::Read { .. })));
        assert!(!tls.look().unwrap(), "told once");
    }

    #[test]
    fn what_is_no_certificate_is_named_by_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let files = write(directory.path(), &("canary".to_owned(), issue().1));
        let error = Tls::load(files).err().unwrap().to_string();
        assert!(error.contains("c.pem") && !error.contains("canary"), "{error}");
    }
}
