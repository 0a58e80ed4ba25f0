//! The public status page: names, whether they work, and how much they did of late, of the clusters that were chosen for it.
//! Nothing else of them is told, and nothing of any other.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use fleetbeat_actors::{
    board::Entry,
    health::State as Health,
    ports::StoreError,
    roll::{Cluster, ClusterId},
};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{ApiState, access::Routes, error::ApiError, query::NoQuery, schema::Always, view::Now};
use crate::{
    history::{Window, account},
    selector::Selector,
};

/// Days of uptime that the page shows, today among them.
const DAYS: u64 = 30;
/// Most clusters of the page, the first ones by name.
const MAX_CLUSTERS: usize = 200;
/// How long uptimes are told again before they are added up anew: everybody may ask.
const UPTIMES_LAST: Duration = Duration::from_secs(60);

/// The page, where there is one.
pub struct StatusPage {
    title: String,
    selector: Selector,
    known: Mutex<Known>,
}

/// Uptimes as they were added up last.
#[derive(Default)]
struct Known {
    at: Option<Instant>,
    pasts: HashMap<ClusterId, Past>,
}

#[derive(Clone, Default)]
struct Past {
    uptime_percent: Option<f64>,
    days: Vec<Option<f64>>,
}

impl StatusPage {
    /// A page of the clusters whose labels match.
    pub fn new(title: String, selector: Selector) -> Self {
        Self { title, selector, known: Mutex::default() }
    }
}

/// The route.
pub fn routes() -> Routes {
    Routes::new().open(routes!(status_page))
}

/// What everybody may know.
#[derive(Serialize, ToSchema)]
struct PublicStatus {
    /// Title of the page.
    title: String,
    /// When this was true.
    at: DateTime<Utc>,
    /// The clusters, by name; at most 200.
    clusters: Vec<PublicCluster>,
}

/// What everybody may know of a cluster.
#[derive(Serialize, ToSchema)]
struct PublicCluster {
    /// Its name for people, where it has one.
    name: String,
    /// `operational`, `degraded`, `outage`, or `unknown` while nothing fresh is known.
    #[schema(value_type = String)]
    state: &'static str,
    /// Up, percent of the observed time of the days.
    uptime_percent: Option<f64>,
    /// The same by day of UTC, the oldest first and today last; null where nothing was observed.
    days: Vec<Option<f64>>,
}

/// The public status page, where one is set up: for everybody, without credentials.
#[utoipa::path(get, path = "/api/v1/status-page", tag = "health", responses(
    (status = 200, description = "The clusters that were chosen for it", body = PublicStatus),
    (status = 404, description = "There is none: NOT_FOUND", body = super::error::ErrorEnvelope),
    Always))]
async fn status_page(State(api): State<ApiState>, _query: NoQuery) -> Result<Json<PublicStatus>, ApiError> {
    let Some(page) = &api.status_page else { return Err(ApiError::not_found("There is no status page here")) };
    let now = api.now();
    let mut chosen = Vec::new();
    api.board.each(|entry| {
        if chosen.len() < MAX_CLUSTERS && page.selector.matches(&entry.cluster.labels) {
            chosen.push(entry.clone());
        }
    });
    let mut pasts = api.pasts(page, &chosen).await;
    let clusters = chosen.iter().map(|entry| {
        let Past { uptime_percent, days } = pasts.remove(&entry.cluster.id).unwrap_or_default();
        PublicCluster { name: name(&entry.cluster), state: word(entry, now), uptime_percent, days }
    });
    Ok(Json(PublicStatus { title: page.title.clone(), at: now.wall, clusters: clusters.collect() }))
}

fn name(cluster: &Cluster) -> String {
    cluster.display_name.clone().unwrap_or_else(|| cluster.name.clone())
}

fn word(entry: &Entry, now: Now<'_>) -> &'static str {
    match entry.status.state {
        _ if entry.is_stale(now.instant) => "unknown",
        Health::Online => "operational",
        Health::Degraded => "degraded",
        Health::Offline => "outage",
        Health::Unknown => "unknown",
    }
}

impl ApiState {
    /// Uptimes, added up at most once a minute. While the store is away, those known last are told.
    async fn pasts(&self, page: &StatusPage, chosen: &[Entry]) -> HashMap<ClusterId, Past> {
        let mut known = page.known.lock().await;
        let now = self.now();
        let fresh = known.at.is_some_and(|at| now.instant.saturating_duration_since(at) < UPTIMES_LAST);
        let missing = chosen.iter().any(|entry| !known.pasts.contains_key(&entry.cluster.id));
        if !fresh || (missing && known.pasts.is_empty()) {
            known.at = Some(now.instant);
            match self.add_up(chosen).await {
                Ok(pasts) => known.pasts = pasts,
                Err(error) => tracing::warn!(%error, "uptimes of the status page could not be read"),
            }
        }
        known.pasts.clone()
    }

    async fn add_up(&self, chosen: &[Entry]) -> Result<HashMap<ClusterId, Past>, StoreError> {
        let mut pasts = HashMap::with_capacity(chosen.len());
        for entry in chosen {
            pasts.insert(entry.cluster.id, self.past(entry, self.now()).await?);
        }
        Ok(pasts)
    }

    async fn past(&self, entry: &Entry, now: Now<'_>) -> Result<Past, StoreError> {
        let days = days(now.wall);
        let begin = days.first().map_or(now.wall, |day| day.from);
        let mut window = Window { from: begin.max(entry.cluster.created_at).min(now.wall), to: now.wall };
        let course = self.course(entry, &mut window, now).await?;
        let percent = |part: Window| {
            let part = Window { from: part.from.max(window.from), to: part.to.min(window.to) };
            let spent = (part.from < part.to).then(|| account(part, &course))?;
            spent.percent(spent.up + spent.degraded)
        };
        Ok(Past { uptime_percent: percent(window), days: days.into_iter().map(percent).collect() })
    }
}

/// The days of the page, the oldest first.
fn days(now: DateTime<Utc>) -> Vec<Window> {
    let midnight = |ago| (now.date_naive() - Days::new(ago)).and_time(NaiveTime::MIN).and_utc();
    let day = |ago| Window { from: midnight(ago), to: midnight(ago) + TimeDelta::days(1) };
    (0..DAYS).rev().map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_follow_each_other_and_end_with_today() {
        let now: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        let days = days(now);
        assert_eq!(days.len(), 30);
        assert!(days.windows(2).all(|pair| pair[0].to == pair[1].from));
        assert_eq!(days[29].from, "2026-03-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(days[28].from, "2026-02-28T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    }
}
