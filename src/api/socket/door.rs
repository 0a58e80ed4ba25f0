//! Which pages may open a WebSocket: browsers say where a page comes from, and check nothing themselves. Pure.

use axum::http::{HeaderMap, HeaderValue, header};

/// May this request open one? Whoever is no page of a browser says no origin.
pub fn is_open_to(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => is_own(origin, headers) || is_allowed(origin, allowed),
        (Some(_), Some(_)) => false,
    }
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some(("http" | "https", place)), Some(host)) => !host.is_empty() && place.eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn is_allowed(origin: &HeaderValue, allowed: &[String]) -> bool {
    origin.to_str().is_ok_and(|origin| allowed.iter().any(|known| known.eq_ignore_ascii_case(origin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(host: &'static str, origins: &[&'static str]) -> bool {
        let origins = origins.iter().map(|origin| (header::ORIGIN, HeaderValue::from_static(origin)));
        let headers = origins.chain([(header::HOST, HeaderValue::from_static(host))]);
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, value);
        }
        is_open_to(&all, &["https://front.example".to_owned()])
    }

    #[test]
    fn only_own_and_allowed_pages_get_in() {
        assert!(open("fleet.example:8080", &[]));
        assert!(open("fleet.example:8080", &["http://fleet.example:8080"]));
        assert!(open("fleet.example", &["https://front.example"]));
        for bad in ["http://fleet.example", "https://evil.example", "null", "", "https://front.example.evil", "file://"]
        {
            assert!(!open("fleet.example:8080", &[bad]), "{bad}");
        }
        assert!(!open("fleet.example", &["http://fleet.example", "https://evil.example"]));
    }
}
