//! What the API listens on. What each key means and its default stand in `config/default.yaml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::durations::seconds;

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port, or Unix socket.
    pub listen: Listen,
    /// Further ones.
    pub also_listen: Vec<Listen>,
    /// Those for `/health`, `/ready` and `/metrics` alone.
    pub observability_listen: Vec<Listen>,
    /// TLS on TCP addresses.
    pub tls: ServerTls,
    /// Host names that are answered to.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read the API.
    pub cors_allowed_origins: Vec<String>,
    /// Whether a proxy in front speaks TLS.
    pub behind_tls_proxy: bool,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Longest time for one request.
    #[serde(rename = "request_timeout_seconds", with = "seconds")]
    pub request_timeout: Duration,
    /// Connections held open at once.
    pub max_connections: usize,
}

impl Server {
    /// Everything that is listened on.
    pub fn listens(&self) -> impl Iterator<Item = &Listen> {
        std::iter::once(&self.listen).chain(&self.also_listen).chain(&self.observability_listen)
    }

    /// Can only this machine reach it?
    pub fn is_local(&self) -> bool {
        self.listens().all(Listen::is_local)
    }
}

/// TLS of the API.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// Certificate chain, PEM; empty for plain HTTP.
    pub cert_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
    /// Authorities of client certificates, PEM; empty: none are asked for.
    pub client_ca_file: PathBuf,
    /// Whether clients without a certificate are turned away.
    pub require_client_certificate: bool,
}

impl ServerTls {
    /// Is TLS spoken?
    pub fn is_on(&self) -> bool {
        !self.cert_file.as_os_str().is_empty()
    }
}

/// What to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// An IP address and port, or `localhost:port`.
    Tcp(SocketAddr),
    /// `unix:/absolute/path`.
    Unix(PathBuf),
}

impl Listen {
    /// The address and port, where it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Can only this machine reach it?
    pub fn is_local(&self) -> bool {
        self.address().is_none_or(|address| address.ip().is_loopback())
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = "must be an IP address and a port, such as 127.0.0.1:8080, or unix:/absolute/path";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong.to_owned()) };
        }
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text,
        };
        address.parse().map(Self::Tcp).map_err(|_| wrong.to_owned())
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        match listen {
            Listen::Tcp(address) => address.to_string(),
            Listen::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}
