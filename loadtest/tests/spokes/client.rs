//! A real TLS client for the tests: rustls over TCP, HTTP/1.1 by hand so that every odd byte is seen.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fleetbeat_loadtest::spokes::{Endpoints, Fleet, FleetHandle, FleetOptions, Ports, Role, Spoke};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing in these tests may take longer.
pub const SOON: Duration = Duration::from_secs(5);
/// Long enough to say that nothing comes.
pub const QUIET: Duration = Duration::from_millis(300);

/// A fleet on free ports with every endpoint.
pub fn fleet(count: usize, change: impl FnOnce(&mut FleetOptions)) -> Fleet {
    let mut options = FleetOptions { count, endpoints: Endpoints::all(), ports: Ports::ANY, ..FleetOptions::default() };
    change(&mut options);
    Fleet::start(&options).unwrap()
}

/// A client that trusts the fleet's authority.
pub struct Client(TlsConnector);

impl Client {
    pub fn trusting(fleet: &FleetHandle) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(fleet.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Connects to `role` of `spoke`, verifying the certificate against its address.
    pub async fn connect(&self, spoke: &Spoke, role: Role) -> io::Result<Connection> {
        let address = spoke.socket(role).unwrap();
        let tcp = TcpStream::connect(address).await?;
        self.secure(tcp, address).await
    }

    pub async fn secure(&self, tcp: TcpStream, address: SocketAddr) -> io::Result<Connection> {
        let name = ServerName::IpAddress(address.ip().into());
        Ok(Connection(self.0.connect(name, tcp).await?))
    }

    /// One request on a fresh connection: its status and body.
    pub async fn get(&self, spoke: &Spoke, role: Role, path: &str) -> io::Result<(u16, String)> {
        within(async { self.connect(spoke, role).await?.get(path, None).await }).await
    }
}

/// The error of a test that should have ended long ago.
pub async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether nothing happens for a while.
pub async fn stays_quiet<T>(work: impl Future<Output = T>) -> bool {
    tokio::time::timeout(QUIET, work).await.is_err()
}

pub struct Connection(TlsStream<TcpStream>);

impl Connection {
    pub async fn ask(&mut self, path: &str, bearer: Option<&str>) -> io::Result<()> {
        let header = bearer.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: spoke\r\n{header}\r\n");
        self.0.write_all(request.as_bytes()).await?;
        self.0.flush().await
    }

    pub async fn get(&mut self, path: &str, bearer: Option<&str>) -> io::Result<(u16, String)> {
        self.ask(path, bearer).await?;
        self.response().await
    }

    /// Reads one response with a Content-Length; anything else is InvalidData.
    pub async fn response(&mut self) -> io::Result<(u16, String)> {
        let mut seen = Vec::new();
        loop {
            if let Some(response) = whole(&seen)? {
                return Ok(response);
            }
            if self.0.read_buf(&mut seen).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if seen.len() > 64 * 1024 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too large"));
            }
        }
    }

    /// Waits for the server to close; how it did.
    pub async fn closed(&mut self) -> io::Result<usize> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await
    }

    pub fn resumed(&self) -> bool {
        self.0.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }
}

fn whole(seen: &[u8]) -> io::Result<Option<(u16, String)>> {
    let bad = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&seen[..end]).map_err(|_| bad("no text"))?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| bad("no HTTP"))?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.and_then(|length| length.parse().ok()).ok_or_else(|| bad("no length"))?;
    let body = seen.get(end + 4..end + 4 + length);
    Ok(body.map(|body| (status, String::from_utf8_lossy(body).into_owned())))
}
