//! Errors as callers see them: one constructor a meaning, one envelope, and RFC 9457 for those who ask for it.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use fleetbeat_actors::{ports::StoreError, roll::ClusterId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::registration::{Detail, Foreign, Invalid, WriteError};

/// `service` of every error and the key of `/health/detailed`.
pub const SERVICE: &str = "cluster-registry";

/// What went wrong, for a caller. The context layer dresses it as a response.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Code of the seeds.
    pub code: &'static str,
    /// Public words.
    pub message: String,
    /// One a field.
    pub details: Vec<Detail>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new(), retry_after: None }
    }

    /// The request cannot be understood or accepted.
    pub fn invalid(invalid: Invalid) -> Self {
        let code = if invalid.bad_name { "INVALID_CLUSTER_NAME" } else { "INVALID_REQUEST" };
        let error = Self::new(StatusCode::BAD_REQUEST, code, invalid.to_string());
        Self { details: invalid.details, ..error }
    }

    /// One field or parameter is wrong.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(Invalid::one(field, message))
    }

    /// No cluster of that id.
    pub fn cluster_not_found(id: ClusterId) -> Self {
        Self::new(StatusCode::NOT_FOUND, "CLUSTER_NOT_FOUND", format!("Cluster with ID {id} not found"))
    }

    /// No cluster of that name.
    pub fn no_cluster_named(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "CLUSTER_NOT_FOUND", format!("Cluster named '{name}' not found"))
    }

    /// The name is in use.
    pub fn cluster_exists(name: &str) -> Self {
        let message = format!("Cluster with name '{name}' already exists");
        let error = Self::new(StatusCode::CONFLICT, "CLUSTER_ALREADY_EXISTS", message);
        Self { details: vec![Detail::new("name", "is taken")], ..error }
    }

    /// A cluster of that name comes from elsewhere.
    pub fn cluster_from_elsewhere(foreign: &Foreign) -> Self {
        let mut message = foreign.to_string();
        message[..1].make_ascii_uppercase();
        let error = Self::new(StatusCode::CONFLICT, "CLUSTER_ALREADY_EXISTS", message);
        Self { details: vec![Detail::new("name", foreign.to_string())], ..error }
    }

    /// Another cluster has that source.
    pub fn source_taken() -> Self {
        let message = "The source is that of another cluster";
        let error = Self::new(StatusCode::CONFLICT, "CLUSTER_ALREADY_EXISTS", message);
        Self { details: vec![Detail::new("source", "is taken")], ..error }
    }

    /// `If-Match` names another generation.
    pub fn precondition_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED", message)
    }

    /// Credentials that cannot be used.
    pub fn credentials_invalid(invalid: Invalid) -> Self {
        Self { code: "CREDENTIALS_INVALID", ..Self::invalid(invalid) }
    }

    /// Credentials that the cluster refuses.
    pub fn credentials_refused(details: Vec<Detail>) -> Self {
        let message = "The cluster does not accept the credentials; nothing was stored";
        Self { details, ..Self::new(StatusCode::BAD_REQUEST, "CREDENTIALS_INVALID", message) }
    }

    /// The cluster has none.
    pub fn credentials_not_found(id: ClusterId) -> Self {
        let message = format!("No credentials are stored for cluster {id}");
        Self::new(StatusCode::NOT_FOUND, "CREDENTIALS_NOT_FOUND", message)
    }

    /// A check could not be run now.
    pub fn unreachable(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "CLUSTER_UNREACHABLE", message);
        Self { retry_after: Some(Duration::from_secs(5)), ..error }
    }

    /// A cluster refused to tell what it can do.
    pub fn discovery_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "DISCOVERY_FAILED", message)
    }

    /// Something that this needs does not answer.
    pub fn dependency_unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// Too many of something at once.
    pub fn rate_limited(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message);
        Self { retry_after: Some(Duration::from_secs(5)), ..error }
    }

    /// More requests than the caller may make.
    pub fn too_many_requests(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let error = Self::rate_limited("Too many requests; try again later");
        Self { retry_after: Some(Duration::from_secs(seconds.max(1))), ..error }
    }

    /// Path and query are longer than the cap.
    pub fn uri_too_long(cap: usize) -> Self {
        let message = format!("The URL is longer than {cap} bytes");
        Self::new(StatusCode::URI_TOO_LONG, "URI_TOO_LONG", message)
    }

    /// The request is for a host that this is not.
    pub fn misdirected() -> Self {
        let message = "This host name is not answered to; server.allowed_hosts says which are";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "INVALID_REQUEST", message)
    }

    /// Nobody known is calling.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "AUTH_FAILED", message)
    }

    /// The caller is known and may not do this.
    pub fn permission_denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message)
    }

    /// No such resource, of any other kind than clusters.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    /// The body is larger than the cap.
    pub fn payload_too_large(cap: usize) -> Self {
        let message = format!("The body is larger than {cap} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
    }

    /// The body is of the wrong type.
    pub fn unsupported_media_type(expected: &str) -> Self {
        let message = format!("Content-Type must be {expected}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// The request took too long.
    pub fn timed_out() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request was not complete in time")
    }

    /// Our own fault; the log knows more.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal server error")
    }

    /// What an answer without an error of ours means: routing, limits.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::NOT_FOUND => ("NOT_FOUND", "No such resource"),
            StatusCode::METHOD_NOT_ALLOWED => ("METHOD_NOT_ALLOWED", "The resource does not know this method"),
            StatusCode::PAYLOAD_TOO_LARGE => ("PAYLOAD_TOO_LARGE", "The body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("UNSUPPORTED_MEDIA_TYPE", "The body is of the wrong type"),
            StatusCode::REQUEST_TIMEOUT => ("REQUEST_TIMEOUT", "The request was not complete in time"),
            StatusCode::INTERNAL_SERVER_ERROR => return Self::internal(),
            _ => ("INVALID_REQUEST", "The request cannot be answered"),
        };
        Self::new(status, code, message)
    }

    /// A store's error met while reading.
    pub fn of_reading(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason, .. } => {
                tracing::warn!(reason, "the store did not answer a read");
                Self::dependency_unavailable("The database is temporarily unavailable", Duration::from_secs(2))
            }
            error => {
                tracing::error!(%error, "the store refused a read");
                Self::internal()
            }
        }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Invalid(invalid) => Self::invalid(invalid),
            WriteError::NameTaken(name) => Self::cluster_exists(&name),
            WriteError::Foreign(foreign) => Self::cluster_from_elsewhere(&foreign),
            WriteError::SourceTaken => Self::source_taken(),
            WriteError::NotFound(id) => Self::cluster_not_found(id),
            WriteError::Precondition { current } => {
                Self::precondition_failed(format!("The cluster is at generation {current}"))
            }
            WriteError::Changed => Self::precondition_failed("The cluster was changed meanwhile; read it again"),
            WriteError::OutOfScope => Self::permission_denied("The cluster would be outside what you may see"),
            WriteError::Unavailable { doubtful, retry_after } => {
                let message = if doubtful {
                    "The database broke off; it is not known whether the change was stored"
                } else {
                    "The database is temporarily unavailable; nothing was changed"
                };
                Self::dependency_unavailable(message, retry_after)
            }
            WriteError::Internal => Self::internal(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The seed's error envelope.
#[derive(Serialize, ToSchema)]
pub struct ErrorEnvelope {
    /// The error.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    /// Code, stable.
    #[schema(value_type = String, example = "CLUSTER_NOT_FOUND")]
    pub code: &'static str,
    /// In words; may change.
    pub message: String,
    /// Always `cluster-registry`.
    #[schema(value_type = String)]
    pub service: &'static str,
    /// Id of the trace, from `traceparent` or made for this request.
    pub trace_id: String,
    /// When.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// One for every field that is wrong.
    #[schema(value_type = Vec<ErrorDetail>)]
    pub details: Vec<Detail>,
}

/// One field that is wrong.
#[derive(ToSchema)]
#[schema(as = ErrorDetail)]
#[expect(dead_code, reason = "describes `Detail` in the OpenAPI document")]
pub struct ErrorDetail {
    /// Its path.
    field: String,
    /// What is wrong.
    message: String,
}

/// RFC 9457 problem details.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`.
    #[schema(value_type = String)]
    r#type: &'static str,
    /// The status in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// What went wrong.
    detail: String,
    /// The error.
    #[serde(flatten)]
    error: ErrorBody,
}

/// Dresses an error as a response.
pub fn dress(error: &ApiError, trace_id: &str, now: DateTime<Utc>, as_problem: bool) -> Response {
    let body = ErrorBody {
        code: error.code,
        message: error.message.clone(),
        service: SERVICE,
        trace_id: trace_id.to_owned(),
        timestamp: now.to_rfc3339_opts(SecondsFormat::Millis, true),
        details: error.details.clone(),
    };
    let mut response = if as_problem {
        let problem = Problem {
            r#type: "about:blank",
            title: error.status.canonical_reason().unwrap_or("Error"),
            status: error.status.as_u16(),
            detail: error.message.clone(),
            error: body,
        };
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        (error.status, [content_type], Json(problem)).into_response()
    } else {
        (error.status, Json(ErrorEnvelope { error: body })).into_response()
    };
    if error.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(after) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}
