//! Clusters as rows of a table.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::cli::look;
use crate::cli::paint::Paint;
use crate::cli::table::{self, Cell};

const HEADER: [&str; 9] = ["NAME", "TYPE", "ENVIRONMENT", "REGION", "STATE", "SCORE", "SINCE", "LAST CHECK", "REASON"];
const MORE: [&str; 7] = ["CONNECTIVITY", "LATENCY", "PLATFORM", "API SERVER", "SOURCE", "LABELS", "ID"];

/// The table.
pub fn render(clusters: &[Value], now: Option<DateTime<Utc>>, wide: bool, paint: Paint) -> String {
    let mut header = HEADER.to_vec();
    if wide {
        header.extend(MORE);
    }
    let row = |cluster| {
        let mut row = narrow(cluster, now);
        if wide {
            row.extend(more(cluster));
        }
        row
    };
    table::render(&header, clusters.iter().map(row).collect(), paint)
}

fn narrow(cluster: &Value, now: Option<DateTime<Utc>>) -> Vec<Cell> {
    let text = |place| Cell::text(look::text(cluster, place));
    let age = |place| Cell::text(look::age(cluster, place, now));
    vec![
        text("/name"),
        text("/cluster_type"),
        text("/environment"),
        text("/region"),
        Cell::state(look::state(cluster, "/status/state")),
        Cell::number(look::text(cluster, "/status/health_score")),
        age("/status/since"),
        age("/status/last_check_at"),
        Cell::text(reason(cluster)),
    ]
}

/// The word of the cause, and what makes the status less than certain.
fn reason(cluster: &Value) -> String {
    let mut words = vec![look::text(cluster, "/status/reason")];
    for (field, word) in [("/status/stale", "stale"), ("/status/flapping", "flapping")] {
        if look::holds(cluster, field) {
            words.push(word.to_owned());
        }
    }
    words.join(", ")
}

fn more(cluster: &Value) -> Vec<Cell> {
    let text = |place| Cell::text(look::text(cluster, place));
    let latency = match look::text(cluster, "/status/latency_ms") {
        latency if latency == look::NOTHING => latency,
        latency => format!("{latency} ms"),
    };
    vec![
        text("/status/connectivity"),
        Cell::number(latency),
        text("/platform"),
        text("/api_server_url"),
        text("/source"),
        Cell::text(look::labels(cluster)),
        text("/id"),
    ]
}
