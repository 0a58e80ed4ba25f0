//! What a webhook is told of an event: CloudEvents 1.0 in JSON (structured mode), or a message for Slack. Pure.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use fleetbeat_actors::{
    event::{Event, EventType, SOURCE},
    roll::ClusterId,
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

/// What the `type` of a CloudEvent begins with.
const TYPE_PREFIX: &str = "io.fleetbeat.";
/// The event type of a message that only tries a webhook.
pub const TEST: &str = "WEBHOOK_TEST";

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CloudEvents 1.0, JSON, structured.
    CloudEvents,
    /// What an incoming webhook of Slack takes; Mattermost and Rocket.Chat take it, too.
    Slack,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::CloudEvents, Self::Slack];

    /// The word on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::Slack => "slack",
        }
    }

    /// Reads its word.
    pub fn of_word(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }

    /// `Content-Type` of its messages.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::CloudEvents => "application/cloudevents+json; charset=utf-8",
            Self::Slack => "application/json; charset=utf-8",
        }
    }

    /// The body that tells of something.
    pub fn body(self, news: &News) -> Bytes {
        match self {
            Self::CloudEvents => cloud_event(news),
            Self::Slack => json!({ "text": sentence(news) }).to_string().into(),
        }
    }
}

/// What is told: an event, or that somebody tries the webhook.
#[derive(Clone, Debug)]
pub struct News {
    /// The same for every try.
    pub id: Uuid,
    /// What it tells of.
    pub event_type: &'static str,
    /// Whom it tells of.
    pub cluster_id: ClusterId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The whole envelope as the log has it.
    json: Arc<str>,
    event: Option<Arc<Event>>,
}

impl News {
    /// Of an event.
    pub fn of(event: &Arc<Event>) -> Self {
        Self {
            id: event.event_id,
            event_type: event.event_type.as_str(),
            cluster_id: event.cluster_id,
            at: event.timestamp,
            json: Arc::clone(&event.json),
            event: Some(Arc::clone(event)),
        }
    }

    /// That the webhook of this name is tried.
    pub fn test(webhook: &str, at: DateTime<Utc>) -> Self {
        let id = Uuid::now_v7();
        let envelope = json!({
            "event_id": id, "event_type": TEST, "source": SOURCE, "cluster_id": ClusterId::FLEET,
            "timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true), "payload": { "webhook": webhook },
        });
        let json = envelope.to_string().into();
        Self { id, event_type: TEST, cluster_id: ClusterId::FLEET, at, json, event: None }
    }
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: Uuid,
    source: &'static str,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<ClusterId>,
    time: String,
    datacontenttype: &'static str,
    /// The envelope that Redis and the live stream carry.
    data: &'a RawValue,
}

fn cloud_event(news: &News) -> Bytes {
    let event = CloudEvent {
        specversion: "1.0",
        id: news.id,
        source: SOURCE,
        r#type: format!("{TYPE_PREFIX}{}", news.event_type),
        subject: (news.cluster_id != ClusterId::FLEET).then_some(news.cluster_id),
        time: news.at.to_rfc3339_opts(SecondsFormat::Millis, true),
        datacontenttype: "application/json",
        data: serde_json::from_str(&news.json).unwrap_or(RawValue::NULL),
    };
    serde_json::to_vec(&event).unwrap_or_default().into()
}

fn sentence(news: &News) -> String {
    let Some(event) = &news.event else { return ":wave: fleetbeat tries this webhook".to_owned() };
    let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
    let text = |field: &str| payload[field].as_str().map(escaped);
    let id = || event.cluster_id.to_string();
    let name = text("cluster_name").or_else(|| text("name")).unwrap_or_else(id);
    match event.event_type {
        EventType::ClusterStatusChanged => {
            let (old, new) = (text("old_state").unwrap_or_default(), text("new_state").unwrap_or_default());
            let why = text("message").or_else(|| text("reason")).unwrap_or_default();
            format!("{} *{name}* is *{new}* (was {old}): {why}", mark(&new))
        }
        EventType::ClusterRegistered => format!("*{name}* was registered"),
        EventType::ClusterUpdated => format!("*{name}* was changed"),
        EventType::ClusterDeleted => format!("*{name}* was removed"),
        EventType::ClusterCredentialsUpdated => format!("The credentials of *{name}* were replaced"),
        EventType::ClusterCredentialsExpiring => format!(":hourglass: Access to *{name}* ends soon, or has ended"),
        EventType::ClusterCapabilitiesChanged => format!("What *{name}* can do has changed"),
        EventType::MonitorDegraded => ":warning: fleetbeat doubts its own network and holds all states".to_owned(),
        EventType::MonitorRecovered => "fleetbeat trusts its own network again".to_owned(),
        EventType::ObservationGap => ":warning: For a while nothing was observed".to_owned(),
    }
}

fn mark(state: &str) -> &'static str {
    match state {
        "ONLINE" => ":large_green_circle:",
        "DEGRADED" => ":large_orange_circle:",
        "OFFLINE" => ":red_circle:",
        _ => ":white_circle:",
    }
}

/// As Slack wants texts that are not its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::event::EventDraft;

    use super::*;

    fn changed(message: &str) -> News {
        let payload = json!({
            "cluster_name": "prod-east-1", "old_state": "ONLINE", "new_state": "OFFLINE", "reason": "refused",
            "message": message,
        });
        let cluster = ClusterId(Uuid::from_u128(7));
        let draft = EventDraft::new(EventType::ClusterStatusChanged, cluster, DateTime::UNIX_EPOCH, payload);
        News::of(&Arc::new(Event::place(draft, 12, 3)))
    }

    fn read(format: Format, news: &News) -> Value {
        serde_json::from_slice(&format.body(news)).expect("JSON")
    }

    #[test]
    fn a_cloud_event_has_what_the_standard_requires_and_the_envelope_as_data() {
        let news = changed("API server: connection refused");
        let event = read(Format::CloudEvents, &news);
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], json!(news.id));
        assert_eq!(event["source"], "cluster-registry");
        assert_eq!(event["type"], "io.fleetbeat.CLUSTER_STATUS_CHANGED");
        assert_eq!(event["subject"], json!(Uuid::from_u128(7)));
        assert_eq!(event["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(event["data"]["payload"]["new_state"], "OFFLINE");
        assert_eq!((&event["data"]["sequence"], &event["data"]["position"]), (&json!(3), &json!(12)));
    }

    #[test]
    fn slack_gets_one_sentence_in_which_nothing_links_or_calls() {
        let text = read(Format::Slack, &changed("<!channel> & <https://evil.example|x>"))["text"].clone();
        let text = text.as_str().expect("a text");
        assert!(text.starts_with(":red_circle: *prod-east-1* is *OFFLINE* (was ONLINE): "), "{text}");
        assert!(text.ends_with("&lt;!channel&gt; &amp; &lt;https://evil.example|x&gt;"), "{text}");
    }

    #[test]
    fn a_test_says_that_it_is_one() {
        let news = News::test("ops", DateTime::UNIX_EPOCH);
        let event = read(Format::CloudEvents, &news);
        assert_eq!(
            (&event["type"], &event["data"]["payload"]["webhook"]),
            (&json!("io.fleetbeat.WEBHOOK_TEST"), &json!("ops"))
        );
        assert!(event.get("subject").is_none());
        assert!(read(Format::Slack, &news)["text"].as_str().is_some_and(|text| text.contains("tries")));
    }
}
