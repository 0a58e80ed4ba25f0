//! Where finished spans go: in batches over HTTP, from a thread of its own. What cannot be sent in time is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::runtime::Handle;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::{ON, TARGET};
use crate::config;

/// Spans that wait to be sent; more are dropped.
const WAITING: usize = 2_048;
/// Spans in one message.
const TOGETHER: usize = 512;
/// How often they are sent.
const EVERY: Duration = Duration::from_secs(1);
/// Time for one message, with what is tried again of it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Time for what is left at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Largest answer that is read, bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The settings cannot be used.
    #[error("tracing: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// TLS cannot be set up.
    #[error("tracing: {0}")]
    Tls(#[from] rustls::Error),
}

/// Spans on their way.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send spans over this runtime; nothing while no endpoint is set.
    ///
    /// # Errors
    /// [`TracesError`]
    pub fn begin(settings: &config::Tracing, runtime: &Handle) -> Result<Option<Self>, TracesError> {
        if settings.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Outlet::new(runtime.clone())?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.otlp_endpoint.clone())
            .with_timeout(DEADLINE)
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING)
            .with_max_export_batch_size(TOGETHER)
            .with_scheduled_delay(EVERY)
            .build();
        let resource = Resource::builder_empty()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let ratio = Sampler::TraceIdRatioBased(settings.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource)
            .build();
        ON.store(true, Ordering::Relaxed);
        Ok(Some(Self { provider }))
    }

    /// The layer that makes spans of ours into spans that are sent.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync>(&self) -> impl Layer<S> + use<S> {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("fleetbeat"))
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        spans.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }

    /// Sends what is left, for a second at most. Blocks; the runtime has to be there still.
    pub fn end(self) {
        if self.provider.shutdown_with_timeout(FAREWELL).is_err() {
            tracing::warn!("the last spans could not be sent");
        }
    }
}

/// The HTTP client of the exporter, whose own thread has no runtime.
#[derive(Debug)]
struct Outlet {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    /// Did the last message fail? Said once, not every second.
    failing: AtomicBool,
}

impl Outlet {
    fn new(runtime: Handle) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(1).pool_idle_timeout(DEADLINE);
        Ok(Self { client: builder.build(connector), runtime, failing: AtomicBool::new(false) })
    }

    fn tell(&self, failed: bool) {
        match (self.failing.swap(failed, Ordering::Relaxed), failed) {
            (false, true) => tracing::warn!("spans cannot be sent; they are dropped until that works"),
            (true, false) => tracing::info!("spans are sent again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Outlet {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        let sent = self.runtime.spawn(async { tokio::time::timeout(DEADLINE, exchange).await }).await;
        let answer = sent.map_err(HttpError::from).and_then(|sent| sent?);
        self.tell(answer.as_ref().map_or(true, |answer| !answer.status().is_success()));
        answer
    }
}
