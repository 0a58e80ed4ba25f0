//! Of several versions of one row in a batch, the one that counts.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{health::Status, roll::ClusterId, rollup::Rollup};

/// One status per cluster, that of the highest version; in the order of ids.
pub(super) fn newest_statuses(statuses: &[(ClusterId, Arc<Status>)]) -> Vec<(ClusterId, &Status)> {
    let mut newest: HashMap<ClusterId, &Status> = HashMap::with_capacity(statuses.len());
    for (id, status) in statuses {
        let kept = newest.entry(*id).or_insert(status);
        if status.version > kept.version {
            *kept = status;
        }
    }
    let mut newest: Vec<_> = newest.into_iter().collect();
    newest.sort_unstable_by_key(|(id, _)| *id);
    newest
}

/// One rollup per (cluster, start, run), the last of the batch; in that order.
pub(super) fn newest_rollups(rollups: &[Rollup]) -> Vec<&Rollup> {
    type Key = (ClusterId, DateTime<Utc>, i64);
    let key = |rollup: &Rollup| -> Key { (rollup.cluster_id, rollup.start, rollup.run) };
    let newest: HashMap<Key, &Rollup> = rollups.iter().map(|rollup| (key(rollup), rollup)).collect();
    let mut newest: Vec<_> = newest.into_values().collect();
    newest.sort_unstable_by_key(|rollup| key(rollup));
    newest
}
