//! A listener with a router that tells what it was told, and clients of every kind.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Bytes,
    http::StatusCode,
    routing::{get, post},
};
use fleetbeat::listener::{Clients, Door, Limits, Peer, Tls, TlsFiles, serve};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Authority, Scratch};

/// A listener.
pub struct Stand {
    pub address: SocketAddr,
    pub socket: PathBuf,
    pub stop: watch::Sender<bool>,
    pub task: JoinHandle<()>,
    pub scratch: Scratch,
    pub authority: Authority,
}

/// What is served: `/peer` tells the peer, `/body` the length of what came, `/slow` begins and never ends.
fn router() -> Router {
    async fn peer(Extension(peer): Extension<Peer>) -> String {
        let at = peer.address.map_or_else(|| "nowhere".to_owned(), |address| address.ip().to_string());
        format!("{at} {:?} unix={} tls={}", &*peer.client_cert_names, peer.unix, peer.tls)
    }
    async fn body(body: Bytes) -> String {
        body.len().to_string()
    }
    async fn endless() -> axum::body::Body {
        let bytes = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 16])));
        axum::body::Body::from_stream(bytes)
    }
    Router::new()
        .route("/peer", get(peer))
        .route("/body", post(body))
        .route("/endless", get(endless))
        .fallback(|| async { StatusCode::NOT_FOUND })
}

impl Stand {
    /// Plain HTTP.
    pub async fn plain(limits: Limits) -> Self {
        Self::begin(limits, |_, _| None).await
    }

    /// TLS that asks clients for certificates as `clients` says.
    pub async fn tls(limits: Limits, clients: impl FnOnce(PathBuf) -> Clients) -> Self {
        Self::begin(limits, |scratch, authority| {
            let (certificate, key) = authority.issue();
            let authorities = scratch.write("ca.pem", &authority.pem(), None);
            let files = TlsFiles {
                certificate: scratch.write("server.pem", &certificate, None),
                key: scratch.write("server.key", &key, None),
                clients: clients(authorities),
            };
            Some(Tls::load(files).unwrap())
        })
        .await
    }

    async fn begin(limits: Limits, tls: impl FnOnce(&Scratch, &Authority) -> Option<Arc<Tls>>) -> Self {
        let (scratch, authority) = (Scratch::new(), Authority::new());
        let tls = tls(&scratch, &authority);
        let socket = scratch.path().join("api.sock");
        let doors = vec![Door::tcp(([127, 0, 0, 1], 0).into()).await.unwrap(), Door::unix(&socket).unwrap()];
        let address = doors[0].address().unwrap();
        let (stop, stopping) = watch::channel(false);
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).keep_fresh());
        }
        let task = tokio::spawn(serve(doors, tls, router(), limits, stopping));
        Self { address, socket, stop, task, scratch, authority }
    }

    /// A TCP connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection over the Unix socket.
    pub async fn connect_unix(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// A TLS connection, with a client certificate if given, offering these protocols.
    pub async fn connect_tls(
        &self,
        certificate: Option<(String, String)>,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.authority.client_config();
        if let Some((chain, key)) = certificate {
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
            config = builder.with_client_auth_cert(chain, key).unwrap();
        }
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await
    }
}

/// Sends text as it is.
pub async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// Everything that comes until the connection is closed, which must be within `within`.
pub async fn hear(stream: &mut (impl AsyncRead + Unpin), within: Duration) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(within, stream.read_to_end(&mut bytes)).await.expect("not closed in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One whole `GET` on a connection of its own.
pub async fn get_once(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
    say(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
    let answer = hear(&mut stream, Duration::from_secs(40)).await;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer)
}
