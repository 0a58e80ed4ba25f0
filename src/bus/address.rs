//! From a URL to a client: server or servers, user, trust, patience.

use std::{path::Path, sync::Arc, time::Duration};

use fred::{
    prelude::*,
    types::{
        RespVersion,
        config::{ServerConfig, TlsConfig, TlsConnector, TlsHostMapping},
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};

/// First and longest pause between two attempts to connect.
const RECONNECT_MS: (u32, u32) = (100, 1_000);
/// How long connecting, and each step of getting in, may take.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1_000);

/// Why a bus cannot be set up. Never repeats the URL: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum BusAddressError {
    /// The URL cannot be understood.
    #[error(
        "the URL is not of the form redis[s][-sentinel|-cluster]://[user:password@]host[:port][/database][?node=host:port]"
    )]
    Url,
    /// The file of authorities cannot be used.
    #[error("no certificates can be read from the file of authorities")]
    Authorities,
}

/// A client that is not connected yet.
pub(super) fn client(url: &SecretString, ca_file: Option<&Path>) -> Result<Client, BusAddressError> {
    client_of(url, ca_file, None)
}

/// The same, of another database than the URL names. A cluster has only one.
pub(super) fn client_of(
    url: &SecretString,
    ca_file: Option<&Path>,
    database: Option<u8>,
) -> Result<Client, BusAddressError> {
    let mut config = config(url, ca_file)?;
    if database.is_some() && !matches!(config.server, ServerConfig::Clustered { .. }) {
        config.database = database;
    }
    config.version = RespVersion::RESP3;
    let policy = ReconnectPolicy::new_exponential(0, RECONNECT_MS.0, RECONNECT_MS.1, 2);
    Builder::from_config(config)
        .set_policy(policy)
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_PATIENCE;
            connection.internal_command_timeout = CONNECT_PATIENCE;
            connection.max_command_attempts = 1;
            connection.reconnect_on_auth_error = true;
            connection.tcp.nodelay = Some(true);
        })
        .build()
        .map_err(|_| BusAddressError::Url)
}

fn config(url: &SecretString, ca_file: Option<&Path>) -> Result<Config, BusAddressError> {
    let url = url.expose_secret().trim();
    let (scheme, rest) = url.split_once("://").ok_or(BusAddressError::Url)?;
    let (plain, tls) = match scheme {
        "redis" | "redis-sentinel" | "redis-cluster" => (scheme.to_owned(), false),
        "rediss" | "rediss-sentinel" | "rediss-cluster" => (scheme.replacen("rediss", "redis", 1), true),
        _ => return Err(BusAddressError::Url),
    };
    // Parsed without TLS: the client's own way there reads roots and picks a provider by itself.
    let plain = SecretString::from(format!("{plain}://{rest}"));
    let mut config = Config::from_url(plain.expose_secret()).map_err(|_| BusAddressError::Url)?;
    if tls {
        let clustered = matches!(config.server, ServerConfig::Clustered { .. });
        let hostnames = if clustered { TlsHostMapping::DefaultHost } else { TlsHostMapping::None };
        config.tls = Some(TlsConfig { connector: connector(ca_file)?, hostnames });
    }
    Ok(config)
}

fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, BusAddressError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let own: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(|_| BusAddressError::Authorities)?.collect();
        let own = own.map_err(|_| BusAddressError::Authorities)?;
        if own.is_empty() || roots.add_parsable_certificates(own).0 == 0 {
            return Err(BusAddressError::Authorities);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| BusAddressError::Authorities)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::Rustls(tokio_rustls::TlsConnector::from(Arc::new(config))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Config, BusAddressError> {
        config(&url.into(), None)
    }

    #[test]
    fn every_form_of_url_is_understood() {
        let one = parsed("redis://watcher:p%40ss@cache.example.com:6380/2").unwrap();
        assert!(matches!(&one.server, ServerConfig::Centralized { server } if server.port == 6380));
        assert_eq!((one.username.as_deref(), one.password.as_deref()), (Some("watcher"), Some("p@ss")));
        assert_eq!((one.database, one.tls.is_some()), (Some(2), false));
        assert!(parsed("rediss://cache.example.com").unwrap().tls.is_some());
        let sentinel = parsed("redis-sentinel://:pw@s1:26379?sentinelServiceName=main&node=s2:26379").unwrap();
        assert!(matches!(&sentinel.server, ServerConfig::Sentinel { hosts, .. } if hosts.len() == 2));
        let cluster = parsed("rediss-cluster://n1:7000?node=n2:7000&node=n3:7000").unwrap();
        assert!(matches!(&cluster.server, ServerConfig::Clustered { hosts, .. } if hosts.len() == 3));
        assert!(cluster.tls.is_some());
    }

    #[test]
    fn a_url_that_is_not_understood_is_not_repeated() {
        for url in ["http://h:canary@x", "redis:/canary", "canary", "redis-sentinel://:canary@x", "redis://x:canary"] {
            let error = parsed(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{url}");
        }
    }
}
