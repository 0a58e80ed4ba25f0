//! The calendar: every silence in memory, asked for each event, each scrape and each view. What holds now is worked out once
//! for everybody who asks, until that changes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::Board,
    event::Event,
    roll::{Cluster, ClusterId},
};
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
        self.muted(at)(cluster)
    }

    /// [`Calendar::mutes`] of many clusters at one time.
    pub fn muted(&self, at: DateTime<Utc>) -> impl Fn(&Cluster) -> bool + use<> {
        let page = self.page(at);
        move |cluster| page.active.iter().any(|silence| silence.reaches(cluster))
    }

    /// The ids of the silences that muted the cluster of an event when it happened; none for the fleet as a whole and for a
    /// cluster that is not registered any more.
    pub fn muting_event(&self, event: &Event, board: &Board) -> Vec<Uuid> {
        if event.cluster_id == ClusterId::FLEET {
            return Vec::new();
        }
        let entry = board.get(event.cluster_id);
        entry.map(|entry| self.muting(&entry.cluster, event.timestamp)).unwrap_or_default()
    }

    /// When this cluster is heard of again that was silenced at a time; `None` when it was not.
    pub fn heard_again(&self, cluster: &Cluster, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let pages = self.pages.read();
        let reaching: Vec<_> = pages.silences.iter().filter(|silence| silence.reaches(cluster)).collect();
        let end = |at| reaching.iter().filter_map(|silence| silence.window_at(at)).map(|window| window.to).max();
        // What begins before the last one has ended goes on with it. A window ends after it held: this comes to an end.
        std::iter::successors(end(at), |at| end(*at)).last()
    }

    /// Does nothing end or begin from one time to a later one? Asked again and again for the present, it costs nothing.
    pub fn is_steady(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        let page = self.page(to);
        page.stretch.from <= from && page.holds(to)
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use fleetbeat_actors::testing;
    use proptest::prelude::*;

    use super::*;
    use crate::{silences::Standing, store::StoredSilence};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(1_800_000_000_000_000_000) + TimeDelta::minutes(minute)
    }

    fn silence(made: i64, from: i64, to: i64, rrule: Option<&str>, ended: Option<i64>) -> Silence {
        let stored = StoredSilence {
            id: Uuid::now_v7(),
            comment: "work".to_owned(),
            label_selector: Some("team=blue".to_owned()),
            cluster_ids: "[]".to_owned(),
            scope: r#"{"everything":true}"#.to_owned(),
            starts_at: at(from),
            ends_at: at(to),
            rrule: rrule.map(str::to_owned),
            time_zone: "Europe/Berlin".to_owned(),
            created_by: None,
            created_at: at(made),
            ended_by: None,
            ended_at: ended.map(at),
        };
        Silence::of_store(stored, at(made)).expect("a silence")
    }

    fn cluster(team: &str) -> Cluster {
        let mut cluster = testing::cluster("spoke");
        cluster.labels.insert("team".to_owned(), team.to_owned());
        cluster
    }

    #[test]
    fn it_mutes_whom_it_chooses_while_it_holds_and_nothing_before_it_was_made() {
        let calendar = Calendar::new(vec![silence(10, 0, 60, None, None)]);
        let mutes = |team: &str, minute| calendar.mutes(&cluster(team), at(minute));
        assert_eq!([5, 10, 59, 60].map(|minute| mutes("blue", minute)), [false, true, true, false]);
        assert!(!mutes("red", 30));
        let held = calendar.held(&cluster("blue"), Window { from: at(0), to: at(30) });
        assert_eq!(held.iter().map(|held| held.window).collect::<Vec<_>>(), [Window { from: at(10), to: at(30) }]);
    }

    #[test]
    fn an_ended_silence_stays_for_what_it_marked() {
        let known = silence(0, 0, 60, Some("FREQ=DAILY"), None);
        let ended = known.ended(at(20), Some("somebody".to_owned()));
        let calendar = Calendar::new(vec![known.clone()]);
        assert!(calendar.mutes(&cluster("blue"), at(30)) && calendar.mutes(&cluster("blue"), at(1_450)));
        calendar.put(Arc::new(ended.clone()));
        assert!(calendar.mutes(&cluster("blue"), at(10)) && !calendar.mutes(&cluster("blue"), at(30)));
        assert!(!calendar.mutes(&cluster("blue"), at(1_450)));
        assert_eq!((ended.standing(at(30)), ended.over_since(at(30))), (Standing::Expired, Some(at(20))));
        assert_eq!((known.standing(at(70)), known.over_since(at(70))), (Standing::Upcoming, None));
    }

    #[test]
    fn a_silence_ended_before_it_began_never_held() {
        let ended = silence(0, 100, 160, None, None).ended(at(50), None);
        assert!(ended.window_at(at(120)).is_none());
        assert_eq!((ended.standing(at(60)), ended.over_since(at(60))), (Standing::Expired, Some(at(50))));
    }

    proptest! {
        #[test]
        fn what_is_remembered_never_differs_from_what_is_so(
            silences in prop::collection::vec((0_i64..500, 0_i64..3_000, 1_i64..700, any::<bool>(), 0_i64..6_000), 0..8),
            questions in prop::collection::vec(0_i64..20_000, 1..60),
        ) {
            let silences: Vec<_> = silences.into_iter().map(|(made, from, length, daily, ended)| {
                let ended = (ended > 3_000).then_some(ended);
                silence(made, from, from + length, daily.then_some("FREQ=DAILY"), ended)
            }).collect();
            let calendar = Calendar::new(silences.clone());
            let blue = cluster("blue");
            for minute in questions {
                let plain = silences.iter().filter(|one| one.window_at(at(minute)).is_some()).map(|one| one.id);
                prop_assert_eq!(calendar.muting(&blue, at(minute)), plain.collect::<Vec<_>>());
                let held = calendar.held(&blue, Window { from: at(minute), to: at(minute + 1) });
                prop_assert_eq!(held.is_empty(), silences.iter().all(|one| {
                    one.window_at(at(minute)).is_none() && one.window_after(at(minute)).is_none_or(|next| next.from >= at(minute + 1))
                }));
            }
        }
    }
}
