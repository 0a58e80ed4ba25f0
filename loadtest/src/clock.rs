//! Wall time in milliseconds: the one place of the harness, beside the simulator's own clock, that reads it.

use chrono::{DateTime, Utc};

/// Milliseconds since the Unix epoch.
pub type WallMs = i64;

/// Now.
#[allow(clippy::disallowed_methods, reason = "the clock of the harness")]
pub fn wall_ms() -> WallMs {
    Utc::now().timestamp_millis()
}

/// A wall time as text.
pub fn wall_text(at: WallMs) -> String {
    DateTime::<Utc>::from_timestamp_millis(at).map(|at| at.to_rfc3339()).unwrap_or_default()
}
