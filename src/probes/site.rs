//! Where one endpoint lives: its URL taken apart once, into what every check needs.

use fleetbeat_actors::{health::Endpoint, target::Target};
use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use rustls_pki_types::ServerName;
use url::{Host, Url};

/// An endpoint's URL, ready for use.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) secure: bool,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// Path before everything that is asked.
    pub(super) base: Box<str>,
    /// `Host` header.
    pub(super) authority: HeaderValue,
    /// Name to verify, where there is TLS.
    pub(super) server_name: Option<ServerName<'static>>,
    /// What is asked without credentials.
    pub(super) anonymous: Uri,
    /// What is asked with credentials.
    pub(super) authenticated: Uri,
}

/// What of a target decides how one endpoint is reached. When it changes, the connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) ca_bundle: Option<String>,
    pub(super) server_name: Option<String>,
}

impl Address {
    /// How the API server of `target` is reached. The server-name override is its alone.
    pub(super) fn of_api_server(target: &Target) -> Self {
        let cluster = &target.cluster;
        Self {
            url: cluster.api_server_url.clone(),
            ca_bundle: cluster.ca_bundle.clone(),
            server_name: cluster.tls_server_name.clone(),
        }
    }

    /// How another endpoint of `target` is reached, if it is configured.
    pub(super) fn of(target: &Target, endpoint: Endpoint) -> Option<Self> {
        let cluster = &target.cluster;
        let url = match endpoint {
            Endpoint::ApiServer => return Some(Self::of_api_server(target)),
            Endpoint::Prometheus => cluster.endpoints.prometheus_url.as_ref(),
            Endpoint::Tempo => cluster.endpoints.tempo_url.as_ref(),
            Endpoint::Loki => cluster.endpoints.loki_url.as_ref(),
        };
        Some(Self { url: url?.clone(), ca_bundle: cluster.ca_bundle.clone(), server_name: None })
    }
}

impl Site {
    /// Takes a URL apart; `None` when nothing can be probed there.
    pub(super) fn parse(endpoint: Endpoint, address: &Address) -> Option<Self> {
        let url = Url::parse(&address.url).ok()?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host()?.to_owned();
        let port = url.port_or_known_default()?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let server_name = match (secure, &address.server_name) {
            (false, _) => None,
            (true, Some(name)) => Some(ServerName::try_from(name.clone()).ok()?),
            (true, None) => Some(name_of(&host)?),
        };
        let base = url.path().trim_end_matches('/');
        let path = |tail: &str| format!("{base}{tail}").parse().ok();
        let (anonymous, authenticated) = match endpoint {
            Endpoint::ApiServer => (path("/readyz")?, path("/api/v1/namespaces?limit=1")?),
            Endpoint::Prometheus => (path("/-/ready")?, path("/-/ready")?),
            Endpoint::Tempo | Endpoint::Loki => (path("/ready")?, path("/ready")?),
        };
        let authority = HeaderValue::try_from(authority).ok()?;
        Some(Self { secure, host, port, base: base.into(), authority, server_name, anonymous, authenticated })
    }
}

fn name_of(host: &Host<String>) -> Option<ServerName<'static>> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
        Host::Ipv4(ip) => Some(ServerName::from(std::net::IpAddr::from(*ip))),
        Host::Ipv6(ip) => Some(ServerName::from(std::net::IpAddr::from(*ip))),
    }
}

/// `User-Agent` of every probe.
pub(super) const USER_AGENT: (HeaderName, HeaderValue) =
    (hyper::header::USER_AGENT, HeaderValue::from_static(concat!("fleetbeat/", env!("CARGO_PKG_VERSION"))));

#[cfg(test)]
mod tests {
    use super::*;

    fn site(endpoint: Endpoint, url: &str) -> Option<Site> {
        Site::parse(endpoint, &Address { url: url.to_owned(), ca_bundle: None, server_name: None })
    }

    #[test]
    fn a_base_path_goes_before_what_is_asked() {
        let api = site(Endpoint::ApiServer, "https://proxy.example.com/k8s/clusters/c-1/").unwrap();
        assert_eq!(api.authenticated, "/k8s/clusters/c-1/api/v1/namespaces?limit=1");
        assert_eq!(api.anonymous, "/k8s/clusters/c-1/readyz");
        assert_eq!((api.port, api.authority.to_str().unwrap()), (443, "proxy.example.com"));
        assert_eq!(site(Endpoint::Prometheus, "http://p:9090").unwrap().anonymous, "/-/ready");
        assert_eq!(site(Endpoint::Loki, "http://l:3100/loki").unwrap().anonymous, "/loki/ready");
    }

    #[test]
    fn odd_spellings_of_an_address_are_the_address() {
        for spelling in ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "127.0.0.1."] {
            let api = site(Endpoint::ApiServer, &format!("https://{spelling}:6443")).unwrap();
            assert_eq!(api.host, Host::<String>::Ipv4([127, 0, 0, 1].into()), "{spelling}");
        }
        let v6 = site(Endpoint::ApiServer, "https://[2001:db8::1]:6443").unwrap();
        assert_eq!(v6.authority, "[2001:db8::1]:6443");
    }

    #[test]
    fn a_trailing_dot_is_no_part_of_the_certificates_name() {
        let api = site(Endpoint::ApiServer, "https://api.example.com.").unwrap();
        assert_eq!(api.server_name.unwrap().to_str(), "api.example.com");
    }

    #[test]
    fn only_http_urls_have_a_site() {
        for url in ["ftp://example.com", "file:///etc/passwd", "unix:/run/x", "", "https://"] {
            assert!(site(Endpoint::ApiServer, url).is_none(), "{url}");
        }
    }
}
