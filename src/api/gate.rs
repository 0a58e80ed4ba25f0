//! The gate: what is decided about a request before anybody looks at what it wants (its host, its origin, its length), and
//! the headers that every answer carries.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::error::ApiError;
use crate::listener::Peer;

/// What the gate lets through.
#[derive(Clone, Debug)]
pub struct GateRules {
    /// Is nobody asked who they are? Then only this machine's own names are answered to, and pages of others may not write.
    pub open: bool,
    /// Names that are answered to, beside addresses and this machine's own. With callers known, empty means any.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read answers; none by default.
    pub allowed_origins: Vec<String>,
    /// Longest path and query, bytes.
    pub max_url_bytes: usize,
    /// What a request may take.
    pub bounds: Bounds,
}

impl Default for GateRules {
    /// Lets everything through that is not too large.
    fn default() -> Self {
        Self {
            open: false,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_url_bytes: 8 * 1024,
            bounds: Bounds::default(),
        }
    }
}

/// What one request may take; in its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of its body, where the route does not say less.
    pub body: usize,
    /// Time until its answer begins.
    pub time: Duration,
    /// Nesting of a JSON body.
    pub depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { body: 8 * 1024 * 1024, time: Duration::from_secs(30), depth: 32 }
    }
}

const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("600");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const ASKED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, X-Request-ID, traceparent, tracestate",
);
const SHOWN_HEADERS: HeaderValue = HeaderValue::from_static("ETag, Location, Retry-After, X-Request-ID");
/// An answer of the API is data: nothing in it is ever run or framed.
const DATA_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
/// The page that shows the API: its own files, and the styles that it writes.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// A year.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Lets a request through to `next` or not.
pub async fn gate<F>(rules: &GateRules, mut request: Request, next: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    request.extensions_mut().insert(rules.bounds);
    match rules.refusal(&request) {
        Some(error) => error.into_response(),
        None if is_preflight(&request) && rules.allowed_origin(request.headers()).is_some() => preflight(),
        None => next(request).await,
    }
}

/// Puts on every answer, also on errors, the headers that keep a browser safe.
pub async fn armour<F>(rules: &GateRules, request: Request, next: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let is_tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
    let (is_docs, origin) = (request.uri().path().starts_with("/docs"), rules.allowed_origin(request.headers()));
    let mut response = next(request).await;
    secure(response.headers_mut(), is_docs, is_tls);
    if !rules.allowed_origins.is_empty() {
        share(response.headers_mut(), origin);
    }
    response
}

impl GateRules {
    fn refusal(&self, request: &Request) -> Option<ApiError> {
        let (uri, on_socket) = (request.uri(), request.extensions().get::<Peer>().is_some_and(|peer| peer.unix));
        if uri.path_and_query().is_some_and(|text| text.as_str().len() > self.max_url_bytes) {
            return Some(ApiError::uri_too_long(self.max_url_bytes));
        }
        if !on_socket && !self.answers_to(host(uri, request.headers())) {
            return Some(ApiError::misdirected());
        }
        let foreign = self.open && writes(request.method()) && self.is_foreign(request);
        foreign.then(|| ApiError::permission_denied("A page of another origin may not write here"))
    }

    /// Is this one of our names? An address is never a name that somebody could point here.
    fn answers_to(&self, host: Option<&str>) -> bool {
        let Some(host) = host.filter(|_| self.open || !self.allowed_hosts.is_empty()) else { return true };
        let name = name_of(host);
        let own = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
        own || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self.allowed_hosts.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
    }

    /// Does a browser say that a page of another origin sends this?
    fn is_foreign(&self, request: &Request) -> bool {
        let headers = request.headers();
        let Some(origin) = headers.get(header::ORIGIN) else { return false };
        if self.allowed_origin(headers).is_some() {
            return false;
        }
        let from = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        from.is_none() || from != host(request.uri(), headers)
    }

    /// The origin of a request, if it is an allowed one.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let allowed = |origin: &HeaderValue| self.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin);
        Some(origin.clone()).filter(allowed)
    }
}

fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let told = headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    uri.authority().map(|authority| authority.as_str()).or(told)
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn writes(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ASKED_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Tells browsers that an allowed origin may read this. Never with cookies.
fn share(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN_HEADERS);
    }
}

fn secure(headers: &mut HeaderMap, is_docs: bool, is_tls: bool) {
    let policy = if is_docs { DOCS_POLICY } else { DATA_POLICY };
    let same_origin = HeaderValue::from_static("same-origin");
    let wanted = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CROSS_ORIGIN_RESOURCE_POLICY, same_origin),
    ];
    for (name, value) in wanted {
        headers.entry(name).or_insert(value);
    }
    // What has a version may be kept by who asked, and asked about again; nothing is kept for others.
    let caching = if headers.contains_key(header::ETAG) { "private, no-cache" } else { "no-store" };
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(caching));
    if is_tls {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(HSTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(allowed: &[&str]) -> GateRules {
        let allowed_hosts = allowed.iter().map(|name| (*name).to_owned()).collect();
        GateRules { open: true, allowed_hosts, ..GateRules::default() }
    }

    #[test]
    fn an_open_api_answers_to_addresses_and_its_own_names_only() {
        for good in ["127.0.0.1:8080", "localhost", "LOCALHOST:80", "a.localhost", "[::1]:8080", "::1", "192.0.2.1"] {
            assert!(open(&[]).answers_to(Some(good)), "{good}");
        }
        for bad in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "?"] {
            assert!(!open(&[]).answers_to(Some(bad)), "{bad}");
        }
        assert!(open(&["fleet.example"]).answers_to(Some("Fleet.Example:443")));
        assert!(GateRules::default().answers_to(Some("anything.example")), "callers are known");
    }

    #[test]
    fn a_page_of_another_origin_may_not_write_to_an_open_api() {
        let asks = |origin: &str| {
            let request = Request::post("/x").header("host", "127.0.0.1:8080").header("origin", origin);
            open(&[]).refusal(&request.body(axum::body::Body::empty()).unwrap())
        };
        assert!(asks("http://127.0.0.1:8080").is_none());
        for foreign in ["https://evil.example", "http://127.0.0.1:9999", "null"] {
            assert_eq!(asks(foreign).unwrap().status, StatusCode::FORBIDDEN, "{foreign}");
        }
    }
}
