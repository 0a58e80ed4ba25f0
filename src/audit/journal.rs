//! The journal: takes refusals without ever waiting, and writes them in batches. What there is no room for is counted.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fleetbeat_actors::ports::{Clock, StoreError};
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

use super::{Action, Origin, allowance::Allowance};
use crate::store::{AuditEntry, AuditOutcome, Store};

/// Entries written in one transaction.
const BATCH: usize = 500;
/// Pause between two writes: what comes meanwhile goes together.
const PAUSE: Duration = Duration::from_millis(250);
/// Pause after the store took nothing.
const RETRY: Duration = Duration::from_secs(1);

/// How much the journal keeps.
#[derive(Clone, Copy, Debug)]
pub struct JournalRules {
    /// Refusals kept a second, all addresses together; a minute's worth may come at once.
    pub refusals_per_second: u32,
    /// Entries in memory while the store is away.
    pub waiting: usize,
}

impl Default for JournalRules {
    fn default() -> Self {
        Self { refusals_per_second: 50, waiting: 4_096 }
    }
}

/// The journal.
pub struct Journal {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rules: JournalRules,
    waiting: Mutex<Waiting>,
    /// Not kept, and not told in the log yet.
    dropped: AtomicU64,
    more: Notify,
    turn: tokio::sync::Mutex<()>,
    meters: Meters,
}

struct Waiting {
    entries: VecDeque<AuditEntry>,
    allowance: Allowance,
}

struct Meters {
    waiting: Gauge,
    dropped: Counter,
}

impl Meters {
    fn new() -> Self {
        describe_gauge!("fleetbeat_audit_waiting", "Refused requests that wait to be written to the audit log.");
        describe_counter!(
            "fleetbeat_audit_dropped_total",
            "Refused requests that the audit log does not tell one by one."
        );
        Self { waiting: gauge!("fleetbeat_audit_waiting"), dropped: counter!("fleetbeat_audit_dropped_total") }
    }
}

impl Journal {
    /// A journal that writes to a store, as soon as [`Journal::write`] runs.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, rules: JournalRules) -> Self {
        let allowance = Allowance::new(rules.refusals_per_second, clock.now());
        let waiting = Mutex::new(Waiting { entries: VecDeque::new(), allowance });
        let (dropped, more) = (AtomicU64::new(0), Notify::new());
        Self { store, clock, rules, waiting, dropped, more, turn: tokio::sync::Mutex::default(), meters: Meters::new() }
    }

    /// The entry that tells of something done just now.
    pub fn entry(&self, origin: &Origin, action: Action) -> AuditEntry {
        origin.did(action, self.clock.wall())
    }

    /// Takes what was refused. Never waits and never fails: what there is no room for is counted, and the count is told.
    pub fn note(&self, origin: &Origin, entry: AuditEntry) {
        let entry = origin.sign(entry);
        let mut waiting = self.waiting.lock();
        let address = origin.address.map(|address| address.ip().to_canonical());
        if waiting.entries.len() < self.rules.waiting && waiting.allowance.take(address, self.clock.now()) {
            waiting.entries.push_back(entry);
            self.meters.waiting.set(waiting.entries.len() as f64);
        } else {
            self.count_dropped(1);
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// How many refusals wait to be written.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().entries.len()
    }

    /// Writes an entry now: what must not happen untold asks this first, and does nothing when it fails.
    ///
    /// # Errors
    /// The store's.
    pub async fn tell(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.store.append_audit(&[entry]).await
    }

    /// Writes what was noted, for ever.
    pub async fn write(&self) {
        loop {
            self.more.notified().await;
            tokio::time::sleep(PAUSE).await;
            while let Err(error) = self.flush().await {
                tracing::debug!(%error, "refused requests could not be written to the audit log yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Writes everything that was noted so far. What a store in doubt may have taken is written again.
    ///
    /// # Errors
    /// The store's; what was not written stays.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        loop {
            let mut batch: Vec<AuditEntry> = self.waiting.lock().entries.iter().take(BATCH).cloned().collect();
            let taken = batch.len();
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > 0 {
                batch.push(self.told(dropped));
            }
            if batch.is_empty() {
                return Ok(());
            }
            match self.store.append_audit(&batch).await {
                Ok(()) => drop(self.dropped.fetch_sub(dropped, Ordering::Relaxed)),
                // It never will be taken: better to count it than to hold up all that follow.
                Err(StoreError::Broken(reason)) if taken > 0 => {
                    tracing::error!(reason, entries = taken, "the store refused entries of the audit log");
                    self.count_dropped(taken as u64);
                }
                Err(error) => return Err(error),
            }
            let mut waiting = self.waiting.lock();
            waiting.entries.drain(..taken);
            self.meters.waiting.set(waiting.entries.len() as f64);
        }
    }

    fn count_dropped(&self, entries: u64) {
        self.dropped.fetch_add(entries, Ordering::Relaxed);
        self.meters.dropped.increment(entries);
    }

    fn told(&self, dropped: u64) -> AuditEntry {
        let entry = self.entry(&Origin::system("audit"), Action::RefusalsDropped);
        entry.ended(AuditOutcome::Failed, "TOO_MANY").with("dropped", json!(dropped))
    }
}
