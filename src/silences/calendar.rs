//! The calendar: every silence in memory, asked for each event, each scrape and each view. What holds now is worked out once
//! for everybody who asks, until that changes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::Cluster;
use parking_lot::RwLock;
use uuid::Uuid;

use super::silence::Silence;
use crate::history::Window;

/// Every silence.
#[derive(Debug, Default)]
pub struct Calendar {
    pages: RwLock<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// The oldest first.
    silences: Vec<Arc<Silence>>,
    today: Arc<Page>,
}

/// What holds during a stretch of time in which nothing begins or ends.
#[derive(Debug)]
struct Page {
    stretch: Window,
    active: Vec<Arc<Silence>>,
}

impl Default for Page {
    fn default() -> Self {
        let never = DateTime::<Utc>::MIN_UTC;
        Self { stretch: Window { from: never, to: never }, active: Vec::new() }
    }
}

impl Page {
    fn holds(&self, at: DateTime<Utc>) -> bool {
        self.stretch.from <= at && at < self.stretch.to
    }

    fn of(silences: &[Arc<Silence>], at: DateTime<Utc>) -> Self {
        let changes = silences.iter().filter_map(|silence| silence.changes_after(at)).min();
        let active = silences.iter().filter(|silence| silence.window_at(at).is_some()).cloned().collect();
        Self { stretch: Window { from: at, to: changes.unwrap_or(DateTime::<Utc>::MAX_UTC) }, active }
    }
}

/// A stretch of time in which a cluster was silenced, and by what.
#[derive(Clone, Debug)]
pub struct Held {
    /// When.
    pub window: Window,
    /// By what.
    pub silence: Arc<Silence>,
}

impl Calendar {
    /// A calendar with these silences.
    pub fn new(silences: Vec<Silence>) -> Self {
        let calendar = Self::default();
        calendar.replace(silences.into_iter().map(Arc::new).collect());
        calendar
    }

    /// The ids of the silences that mute this cluster at a time, the oldest first. Empty: say what there is to say.
    pub fn muting(&self, cluster: &Cluster, at: DateTime<Utc>) -> Vec<Uuid> {
        let page = self.page(at);
        page.active.iter().filter(|silence| silence.reaches(cluster)).map(|silence| silence.id).collect()
    }

    /// Is this cluster silenced at a time?
    pub fn mutes(&self, cluster: &Cluster, at: DateTime<Utc>) -> bool {
        self.page(at).active.iter().any(|silence| silence.reaches(cluster))
    }

    /// The silences that hold at a time, the oldest first, whomever they concern.
    pub fn active(&self, at: DateTime<Utc>) -> Vec<Arc<Silence>> {
        self.page(at).active.clone()
    }

    /// When this cluster was silenced within a stretch of time, and by what: in order of their beginnings, overlapping or not.
    pub fn held(&self, cluster: &Cluster, stretch: Window) -> Vec<Held> {
        let mut held = Vec::new();
        for silence in self.pages.read().silences.iter().filter(|silence| silence.reaches(cluster)) {
            held.extend(silence.windows_in(stretch).map(|window| Held { window, silence: Arc::clone(silence) }));
        }
        held.sort_by_key(|held| held.window.from);
        held
    }

    /// One silence.
    pub fn get(&self, id: Uuid) -> Option<Arc<Silence>> {
        self.pages.read().silences.iter().find(|silence| silence.id == id).cloned()
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> Vec<Arc<Silence>> {
        self.pages.read().silences.clone()
    }

    /// These and no others.
    pub(super) fn replace(&self, silences: Vec<Arc<Silence>>) {
        *self.pages.write() = Pages { silences, today: Arc::default() };
    }

    /// One more, or another version of a known one.
    pub(super) fn put(&self, silence: Arc<Silence>) {
        let mut pages = self.pages.write();
        match pages.silences.iter_mut().find(|known| known.id == silence.id) {
            Some(known) => *known = silence,
            None => pages.silences.push(silence),
        }
        pages.today = Arc::default();
    }

    /// What holds at a time. The newest question is remembered, so that those of the same stretch cost nothing.
    fn page(&self, at: DateTime<Utc>) -> Arc<Page> {
        let pages = self.pages.read();
        if pages.today.holds(at) {
            return Arc::clone(&pages.today);
        }
        let page = Arc::new(Page::of(&pages.silences, at));
        let (is_later, known) = (at >= pages.today.stretch.to, Arc::clone(&pages.today));
        drop(pages);
        if !is_later {
            // Somebody asks about the past: the present stays at hand.
            return page;
        }
        let mut pages = self.pages.write();
        // Not if a silence was made or ended meanwhile.
        if Arc::ptr_eq(&pages.today, &known) {
            pages.today = Arc::clone(&page);
        }
        page
    }
}
