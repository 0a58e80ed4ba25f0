//! Webhooks: made, changed, tried and removed by administrators, read by operators. A caller with a scope meets only those
//! that are told what that very scope lets see.

mod view;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use utoipa::IntoParams;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    extract::{JsonObject, ObjectId, ids},
    query::{FromParameters, NoQuery, Parameters, Params},
    schema::{Always, NeedsStore, WithBody},
};
use crate::webhooks::{Fields, WebhookError};
use view::{
    AttemptView, CreatedWebhook, DeliveryList, LetterList, LetterView, NewWebhook, WebhookFields, WebhookList,
    WebhookView,
};

const MAX_LIMIT: i64 = 1_000;
const DEFAULT_LIMIT: u32 = 100;

/// The routes that answer promptly.
pub fn routes() -> Routes {
    Routes::new()
        .operator(routes!(list_webhooks))
        .admin(routes!(create_webhook))
        .operator(routes!(get_webhook))
        .admin(routes!(update_webhook, delete_webhook))
        .operator(routes!(list_deliveries))
        .operator(routes!(list_dead_letters))
        .admin(routes!(discard_dead_letter))
}

/// The routes that wait for a destination.
pub fn patient_routes() -> Routes {
    Routes::new().admin(routes!(test_webhook)).admin(routes!(retry_dead_letter))
}

/// The webhook and the dead letter in the path.
struct LetterId((Uuid, Uuid));

impl<S: Send + Sync> FromRequestParts<S> for LetterId {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        ids(parts, state).await.map(|[id, event]| Self((id, event)))
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Invalid(invalid) => Self::invalid(invalid),
            WebhookError::NotFound => Self::not_found("No such webhook"),
            WebhookError::NoLetter => Self::not_found("The webhook has no such dead letter"),
            WebhookError::Unreadable => Self::invalid_field("url", error.to_string()),
            WebhookError::Store(error) => Self::of_reading(error),
            WebhookError::Key(error) => {
                tracing::error!(%error, "a webhook cannot be sealed");
                Self::internal()
            }
        }
    }
}

/// Webhooks, by their names.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", responses(
    (status = 200, description = "The webhooks", body = WebhookList), Always))]
async fn list_webhooks(State(api): State<ApiState>, seen: Seen, _query: NoQuery) -> Json<WebhookList> {
    let desks = api.webhooks.list();
    let visible = desks.iter().filter(|desk| desk.webhook.is_seen_by(&seen.caller.scope));
    Json(WebhookList { items: visible.map(|desk| WebhookView::of(desk)).collect() })
}

/// Makes a webhook. It is told what happens from now on.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", request_body = NewWebhook, responses(
    (status = 201, description = "Made", body = CreatedWebhook, headers(("Location" = String, description = "Where it is"))),
    Always, WithBody, NeedsStore))]
async fn create_webhook(
    State(api): State<ApiState>,
    seen: Seen,
    _query: NoQuery,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let fields = Fields::read(body, api.webhooks.allows_http()).map_err(ApiError::invalid)?;
    let (desk, made) = api.webhooks.create(fields, &seen.author()).await?;
    let secret = made.map(|secret| secret.reveal().to_owned());
    let created = CreatedWebhook { secret, kept: WebhookView::of(&desk) };
    let mut response = (StatusCode::CREATED, Json(created)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/webhooks/{}", desk.webhook.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One webhook.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id")), responses(
    (status = 200, description = "The webhook", body = WebhookView),
    (status = 404, description = "No such webhook: NOT_FOUND", body = super::error::ErrorEnvelope), Always))]
async fn get_webhook(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<Json<WebhookView>, ApiError> {
    Ok(Json(WebhookView::of(&*api.webhooks.get(id, &seen.caller.scope)?)))
}

/// Changes the fields that the body carries. One that was paused is told what happens from now on.
#[utoipa::path(put, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id")), request_body = WebhookFields, responses(
    (status = 200, description = "Changed", body = WebhookView),
    (status = 404, description = "No such webhook: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, WithBody, NeedsStore))]
async fn update_webhook(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
    JsonObject(body): JsonObject,
) -> Result<Json<WebhookView>, ApiError> {
    api.webhooks.get(id, &seen.caller.scope)?;
    let fields = Fields::read(body, api.webhooks.allows_http()).map_err(ApiError::invalid)?;
    let desk = api.webhooks.update(id, fields, &seen.author()).await?;
    Ok(Json(WebhookView::of(&desk)))
}

/// Removes a webhook with its dead letters.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id")), responses(
    (status = 204, description = "Removed"),
    (status = 404, description = "No such webhook: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, NeedsStore))]
async fn delete_webhook(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<StatusCode, ApiError> {
    api.webhooks.delete(id, &seen.author()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a message that says it is a test, at once and once, and tells how that went.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id")), responses(
    (status = 200, description = "How it went", body = AttemptView),
    (status = 404, description = "No such webhook: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, NeedsStore))]
async fn test_webhook(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<Json<AttemptView>, ApiError> {
    let attempt = api.webhooks.test(id, &seen.author()).await?;
    Ok(Json(AttemptView::of(&attempt)))
}

/// The latest tries to deliver, since this process started.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id")), responses(
    (status = 200, description = "Tries, the newest first", body = DeliveryList),
    (status = 404, description = "No such webhook: NOT_FOUND", body = super::error::ErrorEnvelope), Always))]
async fn list_deliveries(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<Json<DeliveryList>, ApiError> {
    let desk = api.webhooks.get(id, &seen.caller.scope)?;
    let items = desk.progress.lock().recent().map(AttemptView::of).collect();
    Ok(Json(DeliveryList { items }))
}

/// Which dead letters to list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LetterQuery {
    /// Only of events after this position (default 0).
    #[param(minimum = 0, format = Int64)]
    after: Option<i64>,
    /// At most so many (default 100).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl FromParameters for LetterQuery {
    fn read(parameters: &mut Parameters) -> Self {
        Self {
            after: parameters.integer("after", 0, i64::MAX),
            limit: parameters.integer("limit", 1, MAX_LIMIT).and_then(|limit| u32::try_from(limit).ok()),
        }
    }
}

/// Events that were given up, in their order.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/dead-letters", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id"), LetterQuery), responses(
    (status = 200, description = "Dead letters", body = LetterList),
    (status = 404, description = "No such webhook: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, NeedsStore))]
async fn list_dead_letters(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    Params(query): Params<LetterQuery>,
) -> Result<Json<LetterList>, ApiError> {
    let (after, limit) = (query.after.unwrap_or(0), query.limit.unwrap_or(DEFAULT_LIMIT));
    let mut letters = api.webhooks.dead_letters(id, &seen.caller.scope, after, limit + 1).await?;
    let has_more = letters.len() > limit as usize;
    letters.truncate(limit as usize);
    let next_after = letters.last().map_or(after, |letter| letter.event.position);
    Ok(Json(LetterList { items: letters.iter().map(LetterView::of).collect(), next_after, has_more }))
}

/// Tries a dead letter once more, at once, and tells how that went. Taken, it is one no more.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/dead-letters/{event_id}/retry", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id"),
    ("event_id" = Uuid, Path, description = "The event's id")), responses(
    (status = 200, description = "How it went", body = AttemptView),
    (status = 404, description = "No such webhook or letter: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, NeedsStore))]
async fn retry_dead_letter(
    State(api): State<ApiState>,
    seen: Seen,
    LetterId(letter): LetterId,
    _query: NoQuery,
) -> Result<Json<AttemptView>, ApiError> {
    let attempt = api.webhooks.retry(letter, &seen.author()).await?;
    Ok(Json(AttemptView::of(&attempt)))
}

/// Throws a dead letter away.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}/dead-letters/{event_id}", tag = "webhooks", params(
    ("id" = Uuid, Path, description = "The webhook's id"),
    ("event_id" = Uuid, Path, description = "The event's id")), responses(
    (status = 204, description = "Thrown away"),
    (status = 404, description = "No such webhook or letter: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, NeedsStore))]
async fn discard_dead_letter(
    State(api): State<ApiState>,
    seen: Seen,
    LetterId(letter): LetterId,
    _query: NoQuery,
) -> Result<StatusCode, ApiError> {
    api.webhooks.discard(letter, &seen.author()).await?;
    Ok(StatusCode::NO_CONTENT)
}
