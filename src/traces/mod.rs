//! Spans: of requests, of the parts of one (proof, limit, work), and of what these ask of the database, of Redis, of the hub
//! and of others. Off, there are no spans but the one that gives log lines their ids. Watched clusters are never told of any.

mod outlet;

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, Method, StatusCode};
use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use outlet::{Traces, TracesError};

/// Where every span of ours belongs; log filters and the outlet go by it.
pub const TARGET: &str = "fleetbeat::span";
/// Spans of calls stand in traces only, not in log lines.
pub const CALLS: &str = "fleetbeat::span::call";

/// Are spans sent anywhere?
static ON: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    /// The span of the request that a task answers.
    static REQUEST: Span;
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// A request's ids.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// `X-Request-ID`
    pub request: &'a str,
    /// The trace that a valid `traceparent` names.
    pub given: Option<&'a str>,
}

/// The span of a request, and the id of its trace: the caller's where a valid `traceparent` was given.
pub fn request(method: &Method, route: &str, ids: Ids<'_>, headers: &HeaderMap) -> (Span, String) {
    let own = || uuid::Uuid::new_v4().simple().to_string();
    let request_id = ids.request;
    if !is_on() {
        let trace_id = ids.given.map_or_else(own, str::to_owned);
        let span =
            tracing::error_span!(target: "fleetbeat::span::request", "request", %method, route, request_id, trace_id);
        return (span, trace_id);
    }
    let span = tracing::error_span!(
        target: "fleetbeat::span::request",
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
        request_id,
        trace_id = Empty,
    );
    if ids.given.is_some() {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails only without an outlet, and then there is nothing to continue.
        let _ = span.set_parent(parent);
    }
    let trace_id = ids.given.map(str::to_owned).or_else(|| trace_id(&span)).unwrap_or_else(own);
    span.record("trace_id", &*trace_id);
    (span, trace_id)
}

/// Answers a request within its span.
pub async fn answer<F: Future>(span: &Span, future: F) -> F::Output {
    REQUEST.scope(span.clone(), future.instrument(span.clone())).await
}

/// What goes on in a task of its own as a part of what goes on now. Lines of the log know the request's span only, and find it
/// among those that are entered there.
pub fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let request = REQUEST.try_with(Span::clone).unwrap_or_else(|_| Span::none());
    future.in_current_span().instrument(request)
}

/// Notes in a request's span how it was answered.
pub fn answered(span: &Span, status: StatusCode) {
    if is_on() {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// The span of finding out who is calling.
pub fn proof() -> Span {
    within(|| {
        tracing::info_span!(
            target: CALLS,
            "proof",
            otel.name = "auth validation",
            otel.kind = "internal",
            auth.method = Empty,
        )
    })
}

/// Notes in such a span by which method the caller is known; a stranger by none.
pub fn proved(span: &Span, method: Option<&'static str>) {
    if let Some(method) = method {
        span.record("auth.method", method);
    }
}

/// The span of asking whether the caller may ask once more.
pub fn limit() -> Span {
    part("rate limit check")
}

/// The span of what a request wants done, once its caller may.
pub fn work() -> Span {
    part("backend request")
}

fn part(name: &'static str) -> Span {
    within(|| tracing::info_span!(target: CALLS, "part", otel.name = name, otel.kind = "internal"))
}

/// The span of a call to somebody else that a request waits for: the token issuer, a watched cluster, a webhook's receiver.
/// Nothing of it is told them.
pub fn outside(whom: &'static str, operation: &'static str) -> Span {
    within(|| {
        tracing::info_span!(
            target: CALLS,
            "outside",
            otel.name = format!("{whom} {operation}"),
            otel.kind = "client",
            peer.service = whom,
        )
    })
}

/// The span of a call to the database (`postgresql`, `sqlite`) that a request makes.
pub fn database(system: &'static str, operation: &'static str) -> Span {
    within(|| {
        tracing::info_span!(
            target: CALLS,
            "database",
            otel.name = format!("{system} {operation}"),
            otel.kind = "client",
            db.system.name = system,
            db.operation.name = operation,
        )
    })
}

/// The span of a call to Redis that a request makes.
pub fn redis(operation: &'static str) -> Span {
    within(|| {
        tracing::info_span!(
            target: CALLS,
            "redis",
            otel.name = format!("redis {operation}"),
            otel.kind = "client",
            db.system.name = "redis",
            db.operation.name = operation,
        )
    })
}

/// The span of publishing so many events. It begins a trace of its own: events of many requests go together, later.
pub fn publishing(events: usize) -> Span {
    if !is_on() {
        return Span::none();
    }
    tracing::info_span!(
        target: CALLS,
        parent: None,
        "redis",
        otel.name = "redis publish",
        otel.kind = "producer",
        db.system.name = "redis",
        db.operation.name = "publish",
        messaging.batch.message_count = events,
    )
}

/// The span of a call to the hub's API that a request makes.
pub fn hub(method: &Method) -> Span {
    within(|| {
        tracing::info_span!(
            target: CALLS,
            "hub",
            otel.name = format!("hub {method}"),
            otel.kind = "client",
            http.request.method = %method,
        )
    })
}

/// Tells the hub of the trace that a span of ours belongs to. For the hub only.
pub fn continue_in(span: &Span, headers: &mut HeaderMap) {
    if is_on() && !span.is_none() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(headers));
    }
}

/// The span, where spans are on and this is a part of one.
fn within(span: impl FnOnce() -> Span) -> Span {
    if is_on() && !Span::current().is_none() { span() } else { Span::none() }
}

fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let known = context.span().span_context().clone();
    known.is_valid().then(|| known.trace_id().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_off_calls_have_no_span_and_requests_keep_their_trace() {
        let calls = [database("sqlite", "write"), redis("EVAL"), publishing(3), hub(&Method::GET), outside("x", "y")];
        for span in calls.into_iter().chain([proof(), limit(), work()]) {
            assert!(span.is_none());
        }
        let ids = Ids { request: "r", given: Some("4bf92f3577b34da6a3ce929d0e0e4736") };
        let (_, trace_id) = request(&Method::GET, "/", ids, &HeaderMap::new());
        assert_eq!(Some(&*trace_id), ids.given);
        let (_, trace_id) = request(&Method::GET, "/", Ids { given: None, ..ids }, &HeaderMap::new());
        assert_eq!(trace_id.len(), 32);
    }
}
