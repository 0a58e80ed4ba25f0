//! The HTTP/1.1 that spokes speak: reading a request head, and answers kept ready as bytes.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::role::Role;

/// Longest request head accepted.
pub(super) const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Longest request body skipped.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// What matters of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub method: &'a str,
    /// Path without the query.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: &'a str,
    /// The value of Authorization.
    pub authorization: Option<&'a str>,
    /// The client asked to close after this one.
    pub close: bool,
    /// Bytes of body that follow the head.
    pub body_bytes: usize,
}

/// What is in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A whole head of so many bytes.
    Complete(usize),
    /// Not yet.
    Partial,
    /// More than anybody needs.
    TooLong,
}

/// Looks for the end of a request head.
pub(super) fn head(buffer: &[u8]) -> Head {
    match buffer.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(at) => Head::Complete(at + 4),
        None if buffer.len() >= HEAD_MAX_BYTES => Head::TooLong,
        None => Head::Partial,
    }
}

/// Reads a whole head; nothing when it is no HTTP/1 request or has a body of unknown or absurd length.
pub(super) fn request(head: &[u8]) -> Option<Request<'_>> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request { method, path, query, authorization: None, close: version == "HTTP/1.0", body_bytes: 0 };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        read_header(&mut request, name, value.trim())?;
    }
    Some(request)
}

fn read_header<'a>(request: &mut Request<'a>, name: &str, value: &'a str) -> Option<()> {
    if name.eq_ignore_ascii_case("authorization") {
        request.authorization = Some(value);
    } else if name.eq_ignore_ascii_case("connection") {
        request.close = value.eq_ignore_ascii_case("close");
    } else if name.eq_ignore_ascii_case("content-length") {
        request.body_bytes = value.parse().ok().filter(|bytes| *bytes <= BODY_MAX_BYTES)?;
    } else if name.eq_ignore_ascii_case("transfer-encoding") {
        return None;
    }
    Some(())
}

/// The healthy answer of `role` to `request`, as bytes ready to send.
pub(super) fn answer(role: Role, token: Option<&str>, request: &Request<'_>) -> Cow<'static, [u8]> {
    let ready = &*ANSWERS;
    let full: &'static [u8] = match role {
        Role::Api => api_answer(ready, token, request),
        Role::Prometheus => match request.path {
            "/-/ready" => &ready.prometheus_ready,
            "/-/healthy" => &ready.prometheus_healthy,
            _ => &ready.not_found,
        },
        Role::Tempo | Role::Loki => match request.path {
            "/ready" => &ready.ready,
            _ => &ready.not_found,
        },
    };
    if request.method == "HEAD" { without_body(full) } else { Cow::Borrowed(full) }
}

/// A kube-apiserver lets nobody in with a wrong token, and the anonymous see only its health.
pub(super) fn is_let_in(token: Option<&str>, request: &Request<'_>) -> bool {
    let public = matches!(request.path, "/readyz" | "/livez" | "/healthz" | "/version");
    match (token, request.authorization) {
        (None, _) => true,
        (Some(_), None) => public,
        (Some(token), Some(shown)) => shown.strip_prefix("Bearer ").is_some_and(|shown| shown == token),
    }
}

/// An answer in JSON.
pub(super) fn respond_json(code: u16, body: &str) -> Vec<u8> {
    response(code, "application/json", "", body)
}

fn api_answer(ready: &'static Answers, token: Option<&str>, request: &Request<'_>) -> &'static [u8] {
    if !is_let_in(token, request) {
        return &ready.unauthorized;
    }
    match request.path {
        "/readyz" | "/livez" | "/healthz" => &ready.ok,
        "/version" => &ready.version,
        "/api/v1/namespaces" => &ready.namespaces,
        _ => &ready.kube_not_found,
    }
}

fn without_body(full: &'static [u8]) -> Cow<'static, [u8]> {
    match head(full) {
        Head::Complete(end) => Cow::Borrowed(&full[..end]),
        Head::Partial | Head::TooLong => Cow::Borrowed(full),
    }
}

/// An answer with any status code, in the style of `role`; 3xx points back at the same path.
pub(super) fn status(role: Role, code: u16, path: &str) -> Vec<u8> {
    let extra = match code {
        300..=399 => format!("Location: {path}\r\n"),
        401 => "Www-Authenticate: Bearer\r\n".to_owned(),
        429 | 503 => "Retry-After: 1\r\n".to_owned(),
        _ => String::new(),
    };
    if code == 204 || code == 304 {
        return format!("HTTP/1.1 {code} {}\r\n{extra}\r\n", reason(code)).into_bytes();
    }
    match role {
        Role::Api => response(code, "application/json", &extra, &kube_status(code)),
        Role::Prometheus | Role::Tempo | Role::Loki => {
            response(code, "text/plain; charset=utf-8", &extra, &format!("{}\n", reason(code)))
        }
    }
}

struct Answers {
    ok: Vec<u8>,
    ready: Vec<u8>,
    prometheus_ready: Vec<u8>,
    prometheus_healthy: Vec<u8>,
    version: Vec<u8>,
    namespaces: Vec<u8>,
    unauthorized: Vec<u8>,
    kube_not_found: Vec<u8>,
    not_found: Vec<u8>,
}

static ANSWERS: LazyLock<Answers> = LazyLock::new(|| {
    let text = "text/plain; charset=utf-8";
    let json = "application/json";
    let audit = "Audit-Id: 3f0ad0c4-6bd4-4d54-9f3a-0f2a5d2e9d6b\r\nCache-Control: no-cache, private\r\n";
    Answers {
        ok: response(200, text, &format!("{audit}X-Content-Type-Options: nosniff\r\n"), "ok"),
        ready: response(200, text, "", "ready\n"),
        prometheus_ready: response(200, text, "", "Prometheus Server is Ready.\n"),
        prometheus_healthy: response(200, text, "", "Prometheus Server is Healthy.\n"),
        version: response(200, json, audit, VERSION),
        namespaces: response(200, json, audit, NAMESPACES),
        unauthorized: response(401, json, audit, &kube_status(401)),
        kube_not_found: response(404, json, audit, &kube_status(404)),
        not_found: response(404, text, "", "404 page not found\n"),
    }
});

const VERSION: &str = r#"{"major":"1","minor":"33","gitVersion":"v1.33.1","gitCommit":"8adc0f041b8e7ad1d30e29cc59c6ae7a15e19828","gitTreeState":"clean","buildDate":"2025-05-15T08:19:08Z","goVersion":"go1.24.2","compiler":"gc","platform":"linux/amd64"}"#;

const NAMESPACES: &str = r#"{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":"4711","continue":"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NDcxMSwic3RhcnQiOiJkZWZhdWx0XHUwMDAwIn0","remainingItemCount":61},"items":[{"metadata":{"name":"default","uid":"5b8f6f0e-6a0c-4c3e-8a1f-6d3f4b0f0d11","resourceVersion":"37","creationTimestamp":"2025-01-01T00:00:00Z","labels":{"kubernetes.io/metadata.name":"default"}},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}]}"#;

fn kube_status(code: u16) -> String {
    let reason = reason(code);
    let state = if code < 400 { "Success" } else { "Failure" };
    let word: String = reason.split(' ').collect();
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"{state}","message":"{reason}","reason":"{word}","code":{code}}}"#
    )
}

fn response(code: u16, content_type: &str, extra: &str, body: &str) -> Vec<u8> {
    let (reason, length) = (reason(code), body.len());
    format!("HTTP/1.1 {code} {reason}\r\n{extra}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn reason(code: u16) -> &'static str {
    hyper::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or("Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(role: Role, token: Option<&str>, text: &str) -> String {
        let request = request(text.as_bytes()).unwrap();
        String::from_utf8(answer(role, token, &request).into_owned()).unwrap()
    }

    fn get(path: &str, bearer: Option<&str>) -> String {
        let header = bearer.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!("GET {path} HTTP/1.1\r\nHost: spoke\r\n{header}\r\n")
    }

    #[test]
    fn a_head_is_complete_only_with_its_empty_line() {
        assert_eq!(head(b"GET / HTTP/1.1\r\n"), Head::Partial);
        assert_eq!(head(b"GET / HTTP/1.1\r\n\r\nrest"), Head::Complete(18));
        assert_eq!(head(&[b'a'; HEAD_MAX_BYTES]), Head::TooLong);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(request(b"HELLO\r\n\r\n"), None);
        assert_eq!(request(b"GET / SPDY/3\r\n\r\n"), None);
        assert_eq!(request(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"), None);
        assert_eq!(request(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
    }

    #[test]
    fn the_namespaces_list_is_json_with_a_continue_token() {
        let text = ask(Role::Api, None, &get("/api/v1/namespaces?limit=1", None));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["kind"], "NamespaceList");
        assert!(body["metadata"]["continue"].is_string());
        assert_eq!(body["items"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn health_is_public_but_not_to_a_wrong_token() {
        let code = |path, bearer| ask(Role::Api, Some("right"), &get(path, bearer))[9..12].to_owned();
        assert_eq!(code("/readyz", None), "200");
        assert_eq!(code("/readyz", Some("wrong")), "401");
        assert_eq!(code("/readyz", Some("right")), "200");
        assert_eq!(code("/api/v1/namespaces", None), "401");
        assert_eq!(code("/api/v1/namespaces", Some("right")), "200");
    }

    #[test]
    fn a_refusal_is_a_kubernetes_status() {
        let text = ask(Role::Api, Some("right"), &get("/api/v1/namespaces", Some("wrong")));
        let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((&body["kind"], &body["code"]), (&"Status".into(), &401.into()));
    }

    #[test]
    fn head_answers_carry_no_body() {
        let text = ask(Role::Prometheus, None, "HEAD /-/ready HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.ends_with("\r\n\r\n") && text.contains("Content-Length: 28"), "{text}");
    }

    #[test]
    fn a_redirect_points_back_at_the_same_path() {
        let text = String::from_utf8(status(Role::Api, 302, "/readyz")).unwrap();
        assert!(text.starts_with("HTTP/1.1 302 Found\r\nLocation: /readyz\r\n"), "{text}");
    }
}
