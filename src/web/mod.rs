//! The dashboard: the built files of `web/dist`, carried in the binary, with the headers that keep a browser safe.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::CompressionLayer;

/// Scripts, styles and connections only from here; no inline script or style, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";
/// A file whose name carries the hash of its content never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Paths that a page of the dashboard may be opened under.
const PAGES: [&str; 8] =
    ["/", "/table", "/events", "/silences", "/webhooks", "/webhooks/{name}", "/register", "/clusters/{name}"];

#[derive(RustEmbed)]
#[folder = "web/dist/"]
struct Built;

/// Path of the page for everybody, where there is one.
const STATUS_PAGE: &str = "/status";

/// The dashboard's routes: its pages, its files, and nothing else, so that unknown paths stay the API's to answer.
pub fn router(with_status_page: bool) -> Router {
    let pages = PAGES.into_iter().chain(with_status_page.then_some(STATUS_PAGE));
    let pages = pages.fold(Router::new(), |router, path| router.route(path, get(page)));
    pages
        .route("/assets/{file}", get(asset))
        .route("/favicon.svg", get(icon))
        .layer(CompressionLayer::new().quality(tower_http::CompressionLevel::Default))
}

async fn page() -> Response {
    file("index.html", "no-store", &HeaderMap::new())
}

async fn icon(headers: HeaderMap) -> Response {
    file("favicon.svg", "public, max-age=86400", &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&format!("assets/{name}"), FOR_EVER, &headers)
}

fn file(path: &str, caching: &'static str, asked: &HeaderMap) -> Response {
    let Some(found) = Built::get(path) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = entity_tag(&found);
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { found.data.into_owned().into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    guard(headers);
    response
}

fn guard(headers: &mut HeaderMap) {
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
}

fn entity_tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use fleetbeat_actors::event::EventType;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str) -> Response {
        router(false).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    fn header_of<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn every_page_is_the_same_document_and_is_never_kept() {
        for path in
            ["/", "/table", "/events", "/silences", "/webhooks", "/webhooks/ops", "/register", "/clusters/spoke-1"]
        {
            let answer = get(path).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(header_of(&answer, "cache-control"), "no-store");
            assert_eq!(header_of(&answer, "content-type"), "text/html; charset=utf-8");
        }
    }

    #[test]
    fn the_dashboard_has_a_word_for_every_type_of_event() {
        let words = include_str!("../../web/src/lib/format.ts");
        for known in EventType::ALL {
            assert!(words.contains(&format!("{}: '", known.as_str())), "{known}");
        }
    }

    #[tokio::test]
    async fn the_page_for_everybody_is_there_only_where_it_is_wanted() {
        assert_eq!(get("/status").await.status(), StatusCode::NOT_FOUND);
        let asked = Request::get("/status").body(Body::empty()).unwrap();
        assert_eq!(router(true).oneshot(asked).await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_page_allows_nothing_inline_and_nothing_from_elsewhere() {
        let answer = get("/").await;
        let policy = header_of(&answer, "content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(header_of(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header_of(&answer, "referrer-policy"), "no-referrer");
        assert!(answer.headers().get("set-cookie").is_none());
    }

    #[tokio::test]
    async fn what_is_no_page_is_not_found() {
        for path in ["/nowhere", "/clusters", "/assets/none.js", "/assets/..%2findex.html", "/clusters/a/b"] {
            assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn built_files_are_kept_for_ever_and_asked_for_again_by_their_tag() {
        let scripts: Vec<_> = Built::iter().filter(|path| path.starts_with("assets/")).collect();
        assert!(!scripts.is_empty());
        for path in scripts {
            let answer = get(&format!("/{path}")).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(header_of(&answer, "cache-control"), FOR_EVER);
            let again = Request::get(format!("/{path}")).header("if-none-match", header_of(&answer, "etag"));
            let again = router(false).oneshot(again.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        }
    }

    #[test]
    fn no_built_file_names_another_host() {
        for path in Built::iter() {
            let data = Built::get(&path).unwrap().data;
            let text = String::from_utf8_lossy(&data);
            for (at, _) in text.match_indices("://") {
                let start = text[..at].char_indices().rev().nth(5).map_or(0, |(index, _)| index);
                let end = text[at..].char_indices().nth(24).map_or(text.len(), |(index, _)| at + index);
                let known = ["www.w3.org", "svelte.dev", "…", "example", "api."];
                let around = &text[start..end];
                assert!(known.iter().any(|host| around.contains(host)), "{path} names {around}");
            }
        }
    }
}
