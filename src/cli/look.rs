//! Looking into the API's answers: texts, numbers and times by their place, and times as ages.

use chrono::{DateTime, Utc};
use fleetbeat_actors::health::State;
use serde_json::Value;

/// What stands in a column where there is nothing to tell.
pub const NOTHING: &str = "-";

/// The text, number or truth value at a JSON pointer; `-` where there is none.
pub fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() => printable(text),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(truth)) => truth.to_string(),
        _ => NOTHING.to_owned(),
    }
}

/// Text that cannot steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// The state at a JSON pointer.
pub fn state(value: &Value, pointer: &str) -> State {
    value.pointer(pointer).and_then(Value::as_str).and_then(|word| word.parse().ok()).unwrap_or(State::Unknown)
}

/// Is there `true` at a JSON pointer?
pub fn holds(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// The time at a JSON pointer.
pub fn time(value: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    let text = value.pointer(pointer)?.as_str()?;
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// How long ago the time at a JSON pointer was, by the server's clock: `42s`, `17m`, `5h`, `12d`.
pub fn age(value: &Value, pointer: &str, now: Option<DateTime<Utc>>) -> String {
    match (time(value, pointer), now) {
        (Some(time), Some(now)) => span(now.signed_duration_since(time).num_seconds()),
        (Some(time), None) => time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        (None, _) => NOTHING.to_owned(),
    }
}

/// Seconds in the unit that people would use.
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// The labels of a cluster: `a=b,c=d`.
pub fn labels(cluster: &Value) -> String {
    let labels = cluster.get("labels").and_then(Value::as_object);
    let pairs =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let joined = pairs.collect::<Vec<_>>().join(",");
    if joined.is_empty() { NOTHING.to_owned() } else { joined }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_span_uses_the_unit_that_people_would() {
        let spans = [-5, 0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(span);
        assert_eq!(spans, ["0s", "0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }

    #[test]
    fn what_is_not_there_is_a_dash_and_nothing_steers_the_terminal() {
        let value = json!({"a": null, "b": "x\u{1b}[31m", "c": 7});
        assert_eq!(text(&value, "/a"), "-");
        assert_eq!(text(&value, "/b"), "x\u{fffd}[31m");
        assert_eq!(text(&value, "/c"), "7");
        assert_eq!(age(&value, "/a", None), "-");
    }
}
