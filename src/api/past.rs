//! A cluster's past: its transitions and rollups, and its uptime.

use std::{collections::BTreeMap, str::FromStr};

use axum::{Json, extract::State};
use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{board::Entry, health::State as Health, rollup::Rollup};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    extract::Id,
    query::{FromParameters, Parameters, Params},
    schema::{self, Always, NeedsStore, OneCluster},
    view::Now,
};
use crate::{
    history::{Account, Course, Step, Window, account},
    silences::Held,
    store::StoredTransition,
};

/// Longest window, days: as long as transitions are kept.
const MAX_DAYS: i64 = 90;
/// Most transitions that one uptime is made from.
const MAX_STEPS: u32 = 20_000;

/// The routes.
pub fn routes() -> Routes {
    Routes::new().viewer(routes!(cluster_history)).viewer(routes!(cluster_uptime))
}

/// Which part of the past.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// From (default: 24 hours before `to`).
    from: Option<DateTime<Utc>>,
    /// To (default: now).
    to: Option<DateTime<Utc>>,
    /// Most transitions, the newest first (default 100).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

impl FromParameters for HistoryQuery {
    fn read(parameters: &mut Parameters) -> Self {
        Self { from: parameters.time("from"), to: parameters.time("to"), limit: parameters.integer("limit", 1, 1_000) }
    }
}

impl HistoryQuery {
    fn window(&self, now: DateTime<Utc>) -> Result<Window, ApiError> {
        let to = self.to.unwrap_or(now);
        let from = self.from.unwrap_or(to - TimeDelta::days(1));
        if from >= to {
            return Err(ApiError::invalid_field("from", "must be before to"));
        }
        Ok(Window { from, to })
    }
}

/// A stretch of a cluster's past.
#[derive(Serialize, ToSchema)]
struct History {
    /// The cluster.
    cluster_id: Uuid,
    /// From.
    from: DateTime<Utc>,
    /// To.
    to: DateTime<Utc>,
    /// Changes of state, the newest first.
    transitions: Vec<TransitionView>,
    /// Are there more transitions than the limit lets through?
    truncated: bool,
    /// Checks by five minutes, the oldest first.
    rollups: Vec<RollupView>,
    /// When the cluster was silenced, as far as it is inside, the oldest first.
    silences: Vec<HeldView>,
}

/// When a silence held.
#[derive(Serialize, ToSchema)]
#[schema(as = SilencedWindow)]
struct HeldView {
    /// The silence.
    silence_id: Uuid,
    /// Why.
    comment: String,
    /// From …
    from: DateTime<Utc>,
    /// … to.
    to: DateTime<Utc>,
}

impl From<Held> for HeldView {
    fn from(held: Held) -> Self {
        let (silence, window) = (held.silence, held.window);
        Self { silence_id: silence.id, comment: silence.comment.clone(), from: window.from, to: window.to }
    }
}

/// A change of state.
#[derive(Serialize, ToSchema)]
#[schema(as = Transition)]
struct TransitionView {
    /// Id of the event that told of it.
    event_id: Uuid,
    /// From.
    #[schema(schema_with = schema::state)]
    old_state: Health,
    /// To.
    #[schema(schema_with = schema::state)]
    new_state: Health,
    /// When.
    at: DateTime<Utc>,
    /// The deciding cause, or `recovered`.
    reason: String,
    /// In words.
    message: Option<String>,
    /// Score in the new state.
    health_score: u8,
    /// What convinced the engine.
    #[schema(value_type = Object)]
    evidence: serde_json::Value,
    /// Silences that held then: nobody was notified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    silenced_by: Vec<Uuid>,
}

impl TransitionView {
    fn of(stored: StoredTransition, silenced_by: Vec<Uuid>) -> Self {
        Self {
            silenced_by,
            event_id: stored.event_id,
            old_state: stored.old_state,
            new_state: stored.new_state,
            at: stored.at,
            reason: stored.reason,
            message: stored.message,
            health_score: stored.health_score,
            evidence: serde_json::to_value(stored.evidence).unwrap_or_default(),
        }
    }
}

/// The checks of five minutes.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Rollup)]
struct RollupView {
    /// Start of the five minutes.
    start: DateTime<Utc>,
    /// Checks that ran.
    checks: u32,
    /// Checks whose API-server probe failed.
    failures: u32,
    /// Shortest API-server probe, milliseconds.
    latency_min_ms: u32,
    /// Mean.
    latency_mean_ms: f64,
    /// Longest.
    latency_max_ms: u32,
    /// 95th percentile (the larger one, when several runs of the process share the window).
    latency_p95_ms: u32,
}

/// One view a window: what several runs of the process saw of it, added up.
fn added_up(rollups: Vec<Rollup>) -> Vec<RollupView> {
    let mut windows: BTreeMap<DateTime<Utc>, RollupView> = BTreeMap::new();
    for one in rollups {
        let view = RollupView {
            start: one.start,
            checks: one.checks,
            failures: one.failures,
            latency_min_ms: one.latency_min_ms,
            latency_mean_ms: one.latency_mean_ms,
            latency_max_ms: one.latency_max_ms,
            latency_p95_ms: one.latency_p95_ms,
        };
        windows.entry(one.start).and_modify(|known| known.add(&view)).or_insert(view);
    }
    windows.into_values().collect()
}

impl RollupView {
    fn add(&mut self, other: &Self) {
        let (own, new) = (f64::from(self.checks), f64::from(other.checks));
        if own + new > 0.0 {
            self.latency_mean_ms = (self.latency_mean_ms * own + other.latency_mean_ms * new) / (own + new);
        }
        self.checks += other.checks;
        self.failures += other.failures;
        self.latency_min_ms = self.latency_min_ms.min(other.latency_min_ms);
        self.latency_max_ms = self.latency_max_ms.max(other.latency_max_ms);
        self.latency_p95_ms = self.latency_p95_ms.max(other.latency_p95_ms);
    }
}

/// A cluster's transitions and rollups.
#[utoipa::path(get, path = "/api/v1/clusters/{id}/history", tag = "history", params(
    ("id" = Uuid, Path, description = "Cluster id"), HistoryQuery), responses(
    (status = 200, description = "Its past", body = History), Always, OneCluster, NeedsStore))]
async fn cluster_history(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let entry = seen.get(id)?;
    let Window { from, to } = query.window(api.now().wall)?;
    let limit = query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(100);
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut transitions = api.store.transitions(id, from, to, asked).await.map_err(ApiError::of_reading)?;
    let rollups = api.store.rollups(id, from, to).await.map_err(ApiError::of_reading)?;
    let truncated = transitions.len() > limit;
    transitions.truncate(limit);
    let calendar = api.silences.calendar();
    let marked = |stored: StoredTransition| {
        let silenced_by = calendar.muting(&entry.cluster, stored.at);
        TransitionView::of(stored, silenced_by)
    };
    let transitions = transitions.into_iter().map(marked).collect();
    let silences = calendar.held(&entry.cluster, Window { from, to }).into_iter().map(HeldView::from).collect();
    Ok(Json(History { cluster_id: id.0, from, to, transitions, truncated, rollups: added_up(rollups), silences }))
}

/// Length of a window: `30m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug)]
struct Length(TimeDelta);

impl FromStr for Length {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must be a length like 30m, 24h or 7d, from one minute to 90 days";
        let number = text.get(..text.len().saturating_sub(1)).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let number: i64 = number.and_then(|number| number.parse().ok()).ok_or(wrong)?;
        let minutes = match text.as_bytes().last() {
            Some(b'm') => number,
            Some(b'h') => number.saturating_mul(60),
            Some(b'd') => number.saturating_mul(1_440),
            _ => return Err(wrong),
        };
        let sane = (1..=MAX_DAYS * 1_440).contains(&minutes);
        if sane { Ok(Self(TimeDelta::minutes(minutes))) } else { Err(wrong) }
    }
}

/// Which window.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UptimeQuery {
    /// Length of the window that ends now: `30m`, `24h` (default), `7d`, at most 90 days.
    #[param(schema_with = schema::length, required = false, example = "24h")]
    window: Length,
}

impl FromParameters for UptimeQuery {
    fn read(parameters: &mut Parameters) -> Self {
        Self { window: parameters.parsed("window").unwrap_or(Length(TimeDelta::days(1))) }
    }
}

/// What a window was spent in.
#[derive(Serialize, ToSchema)]
struct Uptime {
    /// The cluster.
    cluster_id: Uuid,
    /// From: the beginning of the window, or when the cluster was registered.
    from: DateTime<Utc>,
    /// To: now.
    to: DateTime<Utc>,
    /// Its state now.
    #[schema(schema_with = schema::state)]
    state: Health,
    /// Seconds ONLINE.
    up_seconds: f64,
    /// Seconds DEGRADED.
    degraded_seconds: f64,
    /// Seconds OFFLINE.
    down_seconds: f64,
    /// Seconds in which nobody looked: before the first check, while the monitor was stopped, stalled or held.
    unobserved_seconds: f64,
    /// Seconds of maintenance: under a silence, whatever the cluster was in. They count for nothing else.
    excluded_seconds: f64,
    /// Up and degraded as a share of the observed time; null when nothing was observed.
    availability_percent: Option<f64>,
    /// ONLINE, percent of the observed time.
    up_percent: Option<f64>,
    /// DEGRADED, percent of the observed time.
    degraded_percent: Option<f64>,
    /// OFFLINE, percent of the observed time.
    down_percent: Option<f64>,
    /// Observed, percent of the window less its maintenance.
    observed_percent: f64,
    /// How often it went OFFLINE, but for what began and ended under maintenance.
    outages: usize,
}

/// How much of a window a cluster was up. Time in which nobody looked counts neither as up nor as down, and neither does
/// maintenance.
#[utoipa::path(get, path = "/api/v1/clusters/{id}/uptime", tag = "history", params(
    ("id" = Uuid, Path, description = "Cluster id"), UptimeQuery), responses(
    (status = 200, description = "Its uptime", body = Uptime), Always, OneCluster, NeedsStore))]
async fn cluster_uptime(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    Params(query): Params<UptimeQuery>,
) -> Result<Json<Uptime>, ApiError> {
    let entry = seen.get(id)?;
    let now = api.now();
    let from = (now.wall - query.window.0).max(entry.cluster.created_at).min(now.wall);
    let mut window = Window { from, to: now.wall };
    let course = api.course(&entry, &mut window, now).await.map_err(ApiError::of_reading)?;
    Ok(Json(Uptime::of(&entry, window, account(window, &course))))
}

impl ApiState {
    /// What is known of a cluster's course through a window. The board knows changes that the store has not yet.
    pub(super) async fn course(
        &self,
        entry: &Entry,
        window: &mut Window,
        now: Now<'_>,
    ) -> Result<Course, fleetbeat_actors::ports::StoreError> {
        let id = entry.cluster.id;
        let stored = self.store.transitions(id, window.from, window.to, MAX_STEPS).await?;
        if let Some(oldest) = stored.last().filter(|_| stored.len() == MAX_STEPS as usize) {
            window.from = oldest.at;
        }
        let initial = match stored.last() {
            Some(first) => Some(first.old_state),
            None => self.store.transition_before(id, window.from).await?.map(|before| before.new_state),
        };
        let mut steps: Vec<_> = stored.iter().map(|one| Step { at: one.at, state: one.new_state }).collect();
        let status = &entry.status;
        steps.push(Step { at: status.since, state: status.state });
        let gaps = self.store.gaps(id, window.from, window.to).await?;
        let mut gaps: Vec<_> = gaps.into_iter().map(|gap| Window { from: gap.from, to: gap.to }).collect();
        if entry.is_stale(now.instant) {
            gaps.push(Window { from: status.last_check_at.unwrap_or(status.since), to: window.to });
        }
        let held = self.silences.calendar().held(&entry.cluster, *window);
        let excluded = held.into_iter().map(|held| held.window).collect();
        Ok(Course { initial, steps, gaps, excluded })
    }
}

impl Uptime {
    fn of(entry: &Entry, window: Window, spent: Account) -> Self {
        let seconds = |time: TimeDelta| time.num_milliseconds() as f64 / 1_000.0;
        let length = (window.to - window.from - spent.excluded).num_milliseconds().max(1) as f64;
        Self {
            cluster_id: entry.cluster.id.0,
            from: window.from,
            to: window.to,
            state: entry.status.state,
            up_seconds: seconds(spent.up),
            degraded_seconds: seconds(spent.degraded),
            down_seconds: seconds(spent.down),
            unobserved_seconds: seconds(spent.unobserved),
            excluded_seconds: seconds(spent.excluded),
            availability_percent: spent.percent(spent.up + spent.degraded),
            up_percent: spent.percent(spent.up),
            degraded_percent: spent.percent(spent.degraded),
            down_percent: spent.percent(spent.down),
            observed_percent: spent.observed().num_milliseconds() as f64 * 100.0 / length,
            outages: spent.outages,
        }
    }
}
