//! Settings of the edge of the process: limits of callers, circuit breakers, tracing, webhooks.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::durations::seconds;

/// What callers may draw out.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests a second of one caller in the long run; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests of one caller at once.
    pub burst: u32,
    /// Requests a second of one address that proves nothing; 0 for no limit.
    pub anonymous_requests_per_second: u32,
    /// Requests of such an address at once.
    pub anonymous_burst: u32,
    /// Whether the limits per caller are shared through Redis, where it is configured.
    pub shared: bool,
    /// Database of Redis that holds them.
    pub redis_database: u8,
    /// Connections of one address at once.
    pub connections_per_address: usize,
    /// Networks that are not counted by address.
    pub uncounted_cidrs: Vec<IpNet>,
    /// Longest path and query of a request, bytes.
    pub max_url_bytes: usize,
    /// Largest head of a request, bytes.
    pub max_header_bytes: usize,
    /// Most headers of a request.
    pub max_headers: usize,
    /// Deepest nesting of a JSON body.
    pub max_json_depth: usize,
    /// Time for the head of a request.
    #[serde(rename = "head_timeout_seconds", with = "seconds")]
    pub head_timeout: Duration,
    /// Time for the body of a request.
    #[serde(rename = "body_timeout_seconds", with = "seconds")]
    pub body_timeout: Duration,
    /// Time between two requests on one connection.
    #[serde(rename = "idle_timeout_seconds", with = "seconds")]
    pub idle_timeout: Duration,
}

/// When circuit breakers open and close.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitBreaker {
    /// Failures in a row that open one.
    pub failure_threshold: u32,
    /// How long it stays open at most.
    #[serde(rename = "recovery_timeout_seconds", with = "seconds")]
    pub recovery_timeout: Duration,
    /// Calls on trial; so many successes close it.
    pub half_open_requests: u32,
}

/// Traces of requests.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    /// URL that takes OTLP over HTTP (protobuf); empty for none.
    pub otlp_endpoint: String,
    /// Share of the requests without a `traceparent` that are traced, from 0 to 1.
    pub sample_ratio: f64,
    /// `service.name` of the spans.
    pub service_name: String,
}

/// Webhooks.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Most webhooks.
    pub max_webhooks: usize,
    /// Whether plain http may leave this machine.
    pub allow_http: bool,
    /// Deadline of one delivery.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// Tries of one event.
    pub max_attempts: u32,
    /// Pause after the first failed try.
    #[serde(rename = "initial_backoff_seconds", with = "seconds")]
    pub initial_backoff: Duration,
    /// Longest pause between two tries.
    #[serde(rename = "max_backoff_seconds", with = "seconds")]
    pub max_backoff: Duration,
    /// Age in hours beyond which an event is not tried any more.
    pub max_age_hours: u32,
    /// Dead letters of one webhook.
    pub max_dead_letters: u32,
}
