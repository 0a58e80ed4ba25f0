//! Whether the log is whole in itself: `sequence` without gaps, every change beginning where the one before it ended.

use std::collections::{HashMap, HashSet};

use super::record::{Record, Shown};
use crate::clock::wall_text;

/// What is wrong with a log in itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Missing or repeated numbers of `sequence`, over all clusters.
    pub gaps: u64,
    /// Changes whose `old_state` is not the `new_state` before, or which change nothing.
    pub broken_links: u64,
    /// Events whose id occurred before.
    pub repeated_ids: u64,
    /// Events whose `position` is not above the one before.
    pub position_disorder: u64,
    /// The broken links in words.
    pub told: Vec<String>,
}

/// Looks through a log in its order. `whole` says that it begins with the first event there ever was.
pub fn inspect(log: &[Record], whole: bool) -> Chain {
    let mut chain = Chain::default();
    let mut ids = HashSet::new();
    let mut sequences: HashMap<&str, i64> = HashMap::new();
    let mut states: HashMap<&str, Shown> = HashMap::new();
    let mut position = i64::MIN;
    for record in log {
        chain.repeated_ids += u64::from(!ids.insert(record.event_id.as_str()));
        chain.position_disorder += u64::from(record.position <= position);
        position = record.position;
        let last = sequences.insert(&record.cluster_id, record.sequence);
        let expected = last.map(|last| last + 1).or(whole.then_some(1));
        chain.gaps += u64::from(expected.is_some_and(|expected| expected != record.sequence));
        if let Some(change) = &record.change {
            let before = states.insert(&record.cluster_id, change.new).or(whole.then_some(Shown::Unknown));
            let broken = change.old == change.new || before.is_some_and(|before| before != change.old);
            if broken {
                chain.broken_links += 1;
                let (name, at, sequence) = (&change.cluster, wall_text(record.at), record.sequence);
                let (old, new, why) = (change.old, change.new, &change.why);
                chain.told.push(format!("{name}: {old:?} to {new:?} at {at} ({sequence}, {why}) follows {before:?}"));
            }
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::super::sample::{changed, record};
    use super::*;

    #[test]
    fn a_whole_log_has_no_faults() {
        let log = [
            record("a", 1),
            changed("a", 2, 0, Shown::Unknown, Shown::Online),
            record("b", 1),
            changed("a", 3, 0, Shown::Online, Shown::Offline),
        ];
        let log: Vec<Record> = numbered(log);
        assert_eq!(inspect(&log, true), Chain::default());
    }

    #[test]
    fn gaps_repetitions_and_broken_links_are_counted() {
        let log = [
            record("a", 1),
            changed("a", 3, 0, Shown::Unknown, Shown::Online),
            changed("a", 4, 0, Shown::Degraded, Shown::Offline),
            record("a", 4),
        ];
        let found = inspect(&numbered(log), true);
        assert_eq!((found.gaps, found.broken_links, found.repeated_ids), (2, 1, 1));
    }

    #[test]
    fn a_log_that_begins_in_the_middle_may_begin_anywhere() {
        let log = numbered([changed("a", 7, 0, Shown::Online, Shown::Offline), record("a", 8)]);
        assert_eq!(inspect(&log, false), Chain::default());
        assert_eq!(inspect(&log, true).gaps, 1);
    }

    fn numbered<const N: usize>(log: [Record; N]) -> Vec<Record> {
        log.into_iter().zip(1..).map(|(record, position)| Record { position, ..record }).collect()
    }
}
