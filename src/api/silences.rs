//! Silences and maintenance windows: listed by those who read, made and ended by operators within what they see.

mod given;

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::{Cluster, ClusterId};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    extract::{JsonObject, ObjectId},
    query::{FromParameters, NoQuery, Parameters, Params},
    schema::{self, Always, NeedsStore, WithBody},
};
use crate::{
    history::Window,
    silences::{Silence, SilenceError, Standing},
};
use given::NewSilence;

/// The routes.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(list_silences)).operator(routes!(create_silence)).merge(of_one())
}

fn of_one() -> Routes {
    Routes::new().viewer(routes!(get_silence)).operator(routes!(end_silence))
}

/// Which silences to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct SilenceQuery {
    /// Only those that stand so.
    #[param(schema_with = schema::standings, required = false)]
    state: Vec<Standing>,
    /// Only those that concern this cluster.
    #[param(value_type = Option<Uuid>, required = false)]
    cluster_id: Option<ClusterId>,
    /// At most so many (default 100).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

impl FromParameters for SilenceQuery {
    fn read(parameters: &mut Parameters) -> Self {
        Self {
            state: parameters.words("state"),
            cluster_id: parameters.cluster_id("cluster_id"),
            limit: parameters.integer("limit", 1, 1_000),
        }
    }
}

/// A stretch of time.
#[derive(Serialize, ToSchema)]
#[schema(as = Window)]
pub(super) struct WindowView {
    /// From …
    from: DateTime<Utc>,
    /// … to.
    to: DateTime<Utc>,
}

impl From<Window> for WindowView {
    fn from(window: Window) -> Self {
        Self { from: window.from, to: window.to }
    }
}

/// A silence.
#[derive(Serialize, ToSchema)]
#[schema(as = Silence)]
struct SilenceView {
    /// Its id.
    id: Uuid,
    /// `active`, `upcoming` or `expired`.
    #[schema(schema_with = schema::standing)]
    state: &'static str,
    /// Why.
    comment: String,
    /// Clusters whose labels match.
    label_selector: Option<String>,
    /// These clusters, as far as the caller sees them.
    cluster_ids: Vec<Uuid>,
    /// Clusters that it concerns, as far as the caller sees them; 0 once it is over.
    clusters: usize,
    /// Begin of the first window.
    starts_at: DateTime<Utc>,
    /// End of the first window.
    ends_at: DateTime<Utc>,
    /// How it repeats.
    rrule: Option<String>,
    /// By whose clocks it repeats.
    time_zone: String,
    /// The window that holds now.
    #[schema(value_type = Option<WindowView>)]
    current: Option<WindowView>,
    /// The next window.
    #[schema(value_type = Option<WindowView>)]
    next: Option<WindowView>,
    /// Who made it.
    created_by: Option<String>,
    /// When.
    created_at: DateTime<Utc>,
    /// Who ended it before its time.
    ended_by: Option<String>,
    /// When it was ended before its time.
    ended_at: Option<DateTime<Utc>>,
    /// May the caller end it?
    may_end: bool,
}

/// Silences.
#[derive(Serialize, ToSchema)]
struct SilenceList {
    /// The newest first.
    items: Vec<SilenceView>,
    /// How many there are, whatever the limit.
    total: usize,
}

/// Silences and maintenance windows that concern clusters the caller sees.
#[utoipa::path(get, path = "/api/v1/silences", tag = "silences", params(SilenceQuery), responses(
    (status = 200, description = "The silences", body = SilenceList), Always))]
async fn list_silences(
    State(api): State<ApiState>,
    seen: Seen,
    Params(query): Params<SilenceQuery>,
) -> Json<SilenceList> {
    let now = api.clock.wall();
    let about = query.cluster_id.map(|id| seen.get(id).ok());
    let sight = Sight::new(&seen);
    let mut found = Vec::new();
    for silence in api.silences.calendar().list().into_iter().rev() {
        let stands = query.state.is_empty() || query.state.contains(&silence.standing(now));
        let concerns = match &about {
            None => true,
            Some(entry) => entry.as_ref().is_some_and(|entry| silence.reaches(&entry.cluster)),
        };
        if stands && concerns && sight.admits(&silence) {
            found.push(silence);
        }
    }
    let total = found.len();
    found.truncate(query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(100));
    Json(SilenceList { items: found.iter().map(|silence| SilenceView::of(silence, &sight, now)).collect(), total })
}

/// One silence.
#[utoipa::path(get, path = "/api/v1/silences/{id}", tag = "silences", params(
    ("id" = Uuid, Path, description = "The silence's id")), responses(
    (status = 200, description = "The silence", body = SilenceView),
    (status = 404, description = "No such silence: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always))]
async fn get_silence(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<Json<SilenceView>, ApiError> {
    let silence = api.silence(id, &seen)?;
    Ok(Json(SilenceView::of(&silence, &Sight::new(&seen), api.clock.wall())))
}

/// Makes a silence. It mutes notifications about the clusters that it concerns and their outages count for nothing; checks,
/// states and events go on. It reaches no further than what its maker sees.
#[utoipa::path(post, path = "/api/v1/silences", tag = "silences", request_body = NewSilence, responses(
    (status = 201, description = "Made", body = SilenceView), Always, WithBody, NeedsStore))]
async fn create_silence(
    State(api): State<ApiState>,
    seen: Seen,
    _query: NoQuery,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let draft = given::draft(body, api.clock.wall(), &seen)?;
    let silence = api.silences.create(draft, &seen.origin).await?;
    tracing::info!(id = %silence.id, by = %seen.caller.id, "a silence was made");
    let view = SilenceView::of(&silence, &Sight::new(&seen), api.clock.wall());
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Ends a silence, at once and for good. It stays in the list for as long as the history that it marks.
#[utoipa::path(post, path = "/api/v1/silences/{id}/end", tag = "silences", params(
    ("id" = Uuid, Path, description = "The silence's id")), responses(
    (status = 200, description = "Ended", body = SilenceView),
    (status = 404, description = "No such silence, or it was ended before: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always, NeedsStore))]
async fn end_silence(
    State(api): State<ApiState>,
    seen: Seen,
    ObjectId(id): ObjectId,
    _query: NoQuery,
) -> Result<Json<SilenceView>, ApiError> {
    let silence = api.silence(id, &seen)?;
    if !Sight::new(&seen).may_end(&silence) {
        return Err(ApiError::permission_denied("The silence concerns clusters that you do not see"));
    }
    let ended = api.silences.end(silence.id, seen.caller.author(), &seen.origin).await.map_err(ApiError::of_reading)?;
    let ended = ended.ok_or_else(|| ApiError::not_found("The silence was ended before"))?;
    tracing::info!(id = %ended.id, by = %seen.caller.id, "a silence was ended");
    Ok(Json(SilenceView::of(&ended, &Sight::new(&seen), api.clock.wall())))
}

impl ApiState {
    fn silence(&self, id: Uuid, seen: &Seen) -> Result<Arc<Silence>, ApiError> {
        let found = self.silences.calendar().get(id).filter(|silence| Sight::new(seen).admits(silence));
        found.ok_or_else(|| ApiError::not_found("No such silence"))
    }
}

/// What a caller sees of silences: the clusters are looked up once for all of them.
struct Sight<'a> {
    seen: &'a Seen,
    clusters: Vec<Arc<Cluster>>,
}

impl<'a> Sight<'a> {
    fn new(seen: &'a Seen) -> Self {
        let mut clusters = Vec::new();
        seen.each(|entry| clusters.push(Arc::clone(&entry.cluster)));
        Self { seen, clusters }
    }

    /// May this silence be seen? Whoever sees a cluster sees what silences it.
    fn admits(&self, silence: &Silence) -> bool {
        let reaches = || self.clusters.iter().any(|cluster| silence.reaches(cluster));
        self.seen.is_everything() || self.made_alike(silence) || reaches()
    }

    /// May it be ended? Not by somebody who sees less than it concerns.
    fn may_end(&self, silence: &Silence) -> bool {
        let all_seen = || silence.cluster_ids.iter().all(|id| self.seen.get(*id).is_ok());
        let lists_only_seen = silence.label_selector.is_none() && all_seen();
        self.seen.is_everything() || self.made_alike(silence) || lists_only_seen
    }

    fn made_alike(&self, silence: &Silence) -> bool {
        silence.within == *self.seen.caller.scope
    }

    /// The clusters that the caller sees and it concerns.
    fn reached(&self, silence: &Silence) -> usize {
        self.clusters.iter().filter(|cluster| silence.reaches(cluster)).count()
    }
}

impl SilenceView {
    fn of(silence: &Silence, sight: &Sight<'_>, now: DateTime<Utc>) -> Self {
        let shown = |id: &&ClusterId| sight.seen.is_everything() || sight.seen.get(**id).is_ok();
        let standing = silence.standing(now);
        Self {
            id: silence.id,
            state: standing.as_str(),
            comment: silence.comment.clone(),
            label_selector: silence.label_selector.clone(),
            cluster_ids: silence.cluster_ids.iter().filter(shown).map(|id| id.0).collect(),
            clusters: if standing == Standing::Expired { 0 } else { sight.reached(silence) },
            starts_at: silence.schedule.first.from,
            ends_at: silence.schedule.first.to,
            rrule: silence.schedule.rrule.clone(),
            time_zone: silence.schedule.time_zone.clone(),
            current: silence.window_at(now).map(WindowView::from),
            next: silence.window_after(now).map(WindowView::from),
            created_by: silence.created_by.clone(),
            created_at: silence.created_at,
            ended_by: silence.ended_by.clone(),
            ended_at: silence.ended_at,
            may_end: standing != Standing::Expired && sight.may_end(silence),
        }
    }
}

impl From<SilenceError> for ApiError {
    fn from(error: SilenceError) -> Self {
        match error {
            SilenceError::Full => Self::invalid_field("comment", error.to_string()),
            SilenceError::Store(error) => Self::of_reading(error),
        }
    }
}
