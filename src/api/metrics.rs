//! `/metrics`: the engine's metrics, then every webhook's and every cluster's series, in chunks.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    ApiState,
    access::{Routes, Seen},
    query::{FromParameters, Parameters, Params},
    schema::Always,
};

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// So many chunks are made before they can be sent.
const AHEAD: usize = 4;

/// The route.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(metrics))
}

/// Which metrics.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetricsQuery {
    /// Every cluster's own series too (default), or the engine's alone.
    clusters: Option<bool>,
}

impl FromParameters for MetricsQuery {
    fn read(parameters: &mut Parameters) -> Self {
        Self { clusters: parameters.boolean("clusters") }
    }
}

/// Metrics of the engine, of every webhook and of every cluster (of clusters alone for callers who see only some of them), in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", params(MetricsQuery), responses(
    (status = 200, description = "Metrics", body = String, content_type = "text/plain"), Always))]
async fn metrics(State(api): State<ApiState>, seen: Seen, Params(query): Params<MetricsQuery>) -> Response {
    let engine = api.metrics.as_ref().filter(|_| seen.is_everything());
    let engine = engine.map(metrics_exporter_prometheus::PrometheusHandle::render).unwrap_or_default();
    let webhooks = if seen.is_everything() { api.webhooks.exposition() } else { String::new() };
    let with_clusters = query.clusters.unwrap_or(true);
    let clusters = with_clusters.then(|| seen.exposition(&api.collector, api.now())).into_iter().flatten();
    let chunks = [engine, webhooks].into_iter().map(Bytes::from).chain(clusters);
    let mut response = Response::new(Body::from_stream(ahead(chunks)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

/// Makes the chunks in a task of its own, while those before them are sent; it ends with the last one, or when nobody reads
/// them any more. Others come between them: all together would hold a worker up for as long as it takes to make them.
fn ahead(chunks: impl Iterator<Item = Bytes> + Send + 'static) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let (made, mut sent) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        for chunk in chunks {
            if made.send(Ok(chunk)).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    // Compression asks once more after the end.
    stream::poll_fn(move |context| sent.poll_recv(context))
}
