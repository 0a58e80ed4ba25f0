//! Who one is, and how one may prove it.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    ApiState,
    access::{Routes, Seen},
    query::NoQuery,
    schema::Always,
    tokens::ScopeView,
};
use crate::identity::{Caller, Method};

/// The routes.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(whoami)).open(routes!(methods))
}

/// Who is calling.
#[derive(Serialize, ToSchema)]
struct WhoAmI {
    /// Stable name; stands in `created_by` and in the audit log.
    id: String,
    /// What people call them.
    name: String,
    /// How they proved to be themselves: `token`, …; `open` when nobody has to.
    #[schema(value_type = String)]
    method: &'static str,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: &'static str,
    /// Which clusters they see.
    #[schema(value_type = ScopeView)]
    scope: Value,
    /// When their proof ends.
    expires_at: Option<DateTime<Utc>>,
}

impl From<&Caller> for WhoAmI {
    fn from(caller: &Caller) -> Self {
        Self {
            id: caller.id.to_string(),
            name: caller.name.to_string(),
            method: caller.method.as_str(),
            role: caller.role.as_str(),
            scope: caller.scope.to_json(),
            expires_at: caller.expires_at,
        }
    }
}

/// Who you are to fleetbeat, and what you may do and see.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "access", responses(
    (status = 200, description = "The caller", body = WhoAmI), Always))]
async fn whoami(seen: Seen, _query: NoQuery) -> Json<WhoAmI> {
    Json(WhoAmI::from(&seen.caller))
}

/// How one may prove who one is.
#[derive(Serialize, ToSchema)]
struct AuthMethods {
    /// Does a request need a proof at all?
    required: bool,
    /// What is accepted: `token`, …
    #[schema(value_type = Vec<String>)]
    methods: Vec<&'static str>,
    /// Where a browser signs in; null where it cannot.
    login_url: Option<&'static str>,
    /// What people call that.
    login_name: Option<String>,
    /// Where a browser's session is ended (`POST`).
    logout_url: Option<&'static str>,
    /// The header, of any value, that a browser with a session sends with whatever changes something.
    session_header: Option<&'static str>,
}

/// How callers may prove who they are, and where a browser signs in.
#[utoipa::path(get, path = "/api/v1/auth/methods", tag = "access", responses(
    (status = 200, description = "The methods", body = AuthMethods), Always))]
async fn methods(State(api): State<ApiState>, _query: NoQuery) -> Json<AuthMethods> {
    let login = api.identity.login();
    Json(AuthMethods {
        required: !api.identity.is_open(),
        methods: api.identity.methods().map(Method::as_str).collect(),
        login_url: login.map(|_| "/auth/login"),
        login_name: login.map(|login| login.name().to_owned()),
        logout_url: login.map(|_| "/auth/logout"),
        session_header: login.map(|_| "X-Fleetbeat-Request"),
    })
}
