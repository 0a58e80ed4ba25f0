//! Whether the values make sense: ranges, forms of URLs, and what is not safe.

mod auth;
mod internal;

use std::time::Duration;

use url::Url;

use super::connection_url::has_stray_at_sign;
use super::layers::Merged;
use super::{ConfigError, ConnectionUrl, HealthCheck, Problem, ServerTls, Settings, Timing};
use crate::selector::Selector;

const POSTGRES_SCHEMES: [&str; 2] = ["postgresql", "postgres"];
const REDIS_SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Longest retention, in days.
const TEN_YEARS: u32 = 3650;

/// Collects every problem of the settings.
pub(super) fn check(settings: &Settings, merged: &Merged) -> Result<(), ConfigError> {
    let mut checks = Checks { merged, problems: Vec::new() };
    checks.urls(settings);
    checks.server(settings);
    checks.auth(settings);
    checks.internal(settings);
    checks.edge(settings);
    checks.health_check(&settings.health_check);
    checks.monitor(settings);
    checks.probes(settings);
    checks.storage(settings);
    checks.names(settings);
    checks.status_page(settings);
    checks.webhooks(settings);
    match checks.problems.is_empty() {
        true => Ok(()),
        false => Err(ConfigError { problems: checks.problems }),
    }
}

struct Checks<'a> {
    merged: &'a Merged,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    /// Keeps the first problem of a key: several cluster types may share one wrong value.
    fn refuse(&mut self, key: &str, message: impl Into<String>) {
        if self.problems.iter().all(|known| known.key != key) {
            self.problems.push(self.merged.problem(key, message.into()));
        }
    }

    fn within<T: PartialOrd + std::fmt::Debug>(&mut self, key: &str, value: T, low: T, high: T) {
        if value < low || value > high {
            self.refuse(key, format!("must be from {low:?} to {high:?}, not {value:?}"));
        }
    }

    fn urls(&mut self, settings: &Settings) {
        if let Some(path) = settings.database_url.expose().strip_prefix("sqlite:") {
            if path.trim_start_matches('/').is_empty() || !path.starts_with("//") {
                self.refuse("database_url", "names no file; write sqlite:///absolute/path.db");
            }
        } else {
            self.url("database_url", &settings.database_url, &POSTGRES_SCHEMES);
        }
        self.url("redis_url", &settings.redis_url, &REDIS_SCHEMES);
        if !settings.redis_ca_file.as_os_str().is_empty() && !settings.redis_url.expose().starts_with("rediss") {
            self.refuse("redis_ca_file", "needs a redis_url that asks for TLS, such as rediss://host:6379/0");
        }
    }

    fn url(&mut self, key: &str, value: &ConnectionUrl, schemes: &[&str]) {
        if value.is_empty() {
            return;
        }
        let broken = "is not a URL of the form scheme://user:password@host:port/name; special characters in the \
                      password must be percent-encoded";
        match Url::parse(value.expose()) {
            Ok(url) if !schemes.contains(&url.scheme()) => {
                let known = schemes.join(", ");
                self.refuse(key, format!("has an unknown scheme; known are {known}"));
            }
            Ok(url) if has_stray_at_sign(&url) || url.host_str().unwrap_or_default().is_empty() => {
                self.refuse(key, broken);
            }
            Ok(_) => {}
            Err(_) => self.refuse(key, broken),
        }
    }

    fn server(&mut self, settings: &Settings) {
        let server = &settings.server;
        let lists = [
            ("server.also_listen", &server.also_listen),
            ("server.observability_listen", &server.observability_listen),
        ];
        let others = lists.into_iter().flat_map(|(key, list)| list.iter().map(move |listen| (key, listen)));
        for (key, listen) in [("server.listen", &server.listen)].into_iter().chain(others) {
            let (false, false, Some(address)) = (listen.is_local(), settings.auth.is_on(), listen.address()) else {
                continue;
            };
            self.refuse(
                key,
                format!(
                    "refuses to listen on {address}: authentication is not configured, so only loopback addresses \
                     (127.0.0.1, [::1]) are allowed; to listen there, set auth.tokens.enabled to true, or auth.kubernetes.enabled \
                     to true, or auth.oidc.issuer, auth.gateway.client_names or auth.gateway.unix_socket"
                ),
            );
        }
        self.tls(&server.tls);
        self.within("server.max_body_bytes", server.max_body_bytes, 1024, 1 << 30);
        self.within("server.max_connections", server.max_connections, 1, 1_000_000);
        self.within(
            "server.request_timeout_seconds",
            server.request_timeout,
            Duration::from_secs(1),
            Duration::from_secs(3600),
        );
    }

    fn edge(&mut self, settings: &Settings) {
        let (limits, breaker, tracing) = (&settings.limits, &settings.circuit_breaker, &settings.tracing);
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        self.within("limits.burst", limits.burst, 1, 10_000_000);
        self.within("limits.anonymous_burst", limits.anonymous_burst, 1, 10_000_000);
        self.within("limits.redis_database", limits.redis_database, 0, 15);
        self.within("limits.connections_per_address", limits.connections_per_address, 1, 1_000_000);
        self.within("limits.max_url_bytes", limits.max_url_bytes, 256, 60_000);
        self.within("limits.max_header_bytes", limits.max_header_bytes, 8192, 1 << 20);
        self.within("limits.max_headers", limits.max_headers, 16, 1000);
        self.within("limits.max_json_depth", limits.max_json_depth, 4, 100);
        self.within("limits.head_timeout_seconds", limits.head_timeout, second, hour);
        self.within("limits.body_timeout_seconds", limits.body_timeout, second, hour);
        self.within("limits.idle_timeout_seconds", limits.idle_timeout, second, hour);
        self.within("circuit_breaker.failure_threshold", breaker.failure_threshold, 1, 1000);
        self.within("circuit_breaker.recovery_timeout_seconds", breaker.recovery_timeout, MILLISECOND, hour);
        self.within("circuit_breaker.half_open_requests", breaker.half_open_requests, 1, 1000);
        self.within("tracing.sample_ratio", tracing.sample_ratio, 0.0, 1.0);
        let endpoint = &tracing.otlp_endpoint;
        let is_url = Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !endpoint.is_empty() && !is_url {
            self.refuse("tracing.otlp_endpoint", "must be an http or https URL");
        }
        for (at, origin) in settings.server.cors_allowed_origins.iter().enumerate() {
            let parsed = Url::parse(origin).map(|url| url.origin().ascii_serialization());
            if parsed.as_deref() != Ok(origin) {
                self.refuse(
                    &format!("server.cors_allowed_origins[{at}]"),
                    "must be an origin such as https://portal.example, without a path",
                );
            }
        }
    }

    fn tls(&mut self, tls: &ServerTls) {
        let (certificate, key) = (tls.is_on(), !tls.key_file.as_os_str().is_empty());
        let authorities = !tls.client_ca_file.as_os_str().is_empty();
        if certificate != key {
            let missing = if certificate { "server.tls.key_file" } else { "server.tls.cert_file" };
            self.refuse(missing, "is missing: a certificate and its key belong together");
        }
        if authorities && !certificate {
            self.refuse("server.tls.client_ca_file", "needs server.tls.cert_file and server.tls.key_file");
        }
        if tls.require_client_certificate && !authorities {
            self.refuse("server.tls.require_client_certificate", "needs server.tls.client_ca_file");
        }
    }

    fn health_check(&mut self, health: &HealthCheck) {
        let types = [
            ("hub", health.hub()),
            ("spoke", health.spoke()),
            ("edge", health.edge()),
            ("far_edge", health.far_edge()),
        ];
        for (name, timing) in types {
            self.timing(name, &timing, health);
        }
        self.within("health_check.flap_changes", health.flap_changes, 2, 1000);
        self.within("health_check.flap_window_seconds", health.flap_window, MILLISECOND, DAY);
    }

    fn timing(&mut self, name: &str, timing: &Timing, health: &HealthCheck) {
        let own = |key: &str, is_own: bool| match is_own {
            true => format!("health_check.per_type.{name}.{key}"),
            false => format!("health_check.{key}"),
        };
        let overrides = match name {
            "hub" => &health.per_type.hub,
            "spoke" => &health.per_type.spoke,
            "edge" => &health.per_type.edge,
            _ => &health.per_type.far_edge,
        };
        let interval = format!("health_check.{name}_interval_seconds");
        self.within(&interval, timing.interval, 10 * MILLISECOND, DAY);
        let deadline = match health.timeout {
            Some(_) => "health_check.timeout_seconds".to_owned(),
            None => format!("health_check.{name}_timeout_seconds"),
        };
        self.within(&deadline, timing.deadline, MILLISECOND, timing.interval.max(MILLISECOND));
        let key = own("failure_threshold", overrides.failure_threshold.is_some());
        self.within(&key, timing.failure_threshold, 1, 100);
        let key = own("success_threshold", overrides.success_threshold.is_some());
        self.within(&key, timing.success_threshold, 1, 100);
        let key = own("recheck_delay_seconds", overrides.recheck_delay.is_some());
        self.within(&key, timing.recheck_delay, Duration::ZERO, DAY);
    }

    fn monitor(&mut self, settings: &Settings) {
        let monitor = &settings.monitor;
        let ratio = monitor.hold_ratio;
        if !(ratio > 0.0 && ratio <= 1.0) {
            self.refuse("monitor.hold_ratio", "must be above 0 and at most 1");
        }
        self.within("monitor.hold_min_clusters", monitor.hold_min_clusters, 1, 1_000_000);
        for (at, canary) in monitor.canaries.iter().enumerate() {
            if !matches!(canary.scheme(), "http" | "https") {
                self.refuse(&format!("monitor.canaries[{at}]"), "must be an http or https URL");
            }
        }
    }

    fn probes(&mut self, settings: &Settings) {
        let probes = &settings.probes;
        self.within("probes.max_in_flight", probes.max_in_flight, 1, 1_000_000);
        self.within("probes.max_handshakes", probes.max_handshakes, 1, 1_000_000);
        self.within("probes.max_body_bytes", probes.max_body_bytes, 1024, 1 << 26);
        self.within("probes.max_header_bytes", probes.max_header_bytes, 8192, 1 << 20);
        self.within("probes.resolve_timeout_ms", probes.resolve_timeout, MILLISECOND, DAY);
        let second = Duration::from_secs(1);
        self.within("probes.keepalive_idle_seconds", probes.keepalive_idle, second, DAY);
        self.within("probes.keepalive_interval_seconds", probes.keepalive_interval, second, DAY);
        self.within("probes.keepalive_probes", probes.keepalive_probes, 1, 100);
    }

    fn storage(&mut self, settings: &Settings) {
        let (store, recorder) = (&settings.store, &settings.recorder);
        let hour = Duration::from_secs(3600);
        self.within("store.max_connections", store.max_connections, 1, 1000);
        self.within("store.acquire_timeout_ms", store.acquire_timeout, MILLISECOND, hour);
        self.within("store.statement_timeout_ms", store.statement_timeout, MILLISECOND, hour);
        self.within("store.call_timeout_ms", store.call_timeout, MILLISECOND, hour);
        self.within("recorder.flush_interval_ms", recorder.flush_interval, MILLISECOND, hour);
        self.within("recorder.idle_flush_seconds", recorder.idle_flush, MILLISECOND, DAY);
        let history = &settings.history;
        let days = [
            ("history.checks_retention_days", history.checks_retention_days),
            ("history.transitions_retention_days", history.transitions_retention_days),
            ("history.events_retention_days", history.events_retention_days),
        ];
        for (key, value) in days {
            self.within(key, value, 1, TEN_YEARS);
        }
        self.within("audit.retention_days", settings.audit.retention_days, 1, TEN_YEARS);
        self.within("audit.refusals_per_second", settings.audit.refusals_per_second, 4, 10_000);
        self.within("registry.reconcile_seconds", settings.registry.reconcile, MILLISECOND, DAY);
    }

    fn status_page(&mut self, settings: &Settings) {
        let page = &settings.status_page;
        if !(1..=100).contains(&page.title.chars().count()) || page.title.chars().any(char::is_control) {
            self.refuse("status_page.title", "must be 1 to 100 characters");
        }
        match page.label_selector.parse::<Selector>() {
            Err(error) => self.refuse("status_page.label_selector", error),
            Ok(_) if page.enabled && page.label_selector.trim().is_empty() => {
                self.refuse("status_page.label_selector", "must choose what everybody may see, such as `public=true`");
            }
            Ok(_) => {}
        }
    }

    fn webhooks(&mut self, settings: &Settings) {
        let (webhooks, second) = (&settings.webhooks, Duration::from_secs(1));
        self.within("webhooks.max_webhooks", webhooks.max_webhooks, 1, 1000);
        self.within("webhooks.timeout_seconds", webhooks.timeout, second / 10, 300 * second);
        self.within("webhooks.max_attempts", webhooks.max_attempts, 1, 1000);
        self.within("webhooks.initial_backoff_seconds", webhooks.initial_backoff, MILLISECOND, DAY);
        self.within("webhooks.max_backoff_seconds", webhooks.max_backoff, webhooks.initial_backoff, DAY);
        // An event that the janitor removed cannot be told.
        let kept = settings.history.events_retention_days.saturating_mul(24);
        self.within("webhooks.max_age_hours", webhooks.max_age_hours, 1, kept);
        self.within("webhooks.max_dead_letters", webhooks.max_dead_letters, 1, 100_000);
    }

    fn names(&mut self, settings: &Settings) {
        let events = &settings.events;
        self.within("events.stream_max_length", events.stream_max_length, 1, u64::from(u32::MAX));
        for (key, name) in [("events.channel_prefix", &events.channel_prefix), ("events.stream", &events.stream)] {
            let printable = name.chars().all(|letter| letter.is_ascii_graphic());
            if name.is_empty() || name.len() > 200 || !printable {
                self.refuse(key, "must be 1 to 200 printable characters without spaces");
            }
        }
        let streaming = &settings.streaming;
        self.within("streaming.max_listeners", streaming.max_listeners, 1, 100_000);
        let most = streaming.max_listeners;
        self.within("streaming.max_listeners_per_caller", streaming.max_listeners_per_caller, 1, most);
        for (at, origin) in settings.streaming.allowed_origins.iter().enumerate() {
            let known = Url::parse(origin).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.origin().ascii_serialization().eq_ignore_ascii_case(origin)
            });
            if !known {
                let key = format!("streaming.allowed_origins[{at}]");
                self.refuse(&key, "must be scheme, host and, where it is not the scheme's own, port, such as https://console.example.com");
            }
        }
        if tracing_subscriber::EnvFilter::try_new(&settings.log.level).is_err() {
            self.refuse("log.level", "must be a level such as `info` or directives such as `info,fleetbeat=debug`");
        }
        self.within("discovery.periodic_refresh_hours", settings.discovery.periodic_refresh_hours, 1, 8760);
        let namespace = &settings.credentials.secret_namespace;
        let word = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        let ends_well = !namespace.starts_with('-') && !namespace.ends_with('-');
        if namespace.is_empty() || namespace.len() > 63 || !namespace.bytes().all(word) || !ends_well {
            self.refuse("credentials.secret_namespace", "must be the name of a Kubernetes namespace");
        }
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        self.within("hub.timeout_seconds", settings.hub.timeout, second / 10, minute);
        self.within("hub.max_answer_bytes", settings.hub.max_answer_bytes, 1 << 20, 1 << 30);
        let discovery = &settings.discovery;
        self.within("discovery.max_in_flight", discovery.max_in_flight, 1, 1_000);
        self.within("discovery.question_timeout_seconds", discovery.question_timeout, second, 60 * second);
        self.within("discovery.timeout_seconds", discovery.timeout, second, 3600 * second);
        self.within("discovery.max_answer_bytes", discovery.max_answer_bytes, 65_536, 64 << 20);
        self.within("discovery.max_total_bytes", discovery.max_total_bytes, 65_536, 1 << 30);
        self.within("credentials.renew_at_percent", settings.credentials.renew_at_percent, 0, 95);
        self.within("credentials.rotation_warning_days", settings.credentials.rotation_warning_days, 0, TEN_YEARS);
    }
}
