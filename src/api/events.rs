//! The event log, by pages: from memory where it reaches back far enough, else from the store.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use fleetbeat_actors::{
    event::{Event, EventType},
    outbox::Recent,
    roll::ClusterId,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    query::{FromParameters, Parameters, Params},
    schema::{self, Always, NeedsStore},
    silenced::{SilenceLookup, with_silences},
};
use crate::store::EventFilter;

/// Most events of one answer.
const MAX_LIMIT: i64 = 1_000;
/// Events looked at in memory at once.
const SCAN: usize = 512;

/// The routes.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(list_events))
}

/// Whose events, and which.
#[derive(Clone, Debug, Default, Hash)]
pub struct Wanted {
    /// Only of this cluster.
    pub cluster_id: Option<ClusterId>,
    /// Only of these types; all when empty.
    pub event_types: Vec<EventType>,
}

impl Wanted {
    /// Takes its parameters.
    pub fn read(parameters: &mut Parameters) -> Self {
        Self { cluster_id: parameters.cluster_id("cluster_id"), event_types: parameters.words("event_type") }
    }

    /// Is this event among them?
    pub fn matches(&self, event: &Event) -> bool {
        self.cluster_id.is_none_or(|id| id == event.cluster_id)
            && (self.event_types.is_empty() || self.event_types.contains(&event.event_type))
    }

    fn filter(&self, after: i64, limit: u32) -> EventFilter {
        let event_types = self.event_types.clone();
        EventFilter { after, cluster_id: self.cluster_id, event_types, limit, among: None }
    }
}

/// Which events to list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only events after this position (default 0: from the beginning).
    #[param(minimum = 0, format = Int64)]
    after: Option<i64>,
    /// At most so many (default 100).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// Only of this cluster.
    #[param(value_type = Option<Uuid>, required = false)]
    cluster_id: Option<Uuid>,
    /// Only of these types.
    #[param(schema_with = schema::event_types, required = false)]
    event_type: Vec<EventType>,
}

impl FromParameters for EventQuery {
    fn read(parameters: &mut Parameters) -> Self {
        let wanted = Wanted::read(parameters);
        Self {
            after: parameters.integer("after", 0, i64::MAX),
            limit: parameters.integer("limit", 1, MAX_LIMIT),
            cluster_id: wanted.cluster_id.map(|id| id.0),
            event_type: wanted.event_types,
        }
    }
}

/// An event.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct EventView {
    /// Stable across re-publication.
    event_id: Uuid,
    /// What it tells of.
    #[schema(schema_with = schema::event_type)]
    event_type: String,
    /// Always `cluster-registry`.
    source: String,
    /// Whom it tells of; the nil UUID for the fleet.
    cluster_id: Uuid,
    /// When it happened.
    timestamp: chrono::DateTime<chrono::Utc>,
    /// Place among its cluster's events: 1, 2, 3, …
    sequence: i64,
    /// Place in the whole log; grows, has gaps.
    position: i64,
    /// Event-specific data.
    #[schema(value_type = Object)]
    payload: serde_json::Value,
    /// Silences that held for its cluster then; left out where there was none.
    silenced_by: Option<Vec<Uuid>>,
}

/// Part of the event log.
#[derive(Serialize, ToSchema)]
struct EventList {
    /// Events in the order of their positions.
    items: Vec<EventView>,
    /// Position to go on after.
    next_after: i64,
    /// Are there more right now?
    has_more: bool,
}

/// A stretch of the log.
#[derive(Debug, Default)]
pub struct Stretch {
    /// The events wanted in it.
    pub events: Vec<Arc<Event>>,
    /// Everything up to here was looked at.
    pub position: i64,
    /// Does it reach the end of the log?
    pub at_end: bool,
}

/// Events after a position, in order.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventQuery), responses(
    (status = 200, description = "Events", body = EventList), Always, NeedsStore))]
async fn list_events(
    State(api): State<ApiState>,
    seen: Seen,
    Params(query): Params<EventQuery>,
) -> Result<Response, ApiError> {
    let wanted = Wanted { cluster_id: query.cluster_id.map(ClusterId), event_types: query.event_type };
    let limit = query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(100);
    let after = query.after.unwrap_or(0);
    // One more tells whether there are more.
    let mut found = api.find(after, limit + 1, &wanted, &seen).await?;
    let has_more = found.events.len() > limit;
    found.events.truncate(limit);
    let shown = found.events.last().map_or(after, |event| event.position);
    // Where the log ends is told to those only who see all of it.
    let next_after = if has_more || !seen.is_everything() { shown } else { found.position };
    Ok(answer(&found.events, next_after, has_more, api.broadcaster.silences()))
}

fn answer(events: &[Arc<Event>], next_after: i64, has_more: bool, silences: &SilenceLookup) -> Response {
    let size = events.iter().map(|event| event.json.len() + 1).sum::<usize>();
    let mut body = String::with_capacity(size + 80);
    body.push_str("{\"items\":[");
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&with_silences(&event.json, &silences.of(event)));
    }
    body.push_str(&format!("],\"next_after\":{next_after},\"has_more\":{has_more}}}"));
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

impl ApiState {
    /// The log from `after` on, until `limit` events are found or there are no more.
    async fn find(&self, after: i64, limit: usize, wanted: &Wanted, seen: &Seen) -> Result<Stretch, ApiError> {
        let head = *self.outbox.head().borrow();
        let mut found = Stretch { position: self.looked_at(after, wanted, seen), ..Stretch::default() };
        while !found.at_end && found.events.len() < limit {
            let next = self.stretch(found.position, limit - found.events.len(), wanted, seen).await?;
            let stuck = next.position == found.position && next.events.is_empty();
            found.events.extend(next.events);
            found.position = next.position;
            found.at_end = next.at_end || stuck;
        }
        if found.events.is_empty() {
            self.found_nothing(after, found.position, head, wanted, seen);
        }
        Ok(found)
    }

    /// The next stretch of the log after `after`, with at most `limit` events that are wanted.
    ///
    /// # Errors
    /// The store's, when memory does not reach back that far.
    pub async fn stretch(&self, after: i64, limit: usize, wanted: &Wanted, seen: &Seen) -> Result<Stretch, ApiError> {
        let head = *self.outbox.head().borrow();
        match self.outbox.after(after, SCAN) {
            Recent::Events(events) => {
                Ok(taken(events, after, limit, |event| wanted.matches(event) && seen.admits_event(event)))
            }
            // What is out of scope is answered without a look, like what never was.
            Recent::ReadLog if wanted.cluster_id.is_some_and(|id| !seen.may_hear_of(id)) => {
                Ok(Stretch { position: head.max(after), ..Stretch::default() })
            }
            Recent::ReadLog => self.read_log(after, limit, wanted, seen, head).await,
        }
    }

    /// What the log holds. When it holds fewer than asked for, everything stored up to `head` was looked at.
    async fn read_log(
        &self,
        after: i64,
        limit: usize,
        wanted: &Wanted,
        seen: &Seen,
        head: i64,
    ) -> Result<Stretch, ApiError> {
        let asked = if seen.is_everything() { limit.min(SCAN) } else { SCAN };
        let all_stored = self.outbox.unsaved() == 0;
        let filter =
            EventFilter { among: seen.among(), ..wanted.filter(after, u32::try_from(asked).unwrap_or(u32::MAX)) };
        let events = self.store.events(&filter).await.map_err(ApiError::of_reading)?;
        let exhausted = events.len() < asked && all_stored;
        let last = events.last().map_or(after, |event| event.position);
        let whole = if exhausted { last.max(head) } else { last };
        let mut stretch = taken(events, after, limit, |event| seen.admits_event(event));
        // Not cut short: all that was read was looked at.
        if stretch.at_end {
            stretch.position = whole;
            stretch.at_end = false;
        }
        Ok(stretch)
    }
}

/// The wanted ones among these events, up to a limit.
fn taken(events: Vec<Arc<Event>>, after: i64, limit: usize, wanted: impl Fn(&Event) -> bool) -> Stretch {
    let scanned = events.len();
    let mut stretch = Stretch { position: after, at_end: scanned < SCAN, ..Stretch::default() };
    for event in events {
        if stretch.events.len() == limit {
            stretch.at_end = false;
            break;
        }
        stretch.position = event.position;
        if wanted(&event) {
            stretch.events.push(event);
        }
    }
    stretch
}
