//! The ground truth: what was changed, when, and what a correct monitor must make of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::behaviour::Behaviour;
use super::expect::State;
use super::role::Scope;

/// One change of one spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Position in the log, from 1 without gaps.
    pub seq: u64,
    /// Wall time just before the change took effect.
    pub at: DateTime<Utc>,
    /// The same in milliseconds since the fleet's start.
    pub at_ms: u64,
    /// The spoke.
    pub spoke: String,
    /// What of it changed.
    pub role: Scope,
    /// How that behaves from now on.
    pub behaviour: Behaviour,
    /// What the spoke must be shown as now.
    pub state: State,
    /// The health score that goes with it.
    pub score: u8,
    /// What it had to be shown as before.
    pub previous_state: State,
    /// The score before.
    pub previous_score: u8,
    /// Whether state and previous state leave no room for another opinion.
    pub clear: bool,
}

impl Truth {
    /// Whether a monitor must announce a change of state for it.
    pub fn is_transition(&self) -> bool {
        self.state != self.previous_state
    }
}

/// The log, in memory and (if wanted) as JSON lines in a file.
pub(super) struct TruthLog {
    entries: Mutex<Entries>,
    last_seq: watch::Sender<u64>,
}

struct Entries {
    all: Vec<Truth>,
    file: Option<BufWriter<File>>,
}

impl TruthLog {
    pub fn create(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?.map(BufWriter::new);
        let entries = Mutex::new(Entries { all: Vec::new(), file });
        Ok(Self { entries, last_seq: watch::channel(0).0 })
    }

    /// Adds one entry and gives it its number.
    pub fn push(&self, mut entry: Truth) -> io::Result<()> {
        let mut entries = self.entries.lock();
        entry.seq = entries.all.len() as u64 + 1;
        let seq = entry.seq;
        let written = entries.write(&entry);
        entries.all.push(entry);
        drop(entries);
        self.last_seq.send_replace(seq);
        written
    }

    /// Brings what was pushed to the file.
    pub fn flush(&self) -> io::Result<()> {
        self.entries.lock().file.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    /// Entries numbered above `seq`, at most `limit`.
    pub fn after(&self, seq: u64, limit: usize) -> Vec<Truth> {
        let entries = self.entries.lock();
        entries.all.iter().skip(seq as usize).take(limit).cloned().collect()
    }

    /// Number of the last entry, as it grows.
    pub fn last_seq(&self) -> watch::Receiver<u64> {
        self.last_seq.subscribe()
    }
}

impl Entries {
    fn write(&mut self, entry: &Truth) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        serde_json::to_writer(&mut *file, entry)?;
        file.write_all(b"\n")
    }
}
