//! A scripted server on loopback: real sockets, real TLS, and whatever a test wants it to say.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// What a spoke does with a request.
#[derive(Clone)]
pub enum Act {
    /// Answers with these bytes and waits for the next request.
    Say(String),
    /// Answers with these bytes and closes.
    SayAndClose(String),
    /// Closes without a word.
    Close,
    /// Never answers.
    Hang,
    /// Answers one byte at a time.
    Drip(String),
    /// Says the first text once and the second without end.
    Endless(String, String),
}

impl Act {
    /// A whole answer of that status.
    pub fn status(status: u16) -> Self {
        Self::Say(format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n\r\nok"))
    }
}

/// The `nth` request (from 1) on its connection.
pub struct Asked<'a> {
    pub head: &'a str,
    pub nth: usize,
}

type Script = Arc<dyn Fn(Asked<'_>) -> Act + Send + Sync>;

/// What kind of certificate a spoke serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    Good,
    Expired,
    WrongName,
    /// No TLS at all.
    Plain,
    /// Accepts, and says nothing in the handshake.
    Silent,
    /// Accepts and closes at once.
    Resetting,
    /// As good, but what it says comes only when it closes, together with its end.
    Corked,
}

/// A running spoke. Ends with the test's process.
pub struct Spoke {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    cut: watch::Sender<usize>,
}

/// An authority of the test's own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn server_config(&self, serving: Serving) -> rustls::ServerConfig {
        let name = if serving == Serving::WrongName { "elsewhere.test" } else { "127.0.0.1" };
        let mut params = CertificateParams::new([name.to_owned(), "spoke.test".to_owned()]).unwrap();
        if serving == Serving::WrongName {
            params.subject_alt_names.truncate(1);
        }
        if serving == Serving::Expired {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.0).unwrap().der().clone()];
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap()
    }
}

impl Spoke {
    /// Starts a spoke with a certificate of `authority`, on a thread and runtime of its own.
    pub fn start(
        authority: &Authority,
        serving: Serving,
        script: impl Fn(Asked<'_>) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(0);
        let spoke = Self { address, heads: Arc::default(), connections: Arc::default(), resumed: Arc::default(), cut };
        let shared = Arc::new(Shared {
            serving,
            acceptor: TlsAcceptor::from(Arc::new(authority.server_config(serving))),
            script: Arc::new(script),
            heads: spoke.heads.clone(),
            connections: spoke.connections.clone(),
            resumed: spoke.resumed.clone(),
        });
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (shared, mut cuts) = (shared.clone(), cuts.clone());
                    cuts.mark_unchanged();
                    tokio::spawn(async move {
                        tokio::select! {
                            () = shared.serve(stream) => {}
                            _ = cuts.changed() => {}
                        }
                    });
                }
            });
        };
        std::thread::Builder::new().name("spoke".to_owned()).spawn(run).unwrap();
        spoke
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Resumed TLS sessions so far.
    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }

    /// Request heads seen so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Shared {
    serving: Serving,
    acceptor: TlsAcceptor,
    script: Script,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
}

impl Shared {
    async fn serve(&self, stream: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        match self.serving {
            Serving::Plain => self.talk(stream).await,
            Serving::Silent => std::future::pending().await,
            Serving::Resetting => {}
            Serving::Good | Serving::Expired | Serving::WrongName | Serving::Corked => {
                let Ok(stream) = self.acceptor.accept(stream).await else { return };
                if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
                    self.resumed.fetch_add(1, Ordering::SeqCst);
                }
                let corked = self.serving == Serving::Corked;
                socket2::SockRef::from(stream.get_ref().0).set_tcp_cork(corked).unwrap();
                self.talk(stream).await;
            }
        }
    }

    async fn talk(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut nth = 0;
        let mut head = String::new();
        while read_head(&mut stream, &mut head).await.is_some() {
            nth += 1;
            self.heads.lock().unwrap().push(head.clone());
            let act = (self.script)(Asked { head: &head, nth });
            if act.play(&mut stream).await.is_none() {
                return;
            }
        }
    }
}

impl Act {
    async fn play(self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<()> {
        match self {
            Self::Say(text) => stream.write_all(text.as_bytes()).await.ok(),
            Self::SayAndClose(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
                None
            }
            Self::Close => None,
            Self::Hang => std::future::pending().await,
            Self::Drip(text) => {
                for byte in text.bytes() {
                    stream.write_all(&[byte]).await.ok()?;
                    stream.flush().await.ok()?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Some(())
            }
            Self::Endless(first, more) => {
                stream.write_all(first.as_bytes()).await.ok()?;
                loop {
                    stream.write_all(more.as_bytes()).await.ok()?;
                }
            }
        }
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin), head: &mut String) -> Option<()> {
    let mut buffer = [0_u8; 2048];
    head.clear();
    while !is_whole(head) {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        head.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    Some(())
}

/// Is this a whole request, with the body that its head tells of?
fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}
