//! The event log, live: server-sent events. Each reader pulls at its own pace from the shared log; none holds up another.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use fleetbeat_actors::event::EventType;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    events::Wanted,
    query::{FromParameters, Parameters, Params},
    schema::{self, Always},
};
use fleetbeat_actors::roll::ClusterId;

/// A silent stream says so after this time.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait when the log cannot be read.
const LOG_RETRY: Duration = Duration::from_secs(1);
/// Events sent as one chunk.
const CHUNK: usize = 128;

/// The route; it never ends by a deadline.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(stream_events))
}

/// Which events to follow, and from where.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Begin after this position instead of now.
    #[param(minimum = 0, format = Int64)]
    after: Option<i64>,
    /// Only of this cluster.
    #[param(value_type = Option<Uuid>, required = false)]
    cluster_id: Option<Uuid>,
    /// Only of these types.
    #[param(schema_with = schema::event_types, required = false)]
    event_type: Vec<EventType>,
}

impl FromParameters for StreamQuery {
    fn read(parameters: &mut Parameters) -> Self {
        let wanted = Wanted::read(parameters);
        let after = parameters.integer("after", 0, i64::MAX);
        Self { after, cluster_id: wanted.cluster_id.map(|id| id.0), event_type: wanted.event_types }
    }
}

/// Follows the event log. `id:` is an event's position; `Last-Event-ID` (or `after`) goes on after it. `data:` is the
/// event. Every 15 s of silence a comment tells that the stream lives.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "events", params(StreamQuery,
    LastEventId), responses(
    (status = 200, description = "The stream", body = StreamItem, content_type = "text/event-stream"),
    (status = 429, description = "Too many streams: RATE_LIMITED", body = super::error::ErrorEnvelope), Always))]
async fn stream_events(
    State(api): State<ApiState>,
    seen: Seen,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last = last_event_id(&headers)?;
    let permit = api.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| ApiError::rate_limited("Too many event streams are open"))?;
    let follower = Follower {
        position: last.or(query.after).unwrap_or_else(|| *api.outbox.head().borrow()),
        wanted: Wanted { cluster_id: query.cluster_id.map(ClusterId), event_types: query.event_type },
        head: api.outbox.head(),
        stopping: api.stopping.clone(),
        greeted: false,
        seen,
        _permit: permit,
        api,
    };
    let chunks = futures_util::stream::unfold(follower, |mut follower| async move {
        let chunk = follower.next().await?;
        Some((Ok::<_, Infallible>(chunk), follower))
    });
    Ok(as_event_stream(Body::from_stream(chunks)))
}

fn as_event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One item of the stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the stream in the OpenAPI document")]
struct StreamItem {
    /// Position to resume from.
    id: Option<String>,
    /// An event as JSON; absent in a heartbeat.
    data: Option<String>,
}

/// Position of the last event that a resuming reader has seen.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header in the OpenAPI document")]
struct LastEventId {
    /// Position of the last event seen.
    #[param(rename = "Last-Event-ID", schema_with = schema::position, required = false)]
    last_event_id: Option<String>,
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or("-").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let position = text.parse().ok().filter(|position| *position >= 0 && !text.starts_with('+'));
    let wrong = || ApiError::invalid_field("Last-Event-ID", "must be the position of an event");
    position.map(Some).ok_or_else(wrong)
}

/// One reader of the live stream.
struct Follower {
    api: ApiState,
    wanted: Wanted,
    seen: Seen,
    position: i64,
    head: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next bytes to send; `None` when the process stops, or its reader is nobody any more.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(Bytes::from_static(b"retry: 2000\n: fleetbeat\n\n"));
        }
        let mut quiet_until = tokio::time::Instant::now() + HEARTBEAT;
        loop {
            if *self.stopping.borrow() || !self.api.identity.is_still(&self.seen.caller, self.api.clock.wall()) {
                return None;
            }
            self.head.mark_unchanged();
            let wait_until = match self.read().await {
                Ok(Some(chunk)) => return Some(chunk),
                Ok(None) => quiet_until,
                Err(()) => quiet_until.min(tokio::time::Instant::now() + LOG_RETRY),
            };
            tokio::select! {
                changed = self.head.changed() => changed.ok()?,
                stopping = self.stopping.changed() => stopping.ok()?,
                () = tokio::time::sleep_until(wait_until) => {}
            }
            if tokio::time::Instant::now() >= quiet_until {
                quiet_until += HEARTBEAT;
                return Some(self.heartbeat());
            }
        }
    }

    /// The next wanted events as one chunk; `None` at the end of the log.
    async fn read(&mut self) -> Result<Option<Bytes>, ()> {
        loop {
            let before = self.position;
            let stretch = self.api.stretch(before, CHUNK, &self.wanted, &self.seen).await.map_err(|_| ())?;
            self.position = stretch.position;
            if !stretch.events.is_empty() {
                let frames = stretch.events.iter().map(|e| format!("id: {}\ndata: {}\n\n", e.position, e.json));
                return Ok(Some(frames.collect::<String>().into()));
            }
            match (stretch.at_end, stretch.position == before) {
                (true, _) => return Ok(None),
                // The log has nothing after this position, and memory begins later: events wait for the store.
                (false, true) => return Err(()),
                (false, false) => {}
            }
        }
    }

    /// A comment, with the position so that a reader who filters resumes from here.
    fn heartbeat(&self) -> Bytes {
        format!(": heartbeat\nid: {}\n\n", self.position).into()
    }
}
