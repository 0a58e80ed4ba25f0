//! Answers in JSON that are asked for often: written at once into memory that has room for them, instead of piece by piece
//! into one that grows.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::error::ApiError;

/// Room for one cluster, bytes: few have more labels, capabilities or conditions than fit.
pub const CLUSTER_ROOM: usize = 2 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The value as an answer of about so many bytes.
pub fn as_json(value: &impl Serialize, room: usize) -> Response {
    let mut body = Vec::with_capacity(room);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            ApiError::internal().into_response()
        }
    }
}
