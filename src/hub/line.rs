//! The connections to the hub, made for one reading of how it is reached.

use std::{sync::Arc, time::Duration};

use hyper::{
    Uri,
    header::HeaderValue,
    http::uri::{Authority, PathAndQuery, Scheme},
};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::client::Body;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use secrecy::ExposeSecret;

use super::access::Access;
use crate::credentials::ClientCertificate;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// kube-apiserver closes idle connections after 90 s.
const KEPT_FOR: Duration = Duration::from_secs(60);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Largest head of an answer, in bytes.
const HEAD_BYTES: usize = 64 * 1024;

pub(super) type Connections = Pool<HttpsConnector<HttpConnector>, Body>;

/// Connections, and what is sent over them with every request.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) pool: Connections,
    pub(super) bearer: Option<HeaderValue>,
    pub(super) access: Access,
    authority: Authority,
    path: String,
}

impl Line {
    /// New connections.
    pub(super) fn new(access: Access) -> Result<Self, String> {
        let uri: Uri = access.server.parse().map_err(|_| "the hub's address is not a URL".to_owned())?;
        let authority = uri.authority().cloned().ok_or("the hub's address names no host")?;
        let pool = connections(&access)?;
        let bearer = bearer(&access)?;
        Ok(Self { pool, bearer, authority, path: uri.path().trim_end_matches('/').to_owned(), access })
    }

    /// The same connections with another token.
    pub(super) fn renewed(&self, access: Access) -> Result<Self, String> {
        Ok(Self { bearer: bearer(&access)?, access, ..self.clone() })
    }

    /// The whole address of a request for `path`.
    pub(super) fn uri(&self, path: Option<&PathAndQuery>) -> Option<Uri> {
        let path = format!("{}{}", self.path, path.map_or("/", PathAndQuery::as_str));
        let parts = Uri::builder().scheme(Scheme::HTTPS).authority(self.authority.clone());
        parts.path_and_query(path).build().ok()
    }
}

fn connections(access: &Access) -> Result<Connections, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_WITHIN));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls(access)?).https_only();
    let connector = match &access.tls_server_name {
        None => connector.enable_http1(),
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|_| "tls-server-name is not a name".to_owned())?;
            connector.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http1()
        }
    };
    let mut pool = Pool::builder(TokioExecutor::new());
    pool.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT_FOR).pool_max_idle_per_host(4);
    pool.http1_max_buf_size(HEAD_BYTES);
    Ok(pool.build(connector.wrap_connector(tcp)))
}

fn tls(access: &Access) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| "TLS cannot be set up".to_owned())?
        .with_root_certificates(roots(access.ca_pem.as_deref())?);
    let Some(certificate) = &access.certificate else { return Ok(builder.with_no_client_auth()) };
    let (chain, key) = parse(certificate).ok_or("the client certificate cannot be read")?;
    builder.with_client_auth_cert(chain, key).map_err(|_| "the client certificate cannot be used".to_owned())
}

/// The authorities given, and no others; the system's where none are.
fn roots(ca_pem: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = ca_pem else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| "the hub's authorities cannot be read".to_owned())?;
        roots.add(certificate).map_err(|_| "the hub's authorities cannot be used".to_owned())?;
    }
    Ok(roots)
}

fn parse(certificate: &ClientCertificate) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.expose_secret().as_bytes()).ok()?;
    Some((chain.ok()?, key))
}

fn bearer(access: &Access) -> Result<Option<HeaderValue>, String> {
    let Some(token) = &access.token else { return Ok(None) };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .map_err(|_| "the token cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}
