//! Time in which nothing was observed: after a stop of the process, during one, and what only memory held when it died.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fleetbeat_actors::{
    engine::Engine,
    event::{EventDraft, EventType},
    ports::{Clock, Marker, StoreError},
    roll::ClusterId,
};
use parking_lot::Mutex;
use serde_json::json;

use crate::store::{Gap, Store};

const LOOK: Duration = Duration::from_secs(1);
/// Longest time that events wait for their marker.
const MARK_WITHIN: Duration = Duration::from_secs(1);
/// Shorter stretches are not worth a row.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(10);

/// The stretch between the last sign of life of an earlier run and now.
pub(super) async fn last_gap(store: &dyn Store, clock: &dyn Clock) -> Result<Option<Gap>, StoreError> {
    let now = clock.wall();
    Ok(store.last_alive().await?.filter(|alive| now - *alive > NOTICEABLE).map(|alive| gap(alive, now, "stopped")))
}

fn gap(from: DateTime<Utc>, to: DateTime<Utc>, reason: &str) -> Gap {
    Gap { cluster_id: ClusterId::FLEET, from, to, reason: reason.to_owned() }
}

pub(super) struct Witness {
    pub(super) store: Arc<dyn Store>,
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) marker: Arc<MarkerFile>,
    /// The gap before this run.
    pub(super) gap: Option<Gap>,
}

/// Observes for ever.
pub(super) async fn observe(mut witness: Witness) {
    let mut waiting: Vec<Gap> = witness.gap.take().into_iter().collect();
    let mut lost = witness.marker.left_behind;
    let mut seen = witness.clock.now();
    let mut quiet = None;
    loop {
        let now = witness.clock.wall();
        let away = TimeDelta::from_std(witness.clock.now() - seen).unwrap_or_default();
        if away > NOTICEABLE {
            waiting.push(gap(now - away, now, "stalled"));
        }
        seen = witness.clock.now();
        if !waiting.is_empty() && witness.store.append(&[], &waiting).await.is_ok() {
            waiting.clear();
        }
        if let Some(from) = lost
            && witness.tell_loss(from, now).await
        {
            lost = None;
        }
        if lost.is_none() {
            quiet = witness.lower_marker(quiet);
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Witness {
    /// Tells that events after `from` may have died with an earlier run. True when it is stored.
    async fn tell_loss(&self, from: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let stamp = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let payload = json!({
            "from": stamp(from),
            "to": stamp(now),
            "reason": "the process ended while the store was away; changes of that time that only memory held are lost",
        });
        let raised = self.marker.raised();
        let Ok(mut pen) = self.engine.outbox().pen(LOOK).await else { return false };
        let draft = EventDraft::new(EventType::ObservationGap, ClusterId::FLEET, now, payload);
        let Ok(event) = pen.write(draft) else { return false };
        match self.store.append(&[event], &[]).await {
            Ok(()) => {
                pen.commit();
                self.marker.lower(raised);
                true
            }
            Err(StoreError::Unavailable { doubtful: true, .. }) => {
                pen.doubt();
                false
            }
            Err(_) => false,
        }
    }

    /// Takes the marker down when nothing waited at two looks in a row, and none was put up between them: it is up a moment before
    /// the events that it stands for.
    fn lower_marker(&self, quiet_at: Option<u64>) -> Option<u64> {
        let (raised, outbox) = (self.marker.raised(), self.engine.outbox());
        let quiet = outbox.unsaved() == 0 && !outbox.has_doubts();
        if quiet && quiet_at == Some(raised) {
            self.marker.lower(raised);
        }
        quiet.then_some(raised)
    }
}

/// A file that stands while events wait in memory for the store. Found at a start, it means that an earlier run died with them.
pub(super) struct MarkerFile {
    path: PathBuf,
    /// Since when an earlier run had events that it may have died with.
    left_behind: Option<DateTime<Utc>>,
    standing: Mutex<Standing>,
}

struct Standing {
    is_up: bool,
    /// How often it was to be put up.
    raised: u64,
}

impl MarkerFile {
    pub(super) fn at(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).ok();
        let left_behind = text.and_then(|text| DateTime::parse_from_rfc3339(text.trim()).ok()).map(|at| at.to_utc());
        Self { path, left_behind, standing: Mutex::new(Standing { is_up: left_behind.is_some(), raised: 0 }) }
    }

    pub(super) fn raised(&self) -> u64 {
        self.standing.lock().raised
    }

    /// Takes it down, unless it was put up again since it had been `raised` so often.
    pub(super) fn lower(&self, raised: u64) {
        let mut standing = self.standing.lock();
        if standing.is_up && standing.raised == raised {
            report(remove(&self.path));
            standing.is_up = false;
        }
    }

    fn put_up(&self, since: DateTime<Utc>) {
        let mut standing = self.standing.lock();
        standing.raised += 1;
        if !standing.is_up {
            let written = write_durably(&self.path, &since.to_rfc3339());
            standing.is_up = written.is_ok();
            report(written);
        }
    }
}

/// The marker as the engine puts it up: on a thread that may wait for the disk.
pub(super) struct Raising(pub(super) Arc<MarkerFile>);

#[async_trait]
impl Marker for Raising {
    async fn raise(&self, since: DateTime<Utc>) {
        let file = Arc::clone(&self.0);
        let raising = tokio::task::spawn_blocking(move || file.put_up(since));
        if tokio::time::timeout(MARK_WITHIN, raising).await.is_err() {
            tracing::warn!("the disk takes long; events are announced before their marker is up");
        }
    }
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the marker of unsaved events could not be kept in the data directory");
    }
}
