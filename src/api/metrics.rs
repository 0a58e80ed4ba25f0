//! `/metrics`: the engine's metrics, then every cluster's series, in chunks.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::stream;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiState, query::NoQuery, schema::Always};
use crate::exposition::Exposition;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The route.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Metrics of the engine and of every cluster, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "Metrics", body = String, content_type = "text/plain"), Always))]
async fn metrics(State(api): State<ApiState>, _query: NoQuery) -> Response {
    let engine = api.metrics.as_ref().map(metrics_exporter_prometheus::PrometheusHandle::render).unwrap_or_default();
    let clusters = Exposition::of(&api.board, api.clock.now());
    let chunks = std::iter::once(Bytes::from(engine)).chain(clusters).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(stream::iter(chunks)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}
