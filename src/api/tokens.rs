//! API tokens: made, listed and revoked by administrators of the whole fleet.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    extract::{JsonObject, ObjectId},
    query::NoQuery,
    schema::{Always, NeedsStore, WithBody},
};
use crate::{
    identity::{ApiToken, Caller, KeyError, Keyring, Role, Scope, TokenDraft},
    registration::{Detail, Invalid},
};

/// Longest life of a token, days.
const MAX_DAYS: i64 = 3_650;
/// Longest name of a token, characters.
const MAX_NAME: usize = 64;

/// The routes.
pub fn routes() -> Routes {
    Routes::new().fleet_admin(routes!(list_tokens, create_token)).fleet_admin(routes!(revoke_token))
}

/// Which clusters somebody sees. Exactly one of the fields.
#[derive(ToSchema)]
#[schema(as = Scope)]
#[expect(dead_code, reason = "describes a scope in the OpenAPI document")]
pub struct ScopeView {
    /// All of them (`true`).
    everything: Option<bool>,
    /// These.
    #[schema(min_items = 1, max_items = 1000)]
    cluster_ids: Option<Vec<Uuid>>,
    /// Those whose labels match.
    #[schema(min_length = 1, max_length = 1024)]
    label_selector: Option<String>,
    /// Whatever any of these lets see; they hold no `any_of` themselves.
    #[schema(value_type = Option<Vec<Object>>, min_items = 1, max_items = 256)]
    any_of: Option<Vec<Value>>,
}

/// An API token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenView {
    /// Its public id.
    id: Uuid,
    /// What people call it.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: &'static str,
    /// Which clusters its bearer sees.
    #[schema(value_type = ScopeView)]
    scope: Value,
    /// Who made it.
    created_by: Option<String>,
    /// When.
    created_at: DateTime<Utc>,
    /// When it stops being valid.
    expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
    /// Is it accepted now?
    valid: bool,
}

impl TokenView {
    fn of(token: &ApiToken, now: DateTime<Utc>) -> Self {
        Self {
            id: token.id,
            name: token.name.clone(),
            role: token.role.as_str(),
            scope: token.scope.to_json(),
            created_by: token.created_by.clone(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            valid: token.is_valid_at(now),
        }
    }
}

/// The tokens.
#[derive(Serialize, ToSchema)]
struct TokenList {
    /// The oldest first; revoked and expired ones, too.
    items: Vec<TokenView>,
}

/// Tokens of the API, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access", responses(
    (status = 200, description = "The tokens", body = TokenList),
    (status = 404, description = "Tokens are not accepted here: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always))]
async fn list_tokens(State(api): State<ApiState>, _query: NoQuery) -> Result<Json<TokenList>, ApiError> {
    let now = api.clock.wall();
    let items = api.keyring()?.list().iter().map(|token| TokenView::of(token, now)).collect();
    Ok(Json(TokenList { items }))
}

/// A token to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request in the OpenAPI document")]
struct NewToken {
    /// What people call it.
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(pattern = "^(viewer|operator|admin)$")]
    role: String,
    /// Which clusters its bearer sees (default: all).
    scope: Option<ScopeView>,
    /// Days until it expires (default: never).
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<i64>,
}

/// A new token, with the text that its bearer keeps.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    /// The token's text, told this once.
    token: String,
    /// What the registry keeps.
    #[serde(flatten)]
    kept: TokenView,
}

/// Makes a token. Its text is told this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access", request_body = NewToken, responses(
    (status = 201, description = "Made", body = CreatedToken),
    (status = 404, description = "Tokens are not accepted here: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, WithBody, NeedsStore))]
async fn create_token(
    State(api): State<ApiState>,
    seen: Seen,
    _query: NoQuery,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let now = api.clock.wall();
    let draft = draft(body, now, &seen.caller)?;
    let (text, token) = api.keyring()?.create(draft, &seen.origin).await?;
    tracing::info!(id = %token.id, role = %token.role, by = %seen.caller.id, "a token was made");
    let created = CreatedToken { token: text.expose_secret().to_owned(), kept: TokenView::of(&token, now) };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// Revokes a token, at once.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "access", params(
    ("id" = Uuid, Path, description = "The token's id")), responses(
    (status = 204, description = "Revoked"),
    (status = 404, description = "No token of that id is valid: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, NeedsStore))]
async fn revoke_token(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<StatusCode, ApiError> {
    if !api.keyring()?.revoke(id, &seen.origin).await.map_err(ApiError::of_reading)? {
        return Err(ApiError::not_found("No such token, or it was revoked before"));
    }
    tracing::info!(%id, by = %seen.caller.id, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}

impl ApiState {
    fn keyring(&self) -> Result<&Arc<Keyring>, ApiError> {
        self.identity.keyring().ok_or_else(|| ApiError::not_found("Tokens are not accepted: set auth.tokens.enabled"))
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Full => Self::invalid_field("name", error.to_string()),
            KeyError::Store(error) => Self::of_reading(error),
            KeyError::NoRandomness => {
                tracing::error!(%error, "no token could be made");
                Self::internal()
            }
        }
    }
}

fn draft(mut body: Map<String, Value>, now: DateTime<Utc>, by: &Caller) -> Result<TokenDraft, ApiError> {
    let mut details = Vec::new();
    let mut wrong = |field: &str, message: String| details.push(Detail::new(field, message));
    let name = body.remove("name").and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        wrong("name", format!("must be 1 to {MAX_NAME} characters"));
    }
    let role: Result<Role, _> = body.remove("role").as_ref().and_then(Value::as_str).unwrap_or_default().parse();
    let role = role.map_err(|error| wrong("role", error.to_string())).ok();
    let scope = match body.remove("scope") {
        None | Some(Value::Null) => Some(Scope::Everything),
        Some(value) => Scope::read(&value).map_err(|message| wrong("scope", message)).ok(),
    };
    let days = match body.remove("expires_in_days") {
        None | Some(Value::Null) => None,
        Some(value) => value.as_i64().filter(|days| (1..=MAX_DAYS).contains(days)).or_else(|| {
            wrong("expires_in_days", format!("must be a whole number from 1 to {MAX_DAYS}"));
            None
        }),
    };
    for field in body.keys() {
        let shown: String = field.chars().take(64).filter(|c| !c.is_control()).collect();
        wrong(&shown, "unknown field".to_owned());
    }
    match (role, scope) {
        (Some(role), Some(scope)) if details.is_empty() => {
            let expires_at = days.map(|days| now + TimeDelta::days(days));
            Ok(TokenDraft { name, role, scope, expires_at, created_by: by.author() })
        }
        _ => Err(ApiError::invalid(Invalid { details, bad_name: false })),
    }
}
