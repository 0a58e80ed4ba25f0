//! Sessions of browsers: listed and ended, all of them by administrators of the whole fleet, one's own by anybody.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::{ApiError, ErrorEnvelope},
    extract::ObjectId,
    query::NoQuery,
    schema::{Always, NeedsStore},
};
use crate::{identity::public_id, store::StoredSession};

/// The routes.
pub fn routes() -> Routes {
    Routes::new()
        .fleet_admin(routes!(list_sessions))
        .fleet_admin(routes!(end_session))
        .viewer(routes!(own_sessions))
        .viewer(routes!(end_own_session))
}

/// A session of a browser, without what opens it.
#[derive(Serialize, ToSchema)]
struct Session {
    /// What it is called; opens nothing.
    id: Uuid,
    /// Whose it is, as in `created_by` and in the audit log.
    caller: String,
    /// What people call them.
    name: String,
    /// Their groups when they signed in.
    groups: Vec<String>,
    /// When they signed in.
    created_at: DateTime<Utc>,
    /// When it ends by itself.
    expires_at: DateTime<Utc>,
    /// Is this request made in it?
    current: bool,
}

impl Session {
    fn of(session: &StoredSession, seen: &Seen) -> Self {
        let id = public_id(&session.hash);
        Self {
            id,
            caller: format!("oidc:{}", session.subject),
            name: session.name.clone(),
            groups: serde_json::from_str(&session.groups).unwrap_or_default(),
            created_at: session.created_at,
            expires_at: session.expires_at,
            current: seen.caller.session() == Some(id),
        }
    }
}

/// Sessions of browsers.
#[derive(Serialize, ToSchema)]
struct SessionList {
    /// Those that last, the oldest first.
    items: Vec<Session>,
}

/// Everybody's browser sessions.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "access", responses(
    (status = 200, description = "The sessions", body = SessionList),
    (status = 404, description = "Browsers cannot sign in here: NOT_FOUND", body = ErrorEnvelope), Always))]
async fn list_sessions(
    State(api): State<ApiState>,
    seen: Seen,
    _query: NoQuery,
) -> Result<Json<SessionList>, ApiError> {
    listed(&api, &seen, |_| true)
}

/// Your own browser sessions; none for callers whom the issuer does not know.
#[utoipa::path(get, path = "/api/v1/whoami/sessions", tag = "access", responses(
    (status = 200, description = "The sessions", body = SessionList),
    (status = 404, description = "Browsers cannot sign in here: NOT_FOUND", body = ErrorEnvelope), Always))]
async fn own_sessions(State(api): State<ApiState>, seen: Seen, _query: NoQuery) -> Result<Json<SessionList>, ApiError> {
    listed(&api, &seen, |session| seen.caller.issuer_subject() == Some(session.subject.as_str()))
}

/// Ends anybody's browser session, at once.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "access", params(
    ("id" = Uuid, Path, description = "What the session is called")), responses(
    (status = 204, description = "Ended"),
    (status = 404, description = "There is none of that id, or browsers cannot sign in here: NOT_FOUND", body = ErrorEnvelope),
    Always, NeedsStore))]
async fn end_session(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<StatusCode, ApiError> {
    ended(&api, &seen, id, None).await
}

/// Ends one of your own browser sessions, at once.
#[utoipa::path(delete, path = "/api/v1/whoami/sessions/{id}", tag = "access", params(
    ("id" = Uuid, Path, description = "What the session is called")), responses(
    (status = 204, description = "Ended"),
    (status = 404, description = "You have none of that id, or browsers cannot sign in here: NOT_FOUND",
        body = ErrorEnvelope),
    Always, NeedsStore))]
async fn end_own_session(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<StatusCode, ApiError> {
    // Whom the issuer does not know has no name there, and so no session.
    let own = seen.caller.issuer_subject().unwrap_or_default();
    ended(&api, &seen, id, Some(own)).await
}

fn listed(api: &ApiState, seen: &Seen, wanted: impl Fn(&StoredSession) -> bool) -> Result<Json<SessionList>, ApiError> {
    let all = api.login()?.sessions().list();
    let items = all.iter().filter(|session| wanted(session)).map(|session| Session::of(session, seen)).collect();
    Ok(Json(SessionList { items }))
}

async fn ended(api: &ApiState, seen: &Seen, id: Uuid, of: Option<&str>) -> Result<StatusCode, ApiError> {
    if !api.login()?.sessions().end_called(id, of, &seen.origin).await.map_err(ApiError::of_reading)? {
        return Err(no_session());
    }
    tracing::info!(%id, by = %seen.caller.id, "a browser's session was ended");
    Ok(StatusCode::NO_CONTENT)
}

fn no_session() -> ApiError {
    ApiError::not_found("No such session, or it was ended before")
}
