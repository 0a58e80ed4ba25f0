//! Followers of a monitor: its live stream, its Redis stream and channels, its metrics, its process; and of the machine. They
//! note what arrives and when; they judge nothing.

mod door;
mod firsts;
mod live;
mod machine;
mod metrics;
mod process;
mod redis;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::{WallMs, wall_ms};
use crate::judge::{Received, Record};

pub use door::{Door, Heard, Line, hear, read_the_rest};
pub use firsts::FirstChecks;
pub use live::follow_live;
pub use machine::MachineWatch;
pub use metrics::{follow_metrics, read_metrics};
pub use process::{Usage, ended_by_itself, follow_process, usage_of};
pub use redis::{follow_channels, follow_stream};

/// What a follower has noted so far; shared with who follows.
#[derive(Debug)]
pub struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Notes<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Notes<T> {
    /// Notes one more.
    pub fn push(&self, note: T) {
        self.0.lock().push(note);
    }

    /// Everything noted, taken away.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock())
    }

    /// How many notes there are.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes the last note, if there is one.
    pub fn change_last(&self, change: impl FnOnce(&mut T)) {
        if let Some(last) = self.0.lock().last_mut() {
            change(last);
        }
    }

    /// Looks at the last note.
    pub fn with_last<R>(&self, look: impl FnOnce(Option<&T>) -> R) -> R {
        look(self.0.lock().last())
    }
}

/// Notes of events, and of what should have been one.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// Events.
    pub events: Notes<Received>,
    /// What was wrong with the others.
    pub misshapen: Notes<String>,
}

impl Arrivals {
    fn note(&self, json: &str, taken: Option<WallMs>) {
        match Record::parse(json) {
            Ok(record) => self.events.push(Received { record, arrived: wall_ms(), taken }),
            Err(error) => self.misshapen.push(error.to_string()),
        }
    }
}
