//! The work of the recorder: announcing and storing, each in a task of its own, one at a time.

use std::sync::Arc;

use super::{
    RecorderArguments,
    draft::{Draft, Turn},
    portion::{Appetite, Parted, Portion},
};
use crate::{
    event::Event,
    outbox::{Pen, Standing},
    ports::{Ledger, StoreError},
};

/// How a write ended.
pub(crate) enum Outcome {
    /// All of it is stored, but for what could not be part of this write.
    Written { rest: Portion },
    /// The store is away; this much is still to be written.
    Away { rest: Portion, reason: String },
}

/// What was announced from memory, and what could not be.
pub(crate) struct Announced {
    pub(super) turns: Vec<Turn>,
    /// Of clusters in doubt.
    pub(super) postponed: Vec<Draft>,
}

/// Gives drafts their places and shows them, without the store. Those in doubt come back.
pub(super) async fn announce(parts: &RecorderArguments, drafts: Vec<Draft>) -> Announced {
    let mut pen = parts.outbox.recorder_pen().await;
    let placed = Placed::by(&mut pen, drafts);
    commit_unsaved(parts, pen, !placed.postponed.is_empty()).await;
    Announced { turns: placed.turns, postponed: placed.postponed }
}

/// Shows what was written before it is stored: first of all the next process must be able to tell that it was not, should this one
/// die. The same goes for what waits to be written because its cluster is in doubt.
async fn commit_unsaved(parts: &RecorderArguments, pen: Pen<'_>, others_wait: bool) {
    let since = pen.earliest().or_else(|| others_wait.then(|| parts.clock.wall()));
    if let (Some(marker), Some(since), 0) = (&parts.marker, since, parts.outbox.unsaved()) {
        marker.raise(since).await;
    }
    pen.commit_unsaved();
}

/// Drafts that got their places. Those of clusters that are gone are dropped.
#[derive(Default)]
struct Placed {
    events: Vec<Arc<Event>>,
    turns: Vec<Turn>,
    /// Of clusters in doubt.
    postponed: Vec<Draft>,
}

impl Placed {
    fn by(pen: &mut Pen<'_>, drafts: Vec<Draft>) -> Self {
        let mut placed = Self::default();
        for draft in drafts {
            if !pen.is_in_doubt(draft.cluster_id()) && !pen.knows(draft.cluster_id()) {
                continue;
            }
            match (pen.write(draft.event()), draft) {
                (Ok(event), Draft::Turn(turn)) => {
                    placed.events.push(event);
                    placed.turns.push(turn);
                }
                (Ok(event), Draft::Other(_)) => placed.events.push(event),
                (Err(_), draft) => placed.postponed.push(draft),
            }
        }
        placed
    }
}

/// Asks a store that was away whether it is back, before the pen is taken from those who announce meanwhile.
pub(super) async fn store_when_back(parts: &RecorderArguments, portion: Portion, appetite: Appetite) -> Outcome {
    match parts.ledger.sequences(&[]).await {
        Ok(_) => store(parts, portion, appetite).await,
        Err(error) => Outcome::Away { rest: portion, reason: error.to_string() },
    }
}

/// Writes a portion in one transaction: what waits unsaved in the outbox first; its own drafts only when that is all.
pub(super) async fn store(parts: &RecorderArguments, mut portion: Portion, appetite: Appetite) -> Outcome {
    let outbox = &parts.outbox;
    let mut pen = outbox.recorder_pen().await;
    let mut events = match settle(&mut pen, &*parts.ledger).await {
        Ok(found) => found,
        Err(error) => return Outcome::Away { rest: portion, reason: error.to_string() },
    };
    // Of what is announced meanwhile the turns are not at hand: it is for the next write.
    let unsaved = outbox.unsaved_events(portion.unsaved.min(appetite.events()));
    let mut turns = Vec::new();
    if unsaved.len() == outbox.unsaved() {
        let placed = Placed::by(&mut pen, std::mem::take(&mut portion.drafts));
        events.extend(placed.events);
        turns = placed.turns;
        portion.drafts = placed.postponed;
    }
    let Parted { batch, turns, mut rest } = portion.part(&unsaved, events, turns);
    match parts.ledger.record(&batch).await {
        Ok(()) => {
            outbox.saved(unsaved.len());
            // Behind events that still wait for the store, even stored ones count as waiting: they are known to it then.
            if outbox.unsaved() == 0 {
                pen.commit()
            } else {
                pen.commit_unsaved()
            }
            Outcome::Written { rest }
        }
        Err(error) => {
            // Announced all the same: the same ids and sequences are written when the store is back.
            commit_unsaved(parts, pen, !portion.drafts.is_empty()).await;
            portion.told = turns;
            portion.told.append(&mut rest.told);
            Outcome::Away { rest: portion, reason: error.to_string() }
        }
    }
}

/// Asks the store what became of commits of unknown outcome. Events of them that are stored come back in new places.
async fn settle(pen: &mut Pen<'_>, ledger: &dyn Ledger) -> Result<Vec<Arc<Event>>, StoreError> {
    let doubted = pen.in_doubt();
    if doubted.clusters.is_empty() {
        return Ok(Vec::new());
    }
    let stored = ledger.stored(&doubted.events).await?;
    let sequences = ledger.sequences(&doubted.clusters).await?;
    Ok(pen.settle(&Standing { sequences, stored }))
}
