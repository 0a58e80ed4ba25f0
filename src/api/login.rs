//! Browsers sign in at the issuer, come back with a session, and sign out.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    ApiState,
    access::{Routes, Seen, refusal},
    error::{ApiError, ErrorEnvelope},
    query::{FromParameters, NoQuery, Parameters, Params},
    schema::{Always, NeedsStore},
    witness::Whence,
};
use crate::audit::Origin;
use crate::identity::{
    Unknown,
    oidc::{Login, LoginError, MAX_RETURN, Returned, Sent, is_way_back},
};

/// Longest query of a browser that comes back, bytes.
const MAX_QUERY: usize = 8 * 1024;
/// Where a person lands who could not be signed in; the word says why.
const FAILED: &str = "/?sign_in=";

/// The routes.
pub fn routes() -> Routes {
    Routes::new().open(routes!(begin)).open(routes!(finish)).viewer(routes!(end))
}

/// Where to come back to.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct BeginQuery {
    /// A path of the dashboard (default: `/`).
    #[param(required = false, max_length = 512, pattern = "^/([A-Za-z0-9_.?=&%~-][A-Za-z0-9_.?=&%~/-]{0,500})?$")]
    return_to: Option<String>,
}

impl FromParameters for BeginQuery {
    fn read(parameters: &mut Parameters) -> Self {
        let wrong = || format!("must be a path of the dashboard of at most {MAX_RETURN} characters");
        let rule = |path: &str| if is_way_back(path) { Ok(()) } else { Err(wrong()) };
        Self { return_to: parameters.text("return_to", rule) }
    }
}

/// Sends a browser to the issuer to sign in.
#[utoipa::path(get, path = "/auth/login", tag = "access", params(BeginQuery), responses(
    (status = 302, description = "To the issuer"),
    (status = 404, description = "Browsers cannot sign in here: NOT_FOUND", body = ErrorEnvelope),
    (status = 503, description = "The issuer does not answer: DEPENDENCY_UNAVAILABLE", body = ErrorEnvelope), Always))]
async fn begin(State(api): State<ApiState>, Params(query): Params<BeginQuery>) -> Result<Response, ApiError> {
    let sent = api.login()?.begin(query.return_to.as_deref().unwrap_or("/")).await?;
    Ok(redirect(&sent))
}

/// Takes back a browser that the issuer sent, and begins its session. Browsers are sent on, also when it did not work.
#[utoipa::path(get, path = "/auth/callback", tag = "access", responses(
    (status = 302, description = "To the dashboard, with a session; or with why there is none"),
    (status = 401, description = "The issuer, or we, refused: AUTH_FAILED", body = ErrorEnvelope),
    (status = 403, description = "None of the person's groups may do anything: PERMISSION_DENIED", body = ErrorEnvelope),
    (status = 404, description = "Browsers cannot sign in here: NOT_FOUND", body = ErrorEnvelope),
    Always, NeedsStore))]
async fn finish(
    State(api): State<ApiState>,
    Whence(from): Whence,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let login = api.login()?;
    match came_back(login, &query.unwrap_or_default(), &headers, &from).await {
        Ok(sent) => Ok(redirect(&sent)),
        Err(error) if wants_page(&headers) => {
            tracing::info!(%error, "nobody was signed in");
            Ok(redirect(&Sent { location: format!("{FAILED}{}", word(&error)), cookies: Vec::new() }))
        }
        Err(error) => Err(error.into()),
    }
}

async fn came_back(login: &Login, query: &str, headers: &HeaderMap, from: &Origin) -> Result<Sent, LoginError> {
    // An issuer may add parameters of its own.
    let one = |name: &str| {
        let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.into_owned());
        value.filter(|_| values.next().is_none() && query.len() <= MAX_QUERY)
    };
    match (one("code"), one("state"), one("error")) {
        (Some(code), Some(state), None) => login.finish(headers, Returned { code: &code, state: &state, from }).await,
        (_, _, Some(_)) => Err(Unknown::Refused.into()),
        _ => Err(LoginError::Strange),
    }
}

/// Ends the session of this browser.
#[utoipa::path(post, path = "/auth/logout", tag = "access", responses(
    (status = 204, description = "Ended"),
    (status = 404, description = "Browsers cannot sign in here: NOT_FOUND", body = ErrorEnvelope),
    Always, NeedsStore))]
async fn end(
    State(api): State<ApiState>,
    seen: Seen,
    _query: NoQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let cookie = api.login()?.end(&headers, &seen.origin).await.map_err(ApiError::of_reading)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set(&mut response, header::SET_COOKIE, &cookie);
    Ok(response)
}

impl ApiState {
    /// The way in for browsers.
    pub(super) fn login(&self) -> Result<&Arc<Login>, ApiError> {
        let login = self.identity.login();
        login.ok_or_else(|| ApiError::not_found("Browsers cannot sign in here: set auth.oidc.client_id"))
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Strange => Self::unauthorized("Signing in was not begun here, or too long ago"),
            LoginError::Unknown(unknown) => refusal(unknown),
            LoginError::Store(error) => Self::of_reading(error),
            LoginError::Issuer(error) => {
                tracing::warn!(%error, "the token issuer did not take a code");
                Self::unauthorized("The issuer did not confirm the sign-in")
            }
        }
    }
}

/// Why nobody was signed in, in a word for the dashboard.
fn word(error: &LoginError) -> &'static str {
    match error {
        LoginError::Strange => "expired",
        LoginError::Unknown(Unknown::Powerless) => "no_access",
        LoginError::Unknown(Unknown::Unavailable) | LoginError::Store(_) => "unavailable",
        LoginError::Unknown(_) | LoginError::Issuer(_) => "refused",
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|kinds| kinds.contains("text/html"))
}

fn redirect(sent: &Sent) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    set(&mut response, header::LOCATION, &sent.location);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    sent.cookies.iter().for_each(|cookie| set(&mut response, header::SET_COOKIE, cookie));
    response
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}
