//! Collects what a scrape tells from the board. What seldom changes is kept from one scrape to the next.

use std::{borrow::Cow, fmt::Write, iter::Peekable, mem, sync::Arc, time::Instant, vec};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::{Board, Entry},
    roll::Cluster,
};
use parking_lot::Mutex;

use super::{families::Facts, text::Exposition};
use crate::{
    credentials::{End, Foresight},
    silences::Calendar,
};

/// Collects the series of clusters. It keeps their labels as text: to read them from ten thousand places in memory and to
/// escape them would be most of the time of a scrape.
#[derive(Default)]
pub struct Collector {
    /// In the order of names.
    lines: Mutex<Vec<Line>>,
}

/// What is kept of a cluster.
struct Line {
    /// The metadata that this was made from.
    cluster: Arc<Cluster>,
    /// `{cluster="…",cluster_type="…",environment="…",region="…"`, escaped, not closed.
    labels: Box<str>,
    /// What of its access ends when, as known after so many changes.
    ends: Vec<End>,
    changes: u64,
}

impl Collector {
    /// A snapshot of the clusters on the board that are wanted, in the order of their names, with the silences that hold at a
    /// time of the wall clock.
    pub fn collect(
        &self,
        board: &Board,
        wanted: impl Fn(&Entry) -> bool,
        foresight: Option<&Foresight>,
        silences: Option<(&Calendar, DateTime<Utc>)>,
        now: Instant,
    ) -> Exposition {
        let silenced = silences.map(|(calendar, at)| calendar.muted(at));
        // Read first: what changes from now on is news for the next scrape.
        let changes = foresight.map_or(0, Foresight::changes);
        let mut exposition = Exposition::default();
        let mut lines = self.lines.lock();
        let mut known = mem::take(&mut *lines).into_iter().peekable();
        lines.reserve(board.len());
        board.each(|entry| {
            let mut line = next_of(&mut known, entry).unwrap_or_else(|| Line::of(entry, changes, foresight));
            line.renew(changes, foresight);
            if wanted(entry) {
                let silenced = silenced.as_ref().is_some_and(|silenced| silenced(&entry.cluster));
                exposition.add(Facts::of(entry, silenced, now), &line.labels, &line.ends);
            }
            lines.push(line);
        });
        exposition
    }
}

/// The line that was kept of a cluster, if it still holds; those of clusters before it are dropped.
fn next_of(known: &mut Peekable<vec::IntoIter<Line>>, entry: &Entry) -> Option<Line> {
    loop {
        let line = known.peek()?;
        if Arc::ptr_eq(&line.cluster, &entry.cluster) {
            return known.next();
        }
        if line.cluster.name > entry.cluster.name {
            return None;
        }
        known.next();
    }
}

impl Line {
    fn of(entry: &Entry, changes: u64, foresight: Option<&Foresight>) -> Self {
        let cluster = Arc::clone(&entry.cluster);
        let ends = foresight.map(|foresight| foresight.ends(&cluster)).unwrap_or_default();
        Self { labels: labels(&cluster).into(), cluster, ends, changes }
    }

    fn renew(&mut self, changes: u64, foresight: Option<&Foresight>) {
        if let Some(foresight) = foresight
            && self.changes != changes
        {
            (self.ends, self.changes) = (foresight.ends(&self.cluster), changes);
        }
    }
}

fn labels(cluster: &Cluster) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{{cluster=\"{}\",cluster_type=\"{}\",environment=\"{}\",region=\"{}\"",
        escaped(&cluster.name),
        cluster.cluster_type,
        cluster.environment,
        escaped(cluster.region.as_deref().unwrap_or_default()),
    );
    out
}

/// A label's value as the text format wants it.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fleetbeat_actors::{
        health::Status,
        testing::{cluster, instant},
    };

    use super::*;

    fn show(board: &Board, cluster: Cluster) {
        let status = Arc::new(Status::unknown(cluster.created_at));
        let fresh_for = Duration::from_secs(70);
        board.put(Entry { cluster: Arc::new(cluster), status, checked: instant(), fresh_for });
    }

    /// The labels of every cluster of a scrape, in order.
    fn told(collector: &Collector, board: &Board) -> Vec<String> {
        let text: Vec<u8> = collector.collect(board, |_| true, None, None, instant()).flatten().collect();
        let text = String::from_utf8(text).expect("text");
        let series = text.lines().filter_map(|line| line.strip_prefix("fleetbeat_cluster_up{"));
        series.map(|labels| labels.split_once('}').expect("labels").0.to_owned()).collect()
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn what_was_kept_of_the_last_scrape_never_shows_what_is_no_more() {
        let (collector, board) = (Collector::default(), Board::default());
        let [a, b, c] = ["a", "b", "c"].map(cluster);
        let expected = |clusters: &[&Cluster]| {
            let line = |cluster: &&Cluster| labels(cluster).trim_start_matches('{').to_owned();
            clusters.iter().map(line).collect::<Vec<_>>()
        };
        show(&board, b.clone());
        assert_eq!(told(&collector, &board), expected(&[&b]));
        // Others before and behind it.
        show(&board, a.clone());
        show(&board, c.clone());
        assert_eq!(told(&collector, &board), expected(&[&a, &b, &c]));
        // Another region, and one gone.
        let moved = Cluster { region: Some("moon".to_owned()), generation: b.generation + 1, ..b.clone() };
        board.describe(Arc::new(moved.clone()));
        board.remove(a.id);
        assert_eq!(told(&collector, &board), expected(&[&moved, &c]));
        // Another of the same name.
        board.remove(c.id);
        let other = Cluster { region: Some("mars".to_owned()), ..cluster("c") };
        show(&board, other.clone());
        assert_eq!(told(&collector, &board), expected(&[&moved, &other]));
    }
}
