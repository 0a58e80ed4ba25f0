//! Whether a follower received what the log holds: nothing lost, nothing else, in order per cluster.

use std::collections::{HashMap, HashSet};

use super::record::{Received, Record};

/// What one follower received, compared with the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Events received, duplicates left out.
    pub received: u64,
    /// Events of the log that never arrived.
    pub lost: u64,
    /// Events that are not in the log.
    pub unknown: u64,
    /// Events that arrived with another content than the log's.
    pub altered: u64,
    /// First arrivals that came after a later event of their cluster.
    pub order_violations: u64,
    /// Arrivals of events that had arrived before.
    pub duplicates: u64,
}

/// Compares arrivals (in their order) with those events of the log that had to arrive.
pub fn compare(log: &[Record], received: &[Received], due: impl Fn(&Record) -> bool) -> Delivery {
    let by_id: HashMap<&str, &Record> = log.iter().map(|record| (record.event_id.as_str(), record)).collect();
    let mut seen = HashSet::new();
    let mut newest: HashMap<&str, i64> = HashMap::new();
    let mut delivery = Delivery::default();
    for Received { record, .. } in received {
        if !seen.insert(record.event_id.as_str()) {
            delivery.duplicates += 1;
            continue;
        }
        delivery.received += 1;
        match by_id.get(record.event_id.as_str()) {
            None => delivery.unknown += 1,
            Some(logged) if logged.digest != record.digest => delivery.altered += 1,
            Some(_) => {}
        }
        let newest = newest.entry(&record.cluster_id).or_insert(i64::MIN);
        if record.sequence < *newest {
            delivery.order_violations += 1;
        }
        *newest = record.sequence.max(*newest);
    }
    delivery.lost = log.iter().filter(|record| due(record) && !seen.contains(record.event_id.as_str())).count() as u64;
    delivery
}

#[cfg(test)]
mod tests {
    use super::super::sample::{received, record};
    use super::*;

    #[test]
    fn all_events_in_order_are_a_perfect_delivery() {
        let log = [record("a", 1), record("b", 1), record("a", 2)];
        let delivery = compare(&log, &received(&log), |_| true);
        assert_eq!(delivery, Delivery { received: 3, ..Delivery::default() });
    }

    #[test]
    fn a_repeated_stretch_counts_as_duplicates_and_not_as_disorder() {
        let log = [record("a", 1), record("a", 2), record("a", 3)];
        let mut arrivals = received(&log[..2]);
        arrivals.extend(received(&log));
        let delivery = compare(&log, &arrivals, |_| true);
        assert_eq!(delivery, Delivery { received: 3, duplicates: 2, ..Delivery::default() });
    }

    #[test]
    fn loss_disorder_strangers_and_changes_are_each_counted() {
        let log = [record("a", 1), record("a", 2), record("a", 3), record("b", 1)];
        let mut changed = record("b", 1);
        changed.digest += 1;
        let stranger = record("c", 1);
        let delivery = compare(&log, &received(&[record("a", 3), record("a", 1), changed, stranger]), |_| true);
        let expected =
            Delivery { received: 4, lost: 1, unknown: 1, altered: 1, order_violations: 1, ..Delivery::default() };
        assert_eq!(delivery, expected);
    }

    #[test]
    fn what_was_not_due_is_not_missed() {
        let log = [record("a", 1), record("a", 2)];
        assert_eq!(compare(&log, &[], |record| record.sequence == 2).lost, 1);
    }
}
