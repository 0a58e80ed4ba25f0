//! Makes the text, a chunk at a time.

use std::{borrow::Cow, fmt::Write, time::Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{board::Board, board::Entry};

use super::families::{FAMILIES, Facts, Row};
use crate::{
    credentials::{End, Foresight},
    silences::Calendar,
};

/// A chunk is sent when it has grown to this size, in bytes.
const CHUNK: usize = 128 * 1024;

/// The per-cluster series of one scrape: an iterator over chunks of text. A snapshot of the board.
#[derive(Default)]
pub struct Exposition {
    rows: Vec<Row>,
    /// The labels of all rows, one behind the other.
    labels: String,
    ends: Vec<End>,
    family: usize,
    row: usize,
}

impl Exposition {
    /// The series of every cluster on the board, in the order of their names.
    pub fn of(board: &Board, foresight: Option<&Foresight>, now: Instant) -> Self {
        Self::marked(board, |_| true, foresight, None, now)
    }

    /// The same of the clusters that are wanted, with the silences that hold at a time of the wall clock.
    pub fn marked(
        board: &Board,
        wanted: impl Fn(&Entry) -> bool,
        foresight: Option<&Foresight>,
        silences: Option<(&Calendar, DateTime<Utc>)>,
        now: Instant,
    ) -> Self {
        let mut exposition = Self::default();
        board.each(|entry| {
            if wanted(entry) {
                let silenced = silences.is_some_and(|(calendar, at)| calendar.mutes(&entry.cluster, at));
                let ends = foresight.map(|foresight| foresight.ends(&entry.cluster)).unwrap_or_default();
                exposition.add(entry, Facts::of(entry, silenced, now), &ends);
            }
        });
        exposition
    }

    fn add(&mut self, entry: &Entry, facts: Facts, ends: &[End]) {
        let (labels_from, ends_from) = (self.labels.len(), self.ends.len());
        write_labels(&mut self.labels, entry);
        self.ends.extend_from_slice(ends);
        let (labels, ends) = (labels_from..self.labels.len(), ends_from..self.ends.len());
        self.rows.push(Row { facts, labels, ends });
    }
}

impl Iterator for Exposition {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = String::with_capacity(CHUNK + 1_024);
        while out.len() < CHUNK
            && let Some(family) = FAMILIES.get(self.family)
        {
            if self.row == 0 {
                family.head(&mut out);
            }
            match self.rows.get(self.row) {
                Some(row) => {
                    family.write(&mut out, &row.facts, &self.labels[row.labels.clone()], &self.ends[row.ends.clone()]);
                    self.row += 1;
                }
                None => (self.family, self.row) = (self.family + 1, 0),
            }
        }
        (!out.is_empty()).then(|| out.into())
    }
}

fn write_labels(out: &mut String, entry: &Entry) {
    let cluster = &entry.cluster;
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{{cluster=\"{}\",cluster_type=\"{}\",environment=\"{}\",region=\"{}\"",
        escaped(&cluster.name),
        cluster.cluster_type,
        cluster.environment,
        escaped(cluster.region.as_deref().unwrap_or_default()),
    );
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
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn an_empty_fleet_has_heads_only() {
        let now = tokio::time::Instant::now().into_std();
        let text: Vec<u8> = Exposition::of(&Board::default(), None, now).flatten().collect();
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), FAMILIES.len());
        assert!(text.lines().all(|line| line.starts_with('#')));
    }
}
