//! A silence: which clusters, when, why, by whom. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::{Cluster, ClusterId};
use uuid::Uuid;

use super::schedule::{HORIZON, Schedule};
use crate::{history::Window, identity::Scope, store::StoredSilence};

/// A silence to be made.
#[derive(Clone, Debug)]
pub struct SilenceDraft {
    /// Why.
    pub comment: String,
    /// Clusters whose labels match …
    pub label_selector: Option<String>,
    /// … and these clusters. At least one of the two says something.
    pub cluster_ids: BTreeSet<ClusterId>,
    /// When.
    pub schedule: Schedule,
    /// Which clusters its maker sees: it reaches no further.
    pub within: Scope,
    /// Who makes it.
    pub created_by: Option<String>,
}

/// How a silence stands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Active,
    /// It will hold.
    Upcoming,
    /// It never holds any more.
    Expired,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Upcoming, Self::Expired];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Upcoming => "upcoming",
            Self::Expired => "expired",
        }
    }
}

impl std::str::FromStr for Standing {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|standing| standing.as_str() == text);
        known.ok_or("must be one of active, upcoming, expired")
    }
}

/// A silence.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Its id.
    pub id: Uuid,
    /// Why.
    pub comment: String,
    /// Clusters whose labels match.
    pub label_selector: Option<String>,
    /// These clusters.
    pub cluster_ids: BTreeSet<ClusterId>,
    /// When.
    pub schedule: Schedule,
    /// Which clusters its maker could see.
    pub within: Scope,
    /// Who made it.
    pub created_by: Option<String>,
    /// When: nothing before is marked.
    pub created_at: DateTime<Utc>,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
    /// When.
    pub ended_at: Option<DateTime<Utc>>,
    chosen: Scope,
    /// When it held and will hold, up to the horizon.
    windows: Vec<Window>,
}

impl Silence {
    /// Understands a stored one; `now` says how far ahead its windows are worked out.
    ///
    /// # Errors
    /// In words, what cannot be understood.
    pub fn of_store(stored: StoredSilence, now: DateTime<Utc>) -> Result<Self, String> {
        let first = Window { from: stored.starts_at, to: stored.ends_at };
        let schedule = Schedule::read(first, stored.rrule, stored.time_zone).map_err(|wrong| wrong.to_string())?;
        let within = serde_json::from_str(&stored.scope).map_err(|error| error.to_string())?;
        let ids: Vec<Uuid> = serde_json::from_str(&stored.cluster_ids).map_err(|error| error.to_string())?;
        let cluster_ids: BTreeSet<_> = ids.into_iter().map(ClusterId).collect();
        let mut chosen = vec![Scope::Clusters(cluster_ids.clone())];
        if let Some(selector) = &stored.label_selector {
            chosen.push(Scope::labels(selector.clone())?);
        }
        let silence = Self {
            id: stored.id,
            comment: stored.comment,
            label_selector: stored.label_selector,
            cluster_ids,
            schedule,
            within: Scope::read(&within)?,
            created_by: stored.created_by,
            created_at: stored.created_at,
            ended_by: stored.ended_by,
            ended_at: stored.ended_at,
            chosen: Scope::any(chosen),
            windows: Vec::new(),
        };
        Ok(silence.seen_from(now))
    }

    /// The same with its windows worked out from `now` on.
    #[must_use]
    pub fn seen_from(self, now: DateTime<Utc>) -> Self {
        let end = self.ended_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let until = end.min(now.max(self.schedule.first.from) + HORIZON);
        let whole = self.schedule.windows(Window { from: self.created_at, to: until });
        let cut = |window: Window| Window { from: window.from.max(self.created_at), to: window.to.min(end) };
        Self { windows: whole.into_iter().map(cut).filter(|window| window.from < window.to).collect(), ..self }
    }

    /// The same, ended by somebody.
    #[must_use]
    pub fn ended(&self, at: DateTime<Utc>, by: Option<String>) -> Self {
        Self { ended_at: Some(at), ended_by: by, ..self.clone() }.seen_from(at)
    }

    /// Does it concern this cluster, whenever it holds?
    pub fn reaches(&self, cluster: &Cluster) -> bool {
        self.chosen.admits(cluster) && self.within.admits(cluster)
    }

    /// The window that holds at a time.
    pub fn window_at(&self, at: DateTime<Utc>) -> Option<Window> {
        let next = self.windows.partition_point(|window| window.to <= at);
        self.windows.get(next).copied().filter(|window| window.from <= at)
    }

    /// The first window that begins after a time.
    pub fn window_after(&self, at: DateTime<Utc>) -> Option<Window> {
        let next = self.windows.partition_point(|window| window.from <= at);
        self.windows.get(next).copied()
    }

    /// The windows that overlap a stretch of time, as far as they are inside of it.
    pub fn windows_in(&self, stretch: Window) -> impl Iterator<Item = Window> {
        let from = self.windows.partition_point(|window| window.to <= stretch.from);
        let inside = self.windows[from..].iter().take_while(move |window| window.from < stretch.to);
        inside.map(move |window| Window { from: window.from.max(stretch.from), to: window.to.min(stretch.to) })
    }

    /// How it stands at a time.
    pub fn standing(&self, at: DateTime<Utc>) -> Standing {
        if self.window_at(at).is_some() {
            Standing::Active
        } else if self.window_after(at).is_some() || (self.ended_at.is_none() && self.schedule.is_endless()) {
            Standing::Upcoming
        } else {
            Standing::Expired
        }
    }

    /// When it last held, if it never holds again after `at`.
    pub fn over_since(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let last = self.windows.last().map_or(self.ended_at.unwrap_or(self.created_at), |window| window.to);
        (self.standing(at) == Standing::Expired).then_some(last)
    }

    /// When that which it says of its standing changes next.
    pub fn changes_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let end = self.window_at(at).map(|window| window.to);
        end.or_else(|| self.window_after(at).map(|window| window.from))
    }
}
