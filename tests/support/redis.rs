//! A real Redis server: its own data (append-only file), its own port, killed with the test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use fred::types::config::{TlsConfig, TlsConnector, TlsHostMapping};
use rustix::process::Signal;

use super::process::{Running, Scratch, at_the_mercy_of_tests, free_port, tail};
use super::tls::{Authority, trusting};
use super::waiting::eventually;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A server; dropped, it is killed and its data removed.
pub struct Redis {
    port: u16,
    options: Options,
    running: Option<Running>,
    scratch: Scratch,
}

#[derive(Default)]
struct Options {
    password: Option<String>,
    user: Option<String>,
    tls: bool,
}

impl Redis {
    /// A server that asks for nothing.
    pub async fn start_new() -> Self {
        Self::start_with(Options::default()).await
    }

    /// A server whose default user has a password.
    pub async fn start_with_password(password: &str) -> Self {
        Self::start_with(Options { password: Some(password.to_owned()), ..Options::default() }).await
    }

    /// A server on which only the named user may do anything.
    pub async fn start_with_user(user: &str, password: &str) -> Self {
        let (user, password) = (Some(user.to_owned()), Some(password.to_owned()));
        Self::start_with(Options { user, password, ..Options::default() }).await
    }

    /// A server that speaks only TLS, see [`Redis::ca_file`].
    pub async fn start_with_tls() -> Self {
        Self::start_with(Options { tls: true, ..Options::default() }).await
    }

    async fn start_with(options: Options) -> Self {
        let scratch = Scratch::new();
        if options.tls {
            let authority = Authority::new();
            let (certificate, key) = authority.issue();
            scratch.write("server.crt", &certificate, None);
            scratch.write("server.key", &key, None);
            scratch.write("ca.pem", &authority.pem(), None);
        }
        let mut server = Self { port: free_port(), options, running: None, scratch };
        server.start().await;
        server
    }

    /// Starts it again on the same port and data.
    pub async fn start(&mut self) {
        let settings = self.scratch.write("redis.conf", &self.settings(), None);
        let log = self.scratch.path().join("log");
        self.running = Some(Running::spawn(Path::new("redis-server"), None, &log, |command| {
            command.arg(settings);
        }));
        eventually(STARTS_WITHIN, || async {
            let client = self.client();
            let answer = tokio::time::timeout(Duration::from_millis(500), async {
                client.init().await?;
                let pong: String = client.ping(None).await?;
                client.quit().await?;
                Ok::<_, Error>(pong)
            });
            answer.await.map_err(|_| format!("silent\n{}", tail(&self.log())))?.map_err(|error| error.to_string())
        })
        .await;
    }

    /// `appendfsync no` hands every write to the kernel before it is answered, so that SIGKILL loses nothing; `everysec` puts
    /// the write off while an earlier sync runs.
    fn settings(&self) -> String {
        let directory = self.scratch.path().display();
        let port = match self.options.tls {
            true => format!(
                "port 0\ntls-port {}\ntls-cert-file {directory}/server.crt\ntls-key-file {directory}/server.key\n\
                 tls-ca-cert-file {directory}/ca.pem\ntls-auth-clients no",
                self.port
            ),
            false => format!("port {}", self.port),
        };
        let access = match (&self.options.user, &self.options.password) {
            (Some(user), Some(password)) => format!("user default off\nuser {user} on >{password} ~* &* +@all"),
            (None, Some(password)) => format!("requirepass {password}"),
            (_, None) => String::new(),
        };
        format!("bind 127.0.0.1\n{port}\ndir {directory}\nsave \"\"\nappendonly yes\nappendfsync no\n{access}\n")
    }

    /// The URL of its database 0, with what it takes to get in.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        let access = match (&self.options.user, &self.options.password) {
            (user, Some(password)) => format!("{}:{password}@", user.as_deref().unwrap_or_default()),
            (_, None) => String::new(),
        };
        format!("{scheme}://{access}127.0.0.1:{}/0", self.port)
    }

    /// The port of 127.0.0.1 it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority of its certificate (`SSL_CERT_FILE`), once started with TLS.
    pub fn ca_file(&self) -> PathBuf {
        self.scratch.path().join("ca.pem")
    }

    /// A client of it, not connected yet.
    pub fn client(&self) -> fred::clients::Client {
        Builder::from_config(self.client_config()).build().unwrap()
    }

    /// How to connect to it.
    pub fn client_config(&self) -> Config {
        let mut config = Config::from_url(&self.url()).unwrap();
        if self.options.tls {
            config.tls = Some(TlsConfig { connector: connector(&self.ca_file()), hostnames: TlsHostMapping::None });
        }
        config
    }
}

at_the_mercy_of_tests!(Redis, TERM, 10);

fn connector(ca_file: &Path) -> TlsConnector {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_file(ca_file).unwrap()).unwrap();
    TlsConnector::Rustls(tokio_rustls::TlsConnector::from(Arc::new(trusting(roots))))
}
