//! What callers write, noted before it is sent: a write that nobody answers may have happened all the same.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::judge::Write;

/// Writes in the order in which they were begun; shared with who writes.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Mutex<Vec<Write>>>);

impl Written {
    /// Notes a write that is about to be sent; returns its number.
    pub fn begin(&self, cluster_id: &str, event_type: &'static str, display_name: Option<String>) -> usize {
        let mut writes = self.0.lock();
        let cluster_id = cluster_id.to_owned();
        writes.push(Write { cluster_id, event_type, display_name, generation: None, acknowledged: false });
        writes.len() - 1
    }

    /// Notes that a write was answered with 2xx, and the generation in the answer.
    pub fn acknowledge(&self, number: usize, generation: Option<i64>) {
        if let Some(write) = self.0.lock().get_mut(number) {
            write.acknowledged = true;
            write.generation = generation;
        }
    }

    /// Notes clusters that were registered.
    pub fn registered<'a>(&self, ids: impl IntoIterator<Item = &'a String>) {
        for id in ids {
            let number = self.begin(id, "CLUSTER_REGISTERED", None);
            self.acknowledge(number, None);
        }
    }

    /// Everything noted, taken away.
    pub fn take(&self) -> Vec<Write> {
        std::mem::take(&mut *self.0.lock())
    }
}
