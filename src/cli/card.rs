//! Cards: one cluster, its status or its check in full, as lines of names and values.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::look;
use super::paint::Paint;
use super::table::{self, Cell};

/// A cluster in full.
pub fn cluster(cluster: &Value, now: Option<DateTime<Utc>>, paint: Paint) -> String {
    let mut card = Card::new(paint);
    for (name, place) in [
        ("Name", "/name"),
        ("Display name", "/display_name"),
        ("Id", "/id"),
        ("Type", "/cluster_type"),
        ("Environment", "/environment"),
        ("Region", "/region"),
        ("Platform", "/platform"),
        ("Version", "/platform_version"),
        ("API server", "/api_server_url"),
        ("TLS server name", "/tls_server_name"),
        ("Prometheus", "/endpoints/prometheus_url"),
        ("Tempo", "/endpoints/tempo_url"),
        ("Loki", "/endpoints/loki_url"),
        ("Source", "/source"),
    ] {
        card.found(name, &look::text(cluster, place));
    }
    card.found("Labels", &look::labels(cluster));
    if cluster.get("ca_bundle").is_some_and(Value::is_string) {
        card.line("CA bundle", "its own");
    }
    for (name, place) in [
        ("Check every", "/health_check/interval_seconds"),
        ("Deadline", "/health_check/timeout_seconds"),
        ("Failures to worsen", "/health_check/failure_threshold"),
        ("Successes to improve", "/health_check/success_threshold"),
    ] {
        card.found(name, &look::text(cluster, place));
    }
    let silences = words(cluster.get("silenced_by"));
    card.found("Silenced by", if silences.is_empty() { look::NOTHING } else { &silences });
    card.found("Generation", &look::text(cluster, "/generation"));
    card.found("Registered", &ago(cluster, "/created_at", now));
    let status = cluster.get("status").map(|of| self::status(of, now, paint)).unwrap_or_default();
    let found = cluster.get("capabilities").filter(|found| found.is_object());
    let found = found.map(|found| format!("\n{}", capabilities(found, now, paint))).unwrap_or_default();
    format!("{}\n{status}{found}", card.text)
}

/// What a cluster can do, in full.
pub fn capabilities(found: &Value, now: Option<DateTime<Utc>>, paint: Paint) -> String {
    let mut card = Card::new(paint);
    card.line("Discovered", &ago(found, "/discovered_at", now));
    for (name, place) in [
        ("Kubernetes", "/kubernetes_version"),
        ("Platform seen", "/platform"),
        ("Platform version", "/platform_version"),
        ("Nodes", "/node_count"),
        ("Nodes ready", "/ready_node_count"),
    ] {
        card.found(name, &look::text(found, place));
    }
    for (name, field, detail) in [
        ("GPU", "/has_gpu_nodes", "/gpu_types"),
        ("Network functions", "/has_cnf_workloads", "/cnf_types"),
        ("Service mesh", "/has_service_mesh", "/service_meshes"),
        ("Prometheus runs", "/has_prometheus", ""),
        ("Thanos runs", "/has_thanos", ""),
        ("Tempo runs", "/has_tempo", ""),
        ("Loki runs", "/has_loki", ""),
    ] {
        let holds = match found.pointer(field).and_then(Value::as_bool) {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => paint.warn("unknown"),
        };
        let detail = words(found.pointer(detail).filter(|_| !detail.is_empty()));
        card.line(name, &if detail.is_empty() { holds } else { format!("{holds} ({detail})") });
    }
    for (name, place) in [
        ("Prometheus suggested", "/suggested_endpoints/prometheus_url"),
        ("Tempo suggested", "/suggested_endpoints/tempo_url"),
        ("Loki suggested", "/suggested_endpoints/loki_url"),
    ] {
        card.found(name, &look::text(found, place));
    }
    for (step, unknown) in found.get("unknown").and_then(Value::as_object).into_iter().flatten() {
        card.line("Not known", &paint.faint(&format!("{step}: {}", look::text(unknown, "/message"))));
    }
    card.text
}

/// A list, or an object of counts, in one line.
fn words(value: Option<&Value>) -> String {
    let words: Vec<String> = match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(look::printable).collect(),
        Some(Value::Object(counts)) => {
            counts.iter().map(|(word, count)| format!("{count} x {}", look::printable(word))).collect()
        }
        _ => Vec::new(),
    };
    words.join(", ")
}

/// A status in full.
pub fn status(status: &Value, now: Option<DateTime<Utc>>, paint: Paint) -> String {
    let mut card = Card::new(paint);
    let state = look::state(status, "/state");
    let since = ago(status, "/since", now);
    card.line("State", &format!("{}  {}", paint.state(state, state.as_str()), paint.faint(&format!("since {since}"))));
    card.found("Score", &look::text(status, "/health_score"));
    card.found("Connectivity", &look::text(status, "/connectivity"));
    card.found("Reason", &look::text(status, "/reason"));
    card.found("Error", &look::text(status, "/error_message"));
    for (name, place) in
        [("API server", "api_server"), ("Prometheus", "prometheus"), ("Tempo", "tempo"), ("Loki", "loki")]
    {
        match status.get(format!("{place}_healthy")).and_then(Value::as_bool) {
            Some(true) => card.line(name, &paint.good("healthy")),
            Some(false) => card.line(name, &paint.bad("failing")),
            None => {}
        }
    }
    if let Some(latency) = status.get("latency_ms").and_then(Value::as_u64) {
        card.line("Latency", &format!("{latency} ms"));
    }
    card.line("Last check", &ago(status, "/last_check_at", now));
    card.line("Last success", &ago(status, "/last_success_at", now));
    for (name, field) in [("Stale", "/stale"), ("Flapping", "/flapping")] {
        if look::holds(status, field) {
            card.line(name, &paint.warn("yes"));
        }
    }
    card.text
}

/// The conditions of a status as a table.
pub fn conditions(status: &Value, now: Option<DateTime<Utc>>, paint: Paint) -> String {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let rows = conditions.map(|condition| {
        let text = |place| Cell::text(look::text(condition, place));
        let since = Cell::text(look::age(condition, "/lastTransitionTime", now));
        vec![text("/type"), text("/status"), text("/reason"), since, text("/message")]
    });
    table::render(&["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"], rows.collect(), paint)
}

/// The probes of a check as a table.
pub fn probes(check: &Value, paint: Paint) -> String {
    let probes = check.get("probes").and_then(Value::as_array).into_iter().flatten();
    let rows = probes.map(|probe| {
        let text = |place| look::text(probe, place);
        let result = text("/result");
        let latency = probe.get("latency_ms").filter(|latency| latency.is_number());
        let latency = latency.map_or(look::NOTHING.to_owned(), |latency| format!("{latency} ms"));
        vec![
            Cell::text(text("/endpoint")),
            Cell::verdict(&result, result == "healthy"),
            Cell::number(latency),
            Cell::text(text("/http_status")),
            Cell::text(text("/cause")),
        ]
    });
    table::render(&["ENDPOINT", "RESULT", "LATENCY", "HTTP", "CAUSE"], rows.collect(), paint)
}

fn ago(value: &Value, place: &str, now: Option<DateTime<Utc>>) -> String {
    match (look::age(value, place, now), look::time(value, place), now) {
        (age, Some(time), Some(_)) => format!("{} ({age} ago)", time.format("%Y-%m-%dT%H:%M:%SZ")),
        (age, _, _) if age == look::NOTHING => "never".to_owned(),
        (age, _, _) => age,
    }
}

struct Card {
    text: String,
    paint: Paint,
}

impl Card {
    fn new(paint: Paint) -> Self {
        Self { text: String::new(), paint }
    }

    /// A line, where there is something to tell.
    fn found(&mut self, name: &str, value: &str) {
        if value != look::NOTHING {
            self.line(name, value);
        }
    }

    fn line(&mut self, name: &str, value: &str) {
        let name = self.paint.strong(&format!("{:22}", format!("{name}:")));
        self.text.push_str(&format!("{name}{value}\n"));
    }
}
