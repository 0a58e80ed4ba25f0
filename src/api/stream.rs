//! Live events as server-sent events. Each reader pulls at its own pace from the broadcaster, and what that forgot from the log;
//! none holds up another.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::event::EventType;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    events::Wanted,
    live::{Door, Frame, LOOK, PAUSE, Place, Recent, Watched},
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
/// What is told from now on is placed no further back than this: positions are times.
const SETTLED: TimeDelta = TimeDelta::seconds(60);
/// Whoever leaves behind what it did not take for this long was too slow. The listener cuts off who takes nothing at all.
const SLOW: Duration = Duration::from_secs(5);

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
    let (id, since) = (Uuid::now_v7(), api.clock.wall());
    let place = api.listeners.admit(id, Door::Sse, seen.origin.clone(), since);
    let place = place.ok_or_else(|| ApiError::rate_limited("Too many event streams are open"))?;
    place.listener().watched.lock().push(query.watched(id, since));
    let follower = Follower {
        position: last.or(query.after).unwrap_or_else(|| api.broadcaster.newest()),
        shown: last.or(query.after).unwrap_or(0),
        wanted: Wanted { cluster_id: query.cluster_id.map(ClusterId), event_types: query.event_type },
        head: api.broadcaster.head(),
        stopping: api.stopping.clone(),
        greeted: false,
        pause: Instant::now(),
        handed: None,
        seen,
        place,
        api,
    };
    let chunks = futures_util::stream::unfold(follower, |mut follower| async move {
        // Whoever asks for more took what came before.
        follower.handed = None;
        let chunk = follower.next().await?;
        follower.handed = Some(Instant::now());
        Some((Ok::<_, Infallible>(chunk), follower))
    });
    Ok(as_event_stream(Body::from_stream(chunks)))
}

fn as_event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl StreamQuery {
    /// As administrators see it.
    fn watched(&self, id: Uuid, since: DateTime<Utc>) -> Watched {
        Watched {
            id,
            event_types: self.event_type.iter().map(ToString::to_string).collect(),
            clusters: self.cluster_id.iter().map(ToString::to_string).collect(),
            namespaces: Vec::new(),
            since,
        }
    }
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
    /// Everything up to here was looked at.
    position: i64,
    /// The last that was sent, or that it said to know.
    shown: i64,
    head: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    greeted: bool,
    /// Nothing is sent before.
    pause: Instant,
    /// When it was given something that it did not take yet.
    handed: Option<Instant>,
    place: Place,
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.handed.is_some_and(|since| since.elapsed() >= SLOW) {
            self.place.too_slow();
        }
    }
}

impl Follower {
    /// The next bytes to send; `None` when the process stops, or its reader is nobody any more.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.greeting());
        }
        let quiet_until = Instant::now() + HEARTBEAT;
        let mut stopping = self.stopping.clone();
        sleep_until(self.pause).await;
        loop {
            if *stopping.borrow() || !self.api.is_still(&self.seen.caller) {
                return None;
            }
            self.head.mark_unchanged();
            let look = Instant::now() + LOOK;
            let (wait_until, at_end) = match self.read().await {
                Ok(Some(chunk)) => return Some(chunk),
                Ok(None) => (look.min(quiet_until), true),
                Err(()) => (quiet_until.min(Instant::now() + LOG_RETRY), false),
            };
            tokio::select! {
                changed = self.head.changed() => changed.ok()?,
                stopping = stopping.changed() => stopping.ok()?,
                () = sleep_until(wait_until) => {}
            }
            if Instant::now() >= quiet_until {
                return Some(self.heartbeat(at_end));
            }
        }
    }

    /// The next wanted events as one chunk; `None` at the end of the log.
    async fn read(&mut self) -> Result<Option<Bytes>, ()> {
        loop {
            let (frames, at_end) = match self.api.broadcaster.after(self.position, CHUNK) {
                Recent::Frames(frames) => self.recent(frames),
                Recent::TooFar => self.old().await?,
            };
            if !frames.is_empty() {
                self.pause = Instant::now() + if at_end { PAUSE } else { Duration::ZERO };
                self.place.sent(frames.len(), self.position);
                self.shown = frames.last().map_or(self.shown, |frame| frame.event.position);
                return Ok(Some(in_one(&frames)));
            }
            if at_end {
                return Ok(None);
            }
        }
    }

    /// What is wanted of the newest events, and whether they reach to the end.
    fn recent(&mut self, frames: Vec<Arc<Frame>>) -> (Vec<Arc<Frame>>, bool) {
        let at_end = frames.len() < CHUNK;
        self.position = frames.last().map_or(self.position, |frame| frame.event.position);
        let wanted = |frame: &Arc<Frame>| self.wanted.matches(&frame.event) && self.seen.admits_frame(frame);
        (frames.into_iter().filter(wanted).collect(), at_end)
    }

    /// The same from the log.
    async fn old(&mut self) -> Result<(Vec<Arc<Frame>>, bool), ()> {
        let before = self.position;
        let stretch = self.api.stretch(before, CHUNK, &self.wanted, &self.seen).await.map_err(|_| ())?;
        self.position = stretch.position;
        // The log has nothing after this position, and memory begins later: events wait for the store.
        if stretch.events.is_empty() && !stretch.at_end && stretch.position == before {
            return Err(());
        }
        Ok((
            stretch.events.into_iter().map(|event| Arc::new(self.api.broadcaster.frame(event))).collect(),
            stretch.at_end,
        ))
    }

    /// The first words. Whoever sees only a part of the fleet learns here where to resume before anything was shown.
    fn greeting(&self) -> Bytes {
        let from_now_on = self.shown == 0 && !self.seen.is_everything();
        let id = if from_now_on { format!("id: {}\n", self.settled()) } else { String::new() };
        format!("retry: 2000\n: fleetbeat\n{id}\n").into()
    }

    /// A comment, with the position so that a reader who filters resumes from here. Where the log ends would tell of events
    /// out of scope: who has one gets a place in time instead, unless the log could not be read up to there.
    fn heartbeat(&self, at_end: bool) -> Bytes {
        let position = match self.seen.is_everything() {
            true => Some(self.position),
            false => at_end.then(|| self.settled().max(self.shown)),
        };
        let id = position.map_or_else(String::new, |position| format!("id: {position}\n"));
        format!(": heartbeat\n{id}\n").into()
    }

    fn settled(&self) -> i64 {
        (self.api.clock.wall() - SETTLED).timestamp_micros().max(0)
    }
}

/// Frames as one chunk; a single one is shared as it is.
fn in_one(frames: &[Arc<Frame>]) -> Bytes {
    match frames {
        [only] => only.sse().clone(),
        _ => frames.iter().map(|frame| &frame.sse()[..]).collect::<Vec<_>>().concat().into(),
    }
}
