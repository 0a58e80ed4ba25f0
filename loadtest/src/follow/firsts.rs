//! When each cluster was first checked after a given moment, by the clusters' own times in `/metrics`: as exact as these, however
//! seldom they are read.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// First checks by name of the cluster, in seconds since the epoch; shared with who reads metrics.
#[derive(Clone, Debug, Default)]
pub struct FirstChecks(Arc<Mutex<Watch>>);

#[derive(Debug, Default)]
struct Watch {
    since: Option<f64>,
    first: HashMap<String, f64>,
}

impl FirstChecks {
    /// Forgets everything and notes checks from this moment on, in seconds since the epoch. Before the first call nothing is noted.
    pub fn begin(&self, since: f64) {
        *self.0.lock() = Watch { since: Some(since), first: HashMap::new() };
    }

    /// Notes when a cluster was last checked.
    pub fn note(&self, cluster: &str, at: f64) {
        let mut watch = self.0.lock();
        if watch.since.is_some_and(|since| at >= since) && !watch.first.contains_key(cluster) {
            watch.first.insert(cluster.to_owned(), at);
        }
    }

    /// The first checks noted, taken away.
    pub fn take(&self) -> HashMap<String, f64> {
        std::mem::take(&mut self.0.lock().first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_check_after_the_last_begin_counts() {
        let firsts = FirstChecks::default();
        firsts.note("a", 1.0);
        firsts.begin(2.0);
        firsts.note("a", 3.0);
        firsts.begin(10.0);
        for (cluster, at) in [("a", 9.9), ("b", 11.0), ("a", 12.5), ("b", 14.0)] {
            firsts.note(cluster, at);
        }
        assert_eq!(firsts.take(), HashMap::from([("a".to_owned(), 12.5), ("b".to_owned(), 11.0)]));
    }
}
