//! Samples for the judge's tests.

use super::record::{Change, Received, Record, Shown};
use crate::clock::WallMs;
use crate::spokes::{Behaviour, Scope, State, Truth};

/// An event of a cluster.
pub fn record(cluster: &str, sequence: i64) -> Record {
    Record {
        event_id: format!("{cluster}-{sequence}"),
        event_type: "CLUSTER_UPDATED".to_owned(),
        cluster_id: cluster.to_owned(),
        at: 0,
        sequence,
        position: sequence,
        change: None,
        written: None,
        digest: sequence.unsigned_abs(),
    }
}

/// A change of state of a cluster.
pub fn changed(cluster: &str, sequence: i64, at: WallMs, old: Shown, new: Shown) -> Record {
    let change = Some(Change { cluster: cluster.to_owned(), old, new, why: String::new() });
    Record { event_type: "CLUSTER_STATUS_CHANGED".to_owned(), at, change, ..record(cluster, sequence) }
}

/// These events, received in this order.
pub fn received(records: &[Record]) -> Vec<Received> {
    records.iter().map(|record| Received { record: record.clone(), arrived: record.at + 5, taken: None }).collect()
}

/// An entry of the truth.
pub fn truth(spoke: &str, at: WallMs, previous_state: State, state: State) -> Truth {
    Truth {
        seq: 0,
        at: chrono::DateTime::from_timestamp_millis(at).unwrap(),
        at_ms: 0,
        spoke: spoke.to_owned(),
        role: Scope::All,
        behaviour: Behaviour::Dead,
        state,
        score: 0,
        previous_state,
        previous_score: 100,
        clear: true,
    }
}
