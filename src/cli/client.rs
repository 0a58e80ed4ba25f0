//! A client of the API: one server, time limits on everything, and errors that say what to do.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::connection::Connection;
use super::error::{CliError, Refusal};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Idle connections are closed by us, before the server would: it does after 10 s.
const KEPT_FOR: Duration = Duration::from_secs(4);
/// Largest answer read, in bytes: a list of 500 clusters is below 2 MB.
const MAX_ANSWER: usize = 64 << 20;

/// A client of one server.
pub struct Client {
    base: String,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    bearer: Option<HeaderValue>,
}

/// What a server answered.
pub struct Answer {
    /// The body.
    pub json: Value,
    /// The server's clock, to the second.
    pub now: Option<DateTime<Utc>>,
}

impl Client {
    /// A client of the server that the flags name. Connects at the first request.
    ///
    /// # Errors
    /// When the address is none, or the authorities cannot be read.
    pub fn new(connection: &Connection) -> Result<Self, CliError> {
        let place = connection.place()?;
        let base = base_url(&place.server).map_err(CliError::Usage)?;
        let roots = if base.starts_with("https:") { authorities(place.ca.as_deref())? } else { RootCertStore::empty() };
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CliError::failed("cannot set up TLS"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        tcp.set_nodelay(true);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT_FOR);
        let pool = pool.build(connector);
        let bearer = place.token.map(|token| bearer(&token)).transpose()?;
        Ok(Self { base, pool, timeout: connection.timeout(), bearer })
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Longest time for one request.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// `GET` of JSON.
    ///
    /// # Errors
    /// As for every request: nobody answers, or the answer is an error.
    pub async fn get(&self, path: &str) -> Result<Answer, CliError> {
        self.send(Method::GET, path, None, self.timeout).await
    }

    /// `GET` of JSON; answers may take as long as told.
    ///
    /// # Errors
    /// As for every request.
    pub async fn get_within(&self, path: &str, within: Duration) -> Result<Answer, CliError> {
        self.send(Method::GET, path, None, within).await
    }

    /// `POST` of JSON; answers may take as long as told.
    ///
    /// # Errors
    /// As for every request.
    pub async fn post(&self, path: &str, body: Option<&Value>, within: Duration) -> Result<Answer, CliError> {
        self.send(Method::POST, path, body, within).await
    }

    /// `PUT` of JSON.
    ///
    /// # Errors
    /// As for every request.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer, CliError> {
        self.send(Method::PUT, path, Some(body), self.timeout).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// As for every request.
    pub async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.send(Method::DELETE, path, None, self.timeout).await.map(drop)
    }

    /// `GET` of text.
    ///
    /// # Errors
    /// As for every request.
    pub async fn text(&self, path: &str) -> Result<String, CliError> {
        let (_, body) = self.exchange(Method::GET, path, None, self.timeout).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Opens the live stream: only the head of the answer has to come in time.
    ///
    /// # Errors
    /// As for every request.
    pub async fn open_stream(&self, path: &str, last_event_id: Option<&str>) -> Result<Incoming, CliError> {
        let mut request = Request::get(format!("{}{path}", self.base)).header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = self.respond(request, Bytes::new(), self.timeout).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let body = tokio::time::timeout(self.timeout, self.collect(response)).await.map_err(|_| self.silent())??;
        Err(self.refused(status, &HeaderMap::new(), &body))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<Answer, CliError> {
        let (headers, body) = self.exchange(method, path, body, within).await?;
        let json = if body.is_empty() { Value::Null } else { self.read(&body)? };
        Ok(Answer { json, now: server_time(&headers) })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<(HeaderMap, Bytes), CliError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let whole = async {
            let response = self.respond(request, body.into(), within).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, CliError>((status, headers, self.collect(response).await?))
        };
        let (status, headers, body) = tokio::time::timeout(within, whole).await.map_err(|_| self.silent())??;
        if status.is_success() { Ok((headers, body)) } else { Err(self.refused(status, &headers, &body)) }
    }

    async fn respond(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
        within: Duration,
    ) -> Result<Response<Incoming>, CliError> {
        let agent = concat!("fleetbeat/", env!("CARGO_PKG_VERSION"));
        let mut request = request.header(USER_AGENT, agent);
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|error| CliError::Usage(format!("{}: {error}", self.base)))?;
        let response = tokio::time::timeout(within, self.pool.request(request)).await.map_err(|_| self.silent())?;
        response.map_err(|error| self.unreachable(&error))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, CliError> {
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let broken = |error| CliError::Unreachable(format!("{}: the answer broke off: {error}", self.base));
        body.map(|body| body.to_bytes()).map_err(broken)
    }

    fn read(&self, body: &[u8]) -> Result<Value, CliError> {
        serde_json::from_slice(body)
            .map_err(|_| CliError::Unreachable(format!("{} is not fleetbeat: no JSON came back", self.base)))
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CliError {
        let envelope: Option<Value> = serde_json::from_slice(body).ok();
        match envelope.and_then(|envelope| Refusal::read(envelope.get("error")?)) {
            Some(refusal) => CliError::Refused(Refusal { retry_after: retry_after(headers), ..refusal }),
            None => CliError::Unreachable(format!("{} answers, but not as fleetbeat would: {status}", self.base)),
        }
    }

    fn silent(&self) -> CliError {
        CliError::Unreachable(format!("{} did not answer in time", self.base))
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> CliError {
        let base = &self.base;
        let root = root_cause(error);
        let refused =
            root.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        CliError::Unreachable(if refused {
            format!("no fleetbeat at {base} (is `fleetbeat serve` running?)")
        } else {
            format!("cannot reach {base}: {root}")
        })
    }
}

/// The header that carries a token; never displayed.
fn bearer(token: &SecretString) -> Result<HeaderValue, CliError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
    let mut value = value.map_err(|_| CliError::Usage("the token has characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn server_time(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.to_utc())
}

/// The address without its trailing slash; `host:port` means http.
///
/// # Errors
/// What is wrong with it.
pub fn base_url(given: &str) -> Result<String, String> {
    let text = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
    let wrong = |why: &str| format!("--server {given}: {why}");
    let url = url::Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with http:// or https://"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must be an address such as http://127.0.0.1:8080"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, CliError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let unreadable =
        |error: &dyn std::fmt::Display| CliError::Usage(format!("--server-ca {}: {error}", file.display()));
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() { Err(unreadable(&"holds no certificate")) } else { Ok(roots) }
}

/// A path with its query, percent-encoded.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return path.to_owned();
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{path}?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_normalised_or_refused() {
        assert_eq!(base_url("127.0.0.1:9000").unwrap(), "http://127.0.0.1:9000");
        assert_eq!(base_url("https://fleet.example.com/base/").unwrap(), "https://fleet.example.com/base");
        for wrong in ["ftp://x", "http://", "http://u:p@host", "http://host?x=1"] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_is_encoded() {
        let path = with_query("/x", &[("label_selector", "env in (a,b)"), ("state", "ONLINE")]);
        assert_eq!(path, "/x?label_selector=env+in+%28a%2Cb%29&state=ONLINE");
    }
}
