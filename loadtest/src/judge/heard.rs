//! What a crowd of listeners heard, held against the log. Pure.

use std::collections::HashMap;

use uuid::Uuid;

use super::record::Record;
use crate::clock::WallMs;

/// What became of a crowd.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hearing {
    /// Events that everybody had to hear.
    pub due: u64,
    /// Events heard of those, by all listeners together, duplicates left out.
    pub heard: u64,
    /// …that somebody did not hear.
    pub lost: u64,
    /// …that somebody heard again.
    pub twice: u64,
    /// …that somebody heard after a later event of the same cluster.
    pub order_violations: u64,
    /// Seconds from an event's own time until somebody heard it.
    pub seconds: Vec<f64>,
}

/// Compares what each listener heard (in its order) with the events since the moment when all of them were in.
pub fn compare(log: &[Record], since: WallMs, crowd: &[Vec<(Uuid, WallMs)>]) -> Hearing {
    let due: Vec<&Record> = log.iter().filter(|record| record.at >= since).collect();
    let mut clusters: HashMap<&str, usize> = HashMap::new();
    let mut places = HashMap::new();
    for (place, record) in due.iter().enumerate() {
        let next = clusters.len();
        let cluster = *clusters.entry(&record.cluster_id).or_insert(next);
        if let Ok(id) = record.event_id.parse::<Uuid>() {
            places.insert(id, (place, cluster));
        }
    }
    let mut hearing = Hearing { due: due.len() as u64, ..Hearing::default() };
    for heard in crowd {
        let (mut seen, mut newest) = (vec![false; due.len()], vec![i64::MIN; clusters.len()]);
        for (id, at) in heard {
            let Some(&(place, cluster)) = places.get(id) else { continue };
            if std::mem::replace(&mut seen[place], true) {
                hearing.twice += 1;
                continue;
            }
            hearing.heard += 1;
            hearing.order_violations += u64::from(due[place].sequence < newest[cluster]);
            newest[cluster] = newest[cluster].max(due[place].sequence);
            hearing.seconds.push((at - due[place].at) as f64 / 1_000.0);
        }
        hearing.lost += seen.iter().filter(|seen| !**seen).count() as u64;
    }
    hearing
}

#[cfg(test)]
mod tests {
    use super::super::sample::record;
    use super::*;

    fn event(cluster: &str, sequence: i64, at: WallMs) -> Record {
        let event_id = id(cluster, sequence).to_string();
        Record { event_id, at, ..record(cluster, sequence) }
    }

    fn id(cluster: &str, sequence: i64) -> Uuid {
        Uuid::from_u128(u128::from(cluster.as_bytes()[0]) << 64 | sequence.unsigned_abs() as u128)
    }

    #[test]
    fn who_heard_everything_in_order_misses_nothing() {
        let log = [event("a", 1, 500), event("a", 2, 1_000), event("b", 1, 1_100), event("a", 3, 1_200)];
        let heard = vec![(id("a", 2), 1_050), (id("a", 3), 1_250), (id("b", 1), 1_300)];
        let hearing = compare(&log, 1_000, &[heard.clone(), heard]);
        let seconds = vec![0.05, 0.05, 0.2, 0.05, 0.05, 0.2];
        assert_eq!(hearing, Hearing { due: 3, heard: 6, seconds, ..Hearing::default() });
    }

    #[test]
    fn loss_repetition_and_disorder_are_counted_for_each_listener() {
        let log = [event("a", 1, 1_000), event("a", 2, 1_000), event("b", 1, 1_000)];
        let swapped = vec![(id("a", 2), 1_000), (id("a", 1), 1_000), (id("a", 1), 1_000), (id("b", 1), 1_000)];
        let hearing = compare(&log, 1_000, &[swapped, vec![(id("a", 1), 1_000)]]);
        assert_eq!((hearing.lost, hearing.twice, hearing.order_violations, hearing.heard), (2, 1, 1, 4));
    }
}
