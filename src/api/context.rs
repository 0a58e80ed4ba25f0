//! What surrounds every request: its ids and span, its deadline, its panics, the dress of its errors, one line in the log.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fleetbeat_actors::ports::Clock;
use futures_util::FutureExt;
use uuid::Uuid;

use super::{
    error::{ApiError, dress},
    gate::Bounds,
};
use crate::traces;

/// Names one request; taken from the caller or made new, and sent back.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives a request its ids and dresses every error that comes back.
pub async fn named<F>(clock: &dyn Clock, mut request: Request, next: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let (began, headers) = (clock.now(), request.headers());
    let request_id = request_id(headers);
    let given = trace_id(headers);
    let as_problem = accepts_problem(headers);
    let (method, path) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let path = path.as_ref().map_or("-", MatchedPath::as_str);
    let ids = traces::Ids { request: &request_id, given: given.as_deref() };
    let (span, trace_id) = traces::request(&method, path, ids, headers);
    request.extensions_mut().insert(RequestId(Arc::clone(&request_id)));
    let response = traces::answer(&span, next(request)).await;
    traces::answered(&span, response.status());
    let mut response = undress(&response)
        .map(|error| redress(&response, dress(&error, &trace_id, clock.wall(), as_problem)))
        .unwrap_or(response);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    let took_ms = clock.now().saturating_duration_since(began).as_millis();
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, took_ms, request_id = &*request_id, trace_id, "answered");
    response
}

/// The error a response carries; one of our making for failures from outside our handlers.
fn undress(response: &Response) -> Option<ApiError> {
    let status = response.status();
    let own = response.extensions().get::<ApiError>().cloned();
    let failed = status.is_client_error() || status.is_server_error();
    let dressed = response.extensions().get::<Dressed>().is_some();
    own.or_else(|| (failed && !dressed).then(|| ApiError::of_status(status)))
}

/// Keeps what routing said (`Allow`).
fn redress(bare: &Response, mut dressed: Response) -> Response {
    if let Some(allow) = bare.headers().get(header::ALLOW) {
        dressed.headers_mut().insert(header::ALLOW, allow.clone());
    }
    dressed
}

/// Marks a failing response that already says all there is to say (`/ready` with its report).
#[derive(Clone, Copy, Debug)]
pub struct Dressed;

/// The id of a request, for those who tell of it.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// Ends what does not begin its answer in time.
pub async fn in_time(bounds: Bounds, answer: impl Future<Output = Response>) -> Response {
    let late = |_| ApiError::timed_out().into_response();
    tokio::time::timeout(bounds.time, answer).await.unwrap_or_else(late)
}

/// Answers for a handler that panics.
pub async fn unpanicked(answer: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| panicked(&*panic))
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("?"), "a handler panicked");
    ApiError::internal().into_response()
}

fn request_id(headers: &HeaderMap) -> Arc<str> {
    let fits = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-/+=".contains(&b))
    };
    let given = headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(fits);
    let made = || Arc::from(&*Uuid::now_v7().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    given.map_or_else(made, Arc::from)
}

/// The trace id of a valid W3C `traceparent`.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let value = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let extra = parts.next().is_some();
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let zero = trace.bytes().all(|b| b == b'0') || parent.bytes().all(|b| b == b'0');
    (valid && !zero && !(extra && version == "00")).then(|| trace.to_owned())
}

fn accepts_problem(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|kind| {
        let mut parts = kind.split(';').map(str::trim);
        let name = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/problem+json"));
        let refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        name && !parts.any(refused)
    })
}

/// A failing answer that keeps its own body.
pub fn dressed(status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    response.extensions_mut().insert(Dressed);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn only_a_valid_traceparent_gives_its_trace() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&good).as_deref(), Some(id));
        for bad in [
            "",
            "00-abc123-def456-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace_id(&with("traceparent", bad)), None, "{bad}");
        }
    }

    #[test]
    fn a_strange_request_id_is_replaced() {
        assert_eq!(&*request_id(&with("x-request-id", "abc-1")), "abc-1");
        assert_ne!(&*request_id(&with("x-request-id", "a b")), "a b");
    }

    #[test]
    fn a_problem_body_is_for_those_who_ask() {
        assert!(accepts_problem(&with("accept", "application/json, application/problem+json;q=0.9")));
        assert!(!accepts_problem(&with("accept", "application/problem+json;q=0")));
        assert!(!accepts_problem(&with("accept", "*/*")));
    }
}
