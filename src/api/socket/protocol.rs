//! What is said over a WebSocket, in both directions. Pure.

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use fleetbeat_actors::roll::ClusterId;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::subscriptions::{Subscription, Wish};

/// Largest message that is understood, bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Most event types of one subscription.
const MAX_TYPES: usize = 64;
/// Most clusters or namespaces of one subscription.
const MAX_FILTER: usize = 200;
/// Longest text of a subscription.
const MAX_WORD: usize = 128;

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Who it is.
    Auth(Option<String>),
    /// What it wants to hear.
    Subscribe(Wish),
    /// What it does not want to hear any more.
    Unsubscribe(Unwanted),
    /// Is anybody there?
    Ping(Value),
}

/// What is not wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// A subscription.
    Subscription(Uuid),
    /// These event types, in every subscription.
    EventTypes(Vec<String>),
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Its code.
    pub code: &'static str,
    /// In words.
    pub message: String,
}

impl Fault {
    /// A message that cannot be understood.
    pub fn message(message: impl Into<String>) -> Self {
        Self { code: "INVALID_MESSAGE", message: message.into() }
    }

    /// A subscription that cannot be made or ended.
    pub fn subscription(message: impl Into<String>) -> Self {
        Self { code: "INVALID_SUBSCRIPTION", message: message.into() }
    }

    /// As a message.
    pub fn to_message(&self) -> Utf8Bytes {
        json!({ "type": "error", "code": self.code, "message": self.message }).to_string().into()
    }
}

impl Said {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_MESSAGE {
            return Err(Fault { code: "MESSAGE_TOO_LARGE", message: format!("at most {MAX_MESSAGE} bytes") });
        }
        let mut message: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| Fault::message("must be a JSON object"))?;
        match message.get("type").and_then(Value::as_str) {
            Some("auth") => Ok(Self::Auth(token(message.remove("token"))?)),
            Some("subscribe") => subscribe(message).map(Self::Subscribe),
            Some("unsubscribe") => unsubscribe(message).map(Self::Unsubscribe),
            Some("ping") => Ok(Self::Ping(message.remove("timestamp").unwrap_or_default())),
            _ => Err(Fault::message("type must be auth, subscribe, unsubscribe or ping")),
        }
    }
}

fn token(value: Option<Value>) -> Result<Option<String>, Fault> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => Ok(Some(token)),
        Some(_) => Err(Fault::message("token must be a string")),
    }
}

fn subscribe(mut message: Map<String, Value>) -> Result<Wish, Fault> {
    let Some(Value::Object(mut wish)) = message.remove("subscription") else {
        return Err(Fault::subscription("subscription must be an object"));
    };
    let event_types = texts(wish.remove("event_types"), "event_types", MAX_TYPES)?;
    if event_types.as_ref().is_some_and(Vec::is_empty) {
        return Err(Fault::subscription("event_types must not be empty; leave it out for all"));
    }
    let event_types = event_types.unwrap_or_default();
    if !event_types.iter().all(|word| is_event_type(word)) {
        return Err(Fault::subscription("event_types must be words such as CLUSTER_STATUS_CHANGED or CLUSTER_*"));
    }
    let clusters = texts(wish.remove("cluster_filter"), "cluster_filter", MAX_FILTER)?.unwrap_or_default();
    let id = |text: &String| (text.len() == 36).then(|| text.parse::<ClusterId>().ok()).flatten();
    let clusters: Option<Vec<_>> = clusters.iter().map(id).collect();
    let clusters = clusters.ok_or_else(|| Fault::subscription("cluster_filter must be ids of clusters (UUIDs)"))?;
    let namespaces = texts(wish.remove("namespace_filter"), "namespace_filter", MAX_FILTER)?.unwrap_or_default();
    Ok(Wish { event_types, clusters, namespaces })
}

fn unsubscribe(mut message: Map<String, Value>) -> Result<Unwanted, Fault> {
    if let Some(Value::Object(inner)) = message.remove("subscription") {
        message.extend(inner);
    }
    let id = message.remove("subscription_id").or_else(|| message.remove("id"));
    if let Some(Value::String(id)) = id {
        let id = Uuid::try_parse(&id).map_err(|_| Fault::subscription("no such subscription"))?;
        return Ok(Unwanted::Subscription(id));
    }
    match texts(message.remove("event_types"), "event_types", MAX_TYPES)? {
        Some(types) if !types.is_empty() => Ok(Unwanted::EventTypes(types)),
        _ => Err(Fault::subscription("must name a subscription_id or event_types")),
    }
}

/// A list of short texts; `None` when it is left out.
fn texts(value: Option<Value>, field: &str, max: usize) -> Result<Option<Vec<String>>, Fault> {
    let wrong =
        || Fault::subscription(format!("{field} must be a list of at most {max} texts of 1 to {MAX_WORD} characters"));
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) if items.len() <= max => {
            let text = |item: Value| match item {
                Value::String(text) if (1..=MAX_WORD).contains(&text.len()) => Some(text),
                _ => None,
            };
            items.into_iter().map(text).collect::<Option<_>>().map(Some).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

/// A word of the platform's vocabulary, which is larger than ours, or the beginning of one with a star.
fn is_event_type(word: &str) -> bool {
    let begun = word.strip_suffix('*').unwrap_or(word);
    word == "*" || (!begun.is_empty() && begun.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)))
}

/// The answer to a good proof.
pub fn authenticated(client_id: Uuid) -> Utf8Bytes {
    json!({ "type": "auth_response", "status": "authenticated", "client_id": client_id }).to_string().into()
}

/// The answer to one that is not accepted.
pub fn not_authenticated(code: &str, message: &str) -> Utf8Bytes {
    json!({ "type": "auth_response", "status": "failed", "code": code, "message": message }).to_string().into()
}

/// The answer to a subscription.
pub fn subscribed(subscription: &Subscription) -> Utf8Bytes {
    let wish = &subscription.wish;
    let wanted = json!({
        "event_types": wish.event_types,
        "cluster_filter": wish.clusters,
        "namespace_filter": wish.namespaces,
    });
    json!({
        "type": "subscribed",
        "subscription_id": subscription.id,
        "subscription": wanted,
        "unknown_event_types": wish.unknown_event_types(),
    })
    .to_string()
    .into()
}

/// The answer to the end of subscriptions: those that ended, and the types nobody is told of any more.
pub fn unsubscribed(ended: &[Uuid], event_types: &[String]) -> Utf8Bytes {
    let mut answer = json!({ "type": "unsubscribed", "subscription_ids": ended, "event_types": event_types });
    if let [only] = ended {
        answer["subscription_id"] = json!(only);
    }
    answer.to_string().into()
}

/// The answer to a ping: its own time back, and ours.
pub fn pong(timestamp: Value, now: DateTime<Utc>) -> Utf8Bytes {
    let server_time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let timestamp = match timestamp {
        Value::Number(number) => Value::Number(number),
        Value::String(text) if text.len() <= MAX_WORD => Value::String(text),
        _ => Value::String(server_time.clone()),
    };
    json!({ "type": "pong", "timestamp": timestamp, "server_time": server_time }).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        Said::read(text).map_or_else(|fault| fault.code, |_| "good")
    }

    #[test]
    fn the_messages_of_the_protocol_are_understood() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(Said::read(r#"{"type":"auth","token":"t"}"#), Ok(Said::Auth(Some("t".to_owned()))));
        assert_eq!(Said::read(r#"{"type":"auth"}"#), Ok(Said::Auth(None)));
        assert_eq!(Said::read(r#"{"type":"ping","timestamp":7}"#), Ok(Said::Ping(json!(7))));
        let text = format!(
            r#"{{"type":"subscribe","subscription":{{"event_types":["CLUSTER_STATUS_CHANGED","ALERT_*"],
               "cluster_filter":["{id}"],"namespace_filter":["default"],"more":1}}}}"#
        );
        let Ok(Said::Subscribe(wish)) = Said::read(&text) else { panic!("not understood") };
        assert_eq!((wish.event_types.len(), wish.clusters.len(), wish.namespaces.len()), (2, 1, 1));
        let ended = Said::Unsubscribe(Unwanted::Subscription(Uuid::try_parse(id).unwrap()));
        assert_eq!(Said::read(&format!(r#"{{"type":"unsubscribe","subscription_id":"{id}"}}"#)), Ok(ended));
        for text in [
            r#"{"type":"unsubscribe","event_types":["A"]}"#,
            r#"{"type":"unsubscribe","subscription":{"event_types":["A"]}}"#,
        ] {
            assert_eq!(Said::read(text), Ok(Said::Unsubscribe(Unwanted::EventTypes(vec!["A".to_owned()]))));
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_code() {
        for text in ["", "x", "[]", "{}", r#"{"type":"hello"}"#, r#"{"type":7}"#, r#"{"type":"auth","token":7}"#] {
            assert_eq!(code(text), "INVALID_MESSAGE", "{text}");
        }
        for wish in [
            "7",
            r#"{"event_types":[]}"#,
            r#"{"event_types":"A"}"#,
            r#"{"event_types":["a b"]}"#,
            r#"{"event_types":[""]}"#,
            r#"{"cluster_filter":["x"]}"#,
            r#"{"namespace_filter":[1]}"#,
        ] {
            assert_eq!(
                code(&format!(r#"{{"type":"subscribe","subscription":{wish}}}"#)),
                "INVALID_SUBSCRIPTION",
                "{wish}"
            );
        }
        assert_eq!(code(r#"{"type":"subscribe"}"#), "INVALID_SUBSCRIPTION");
        assert_eq!(code(r#"{"type":"unsubscribe"}"#), "INVALID_SUBSCRIPTION");
        assert_eq!(code(&" ".repeat(MAX_MESSAGE + 1)), "MESSAGE_TOO_LARGE");
    }

    #[test]
    fn a_pong_gives_the_time_back() {
        let pong = |value| serde_json::from_str::<Value>(&pong(value, DateTime::UNIX_EPOCH)).unwrap();
        assert_eq!(pong(json!(17))["timestamp"], 17);
        assert_eq!(pong(json!("then"))["timestamp"], "then");
        assert_eq!(pong(Value::Null)["timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(pong(json!({ "big": 1 }))["server_time"], "1970-01-01T00:00:00.000Z");
    }
}
