//! Webhooks as they are shown: never their secrets, and of their addresses what everybody may know.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{AdditionalProperties, Array, ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type},
    },
};
use uuid::Uuid;

use crate::{
    api::{schema, tokens::ScopeView},
    registration::validate,
    store::DeadLetter,
    webhooks::{Attempt, Desk, Format, MAX_URL},
};

/// A webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    /// Its id.
    id: Uuid,
    /// What people call it.
    name: String,
    /// Where to, without what could be a secret: no query, and no path for Slack.
    url: String,
    /// `cloudevents` or `slack`.
    #[schema(schema_with = formats)]
    format: &'static str,
    /// Of which types of events it is told; of all when empty.
    #[schema(schema_with = event_types)]
    event_types: Vec<&'static str>,
    /// Of which clusters; of all when empty.
    label_selector: String,
    /// What whoever made it may see. It is told nothing else.
    #[schema(value_type = ScopeView)]
    scope: Value,
    /// Is it told anything?
    enabled: bool,
    /// Are its messages signed?
    signed: bool,
    /// Who made it.
    created_by: Option<String>,
    /// When.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// How far it is.
    status: ProgressView,
}

/// How far a webhook is.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookStatus)]
struct ProgressView {
    /// `delivering`, `retrying`, `paused`, or `unreadable` when no key opens its address.
    #[schema(value_type = String)]
    state: &'static str,
    /// Everything up to this position of the event log is done with.
    position: i64,
    /// When the event happened that it is being told.
    waiting_since: Option<DateTime<Utc>>,
    /// How often that was tried.
    attempts: u32,
    /// When it is tried again.
    next_attempt_at: Option<DateTime<Utc>>,
    /// When something was taken last, since this process started.
    last_delivered_at: Option<DateTime<Utc>>,
    /// Since when every try has failed.
    failing_since: Option<DateTime<Utc>>,
    /// How the last of these ended, in one word.
    #[schema(value_type = Option<String>)]
    last_error: Option<&'static str>,
    /// Events that were given up and are kept.
    dead_letters: u64,
}

impl WebhookView {
    /// A webhook as it is now.
    pub fn of(desk: &Desk) -> Self {
        let (webhook, state, progress) = (&desk.webhook, desk.state(), desk.progress.lock());
        Self {
            id: webhook.id,
            name: webhook.name.clone(),
            url: webhook.shown_url.clone(),
            format: webhook.format.as_str(),
            event_types: webhook.event_types.iter().map(|event_type| event_type.as_str()).collect(),
            label_selector: webhook.label_selector.clone(),
            scope: webhook.scope.to_json(),
            enabled: webhook.enabled,
            signed: webhook.signed,
            created_by: webhook.created_by.clone(),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
            status: ProgressView {
                state,
                position: progress.cursor.position,
                waiting_since: progress.waiting_since,
                attempts: progress.cursor.attempts,
                next_attempt_at: progress.cursor.retry_at,
                last_delivered_at: progress.last_delivered_at,
                failing_since: progress.failing_since,
                last_error: progress.last_error,
                dead_letters: progress.dead_letters,
            },
        }
    }
}

/// The webhooks.
#[derive(Serialize, ToSchema)]
pub struct WebhookList {
    /// By their names.
    pub items: Vec<WebhookView>,
}

/// A new webhook.
#[derive(Serialize, ToSchema)]
pub struct CreatedWebhook {
    /// The secret that signs, where it was made here: told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What is kept.
    #[serde(flatten)]
    pub kept: WebhookView,
}

/// One try to deliver.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct AttemptView {
    /// When it began.
    at: DateTime<Utc>,
    /// Which event: `webhook-id` of the message.
    event_id: Uuid,
    /// What it tells of; `WEBHOOK_TEST` for a test.
    #[schema(value_type = String)]
    event_type: &'static str,
    /// Whom it tells of; the nil UUID for the fleet.
    cluster_id: Uuid,
    /// 1 for the first try.
    attempt: u32,
    /// `delivered`, `failed` or `not_run`.
    #[schema(value_type = String)]
    outcome: &'static str,
    /// The status of the answer.
    status: Option<u16>,
    /// Why it failed, in one word: `http_status`, `redirect`, `timeout`, `refused`, `blocked`, …
    #[schema(value_type = Option<String>)]
    error: Option<&'static str>,
    /// How long it took.
    duration_ms: u64,
}

impl AttemptView {
    /// A try.
    pub fn of(attempt: &Attempt) -> Self {
        Self {
            at: attempt.at,
            event_id: attempt.event_id,
            event_type: attempt.event_type,
            cluster_id: attempt.cluster_id.0,
            attempt: attempt.attempt,
            outcome: attempt.delivery.outcome(),
            status: attempt.delivery.status(),
            error: attempt.delivery.error(),
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Latest tries.
#[derive(Serialize, ToSchema)]
pub struct DeliveryList {
    /// The newest first; at most 100, none from before this process started.
    pub items: Vec<AttemptView>,
}

/// An event that was given up.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct LetterView {
    /// The event's id.
    event_id: Uuid,
    /// What it tells of.
    #[schema(value_type = String)]
    event_type: &'static str,
    /// Whom it tells of; the nil UUID for the fleet.
    cluster_id: Uuid,
    /// When it happened.
    timestamp: DateTime<Utc>,
    /// Its place in the log.
    position: i64,
    /// When it was given up.
    buried_at: DateTime<Utc>,
    /// `exhausted`: tried too often; `expired`: too old to be told.
    reason: String,
    /// How often it was tried.
    attempts: u32,
    /// How the last try ended, in one word.
    last_error: Option<String>,
    /// What it tells.
    #[schema(value_type = Object)]
    payload: Value,
}

impl LetterView {
    /// A dead letter.
    pub fn of(letter: &DeadLetter) -> Self {
        let event = &letter.event;
        Self {
            event_id: event.event_id,
            event_type: event.event_type.as_str(),
            cluster_id: event.cluster_id.0,
            timestamp: event.timestamp,
            position: event.position,
            buried_at: letter.buried_at,
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            last_error: letter.last_error.clone(),
            payload: serde_json::from_str(&event.payload).unwrap_or_default(),
        }
    }
}

/// Part of a webhook's dead letters.
#[derive(Serialize, ToSchema)]
pub struct LetterList {
    /// In the order of their events.
    pub items: Vec<LetterView>,
    /// Position to go on after.
    pub next_after: i64,
    /// Are there more?
    pub has_more: bool,
}

/// Body of a `POST`: a webhook to be made.
pub struct NewWebhook;

/// Body of a `PUT`: the fields it carries are replaced.
pub struct WebhookFields;

impl PartialSchema for NewWebhook {
    fn schema() -> RefOr<Schema> {
        let example = serde_json::json!({
            "name": "ops-alerts", "url": "https://hooks.example.com/fleet", "event_types": ["CLUSTER_STATUS_CHANGED"],
            "label_selector": "env=prod",
        });
        fields().required("name").required("url").examples([example]).into()
    }
}

impl ToSchema for NewWebhook {
    fn name() -> std::borrow::Cow<'static, str> {
        "NewWebhook".into()
    }
}

impl PartialSchema for WebhookFields {
    fn schema() -> RefOr<Schema> {
        fields().description(Some("Each field carried replaces the whole field; null sets it to its default")).into()
    }
}

impl ToSchema for WebhookFields {
    fn name() -> std::borrow::Cow<'static, str> {
        "WebhookFields".into()
    }
}

fn fields() -> ObjectBuilder {
    let text = |about| ObjectBuilder::new().schema_type(Type::String).description(Some(about));
    let name = text("Unique among webhooks").pattern(Some(validate::NAME_PATTERN));
    let url =
        text("https, or http on loopback; no user, no fragment").max_length(Some(MAX_URL)).pattern(Some("^https?://"));
    let secret = maybe(Type::String).min_length(Some(24)).max_length(Some(256));
    let secret = secret.description(Some(
        "What signs messages: `whsec_` and 24 to 64 bytes in base64, or 24 to 256 printable characters. Left out, one is made \
         (for Slack: none); null: none",
    ));
    let selector =
        maybe(Type::String).max_length(Some(1_024)).description(Some("As in Kubernetes: `env in (prod,lab),!legacy`"));
    ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .property("name", name)
        .property("url", url)
        .property("format", formats())
        .property("secret", secret)
        .property("event_types", event_types())
        .property("label_selector", selector)
        .property("enabled", maybe(Type::Boolean))
}

fn maybe(of: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Array(vec![of, Type::Null]))
}

fn formats() -> Object {
    let words = Format::ALL.map(|format| format.as_str());
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

fn event_types() -> Array {
    ArrayBuilder::new().items(schema::event_type()).max_items(Some(16)).build()
}
