//! Time in which nothing was observed: after a stop of the process, during one, and what only memory held when it died.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fleetbeat_actors::{
    engine::Engine,
    event::{EventDraft, EventType},
    ports::{Clock, StoreError},
    roll::ClusterId,
};
use serde_json::json;

use crate::store::{Gap, Store};

const LOOK: Duration = Duration::from_secs(1);
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
    /// A file that stands while events wait in memory for the store. Found at a start, it means that an earlier run
    /// died with them.
    pub(super) marker: PathBuf,
    /// The gap before this run.
    pub(super) gap: Option<Gap>,
}

/// Observes for ever.
pub(super) async fn observe(mut witness: Witness) {
    let mut waiting: Vec<Gap> = witness.gap.take().into_iter().collect();
    let mut lost = read_marker(&witness.marker);
    let mut seen = witness.clock.now();
    let mut marked = false;
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
            marked = witness.keep_marker(marked, now);
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
        let Ok(mut pen) = self.engine.outbox().pen(LOOK).await else { return false };
        let draft = EventDraft::new(EventType::ObservationGap, ClusterId::FLEET, now, payload);
        let Ok(event) = pen.write(draft) else { return false };
        match self.store.append(&[event], &[]).await {
            Ok(()) => {
                pen.commit();
                report(remove_marker(&self.marker));
                true
            }
            Err(StoreError::Unavailable { doubtful: true, .. }) => {
                pen.doubt();
                false
            }
            Err(_) => false,
        }
    }

    /// Puts the marker up when events begin to wait in memory, and takes it down when none does.
    fn keep_marker(&self, marked: bool, now: DateTime<Utc>) -> bool {
        let unsaved = self.engine.outbox().unsaved() > 0;
        match (marked, unsaved) {
            (false, true) => report(std::fs::write(&self.marker, now.to_rfc3339())),
            (true, false) => report(remove_marker(&self.marker)),
            (true, true) | (false, false) => {}
        }
        unsaved
    }
}

fn read_marker(marker: &Path) -> Option<DateTime<Utc>> {
    let text = std::fs::read_to_string(marker).ok()?;
    DateTime::parse_from_rfc3339(text.trim()).ok().map(|at| at.to_utc())
}

fn remove_marker(marker: &Path) -> io::Result<()> {
    match std::fs::remove_file(marker) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the marker of unsaved events could not be kept in the data directory");
    }
}
