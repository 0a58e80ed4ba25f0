//! The OpenAPI document, and a page to read it by that needs no network.

use std::sync::Arc;

use axum::{Router, body::Bytes, extract::State, http::header, response::IntoResponse, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    ApiState,
    access::SCHEME,
    error::{ErrorEnvelope, Problem},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fleetbeat",
        description = "The fleet health engine for Kubernetes and OpenShift clusters: registry, health, events. \
            Errors come in one envelope; ask for application/problem+json to get RFC 9457 instead. \
            Every answer carries X-Request-ID."
    ),
    components(schemas(ErrorEnvelope, Problem)),
    modifiers(&Bearer),
    tags(
        (name = "clusters", description = "The registry"),
        (name = "credentials", description = "How clusters are reached; secrets go in and never come out"),
        (name = "fleet", description = "The fleet as a whole"),
        (name = "history", description = "The past of one cluster"),
        (name = "events", description = "The event log"),
        (name = "access", description = "Who may call, and what they may do"),
        (name = "health", description = "fleetbeat itself")
    )
)]
struct Info;

/// The way callers prove who they are.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API token"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme.build()));
    }
}

/// A router whose document begins with what is said here.
pub fn begin() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Info::openapi())
}

/// `/api/v1/openapi.json` and `/docs`.
pub fn routes<S: Clone + Send + Sync + 'static>(document: &Document) -> Router<S> {
    let json: Arc<str> = document.to_json().unwrap_or_default().into();
    let serve = Router::new().route("/api/v1/openapi.json", get(document_json)).with_state(json);
    serve.merge(SwaggerUi::new("/docs").config(Config::from("/api/v1/openapi.json").validator_url("none")))
}

async fn document_json(State(json): State<Arc<str>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], Bytes::copy_from_slice(json.as_bytes()))
}
