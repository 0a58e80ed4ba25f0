//! `/ws`: live events over a WebSocket, in the protocol that the platform's frontend speaks.

mod door;
mod protocol;
mod session;
mod subscriptions;

use axum::{
    extract::{Extension, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::Response,
};
use utoipa_axum::routes;

use super::{
    ApiState,
    access::{Identified, Routes},
    error::ApiError,
    query::NoQuery,
    schema::Always,
    witness::Whence,
};
use session::Session;

/// Bytes that wait to be written before a flush.
const WRITE_BUFFER: usize = 64 * 1024;
/// Largest frame and message that is taken from the wire; what is larger than a message may be is answered with an error.
const MAX_WIRE: usize = 64 * 1024;

/// The route; it never ends by a deadline.
pub fn routes() -> Routes {
    Routes::new().greeting(routes!(open_socket))
}

/// Opens a WebSocket. The client says `auth` within 5 s, then `subscribe`, `unsubscribe` and `ping`; it hears `auth_response`,
/// `subscribed`, `unsubscribed`, `pong`, `error` and `event`. Pages of other origins than this one need a place in
/// `streaming.allowed_origins`.
#[utoipa::path(get, path = "/ws", tag = "events", responses(
    (status = 101, description = "The WebSocket is open"),
    (status = 403, description = "Not from pages of that origin: PERMISSION_DENIED", body = super::error::ErrorEnvelope),
    Always))]
async fn open_socket(
    State(api): State<ApiState>,
    Extension(Identified(caller)): Extension<Identified>,
    Whence(origin): Whence,
    headers: HeaderMap,
    _query: NoQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|_| ApiError::invalid_field("Upgrade", "must ask for a WebSocket"))?;
    if !door::is_open_to(&headers, &api.streaming.allowed_origins) {
        return Err(ApiError::permission_denied("Pages of that origin may not open a WebSocket here"));
    }
    let stranger = api.listeners.admit_stranger(origin.address.map(|address| address.ip()));
    let stranger = stranger.ok_or_else(|| ApiError::rate_limited("Too many WebSockets wait for their first word"))?;
    let upgrade = upgrade.write_buffer_size(WRITE_BUFFER).max_message_size(MAX_WIRE).max_frame_size(MAX_WIRE);
    Ok(upgrade.on_upgrade(move |socket| Session::new(api, socket, origin, caller.ok(), stranger).run()))
}
