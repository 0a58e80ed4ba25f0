//! The work of the recorder: announcing and storing, each in a task of its own, one at a time.

use std::sync::Arc;

use super::{
    RecorderArguments,
    draft::Draft,
    portion::{Appetite, Portion},
};
use crate::{
    event::Event,
    health::Transition,
    outbox::{Outbox, Pen, Standing},
    ports::{Ledger, StoreError},
};

/// How a write ended.
pub(crate) enum Outcome {
    /// All of it is stored, but for what could not get a place yet.
    Written {
        /// Told transitions whose events were not part of this write.
        told: Vec<Arc<Transition>>,
        postponed: Vec<Draft>,
    },
    /// The store is away; this much is still to be written.
    Away { batch: Portion, reason: String },
}

/// What was announced from memory, and what could not be.
pub(crate) struct Announced {
    pub(super) transitions: Vec<Arc<Transition>>,
    /// Of clusters in doubt.
    pub(super) postponed: Vec<Draft>,
}

/// Gives drafts their places and shows them, without the store. Those in doubt come back.
pub(super) async fn announce(outbox: &Outbox, drafts: Vec<Draft>) -> Announced {
    let mut pen = outbox.recorder_pen().await;
    let placed = Placed::by(&mut pen, drafts);
    pen.commit_unsaved();
    Announced { transitions: placed.transitions, postponed: placed.postponed }
}

/// Drafts that got their places. Those of clusters that are gone are dropped.
#[derive(Default)]
struct Placed {
    events: Vec<Arc<Event>>,
    transitions: Vec<Arc<Transition>>,
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
                (Ok(event), Draft::Transition(transition)) => {
                    placed.events.push(event);
                    placed.transitions.push(transition);
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
        Err(error) => Outcome::Away { batch: portion, reason: error.to_string() },
    }
}

/// Writes a portion in one transaction: what waits unsaved in the outbox first; its own drafts only when that is all.
pub(super) async fn store(parts: &RecorderArguments, mut portion: Portion, appetite: Appetite) -> Outcome {
    let outbox = &parts.outbox;
    let mut pen = outbox.recorder_pen().await;
    let mut events = match settle(&mut pen, &*parts.ledger).await {
        Ok(found) => found,
        Err(error) => return Outcome::Away { batch: portion, reason: error.to_string() },
    };
    let unsaved = outbox.unsaved_events(appetite.events());
    let drafts = std::mem::take(&mut portion.drafts);
    let placed = if unsaved.len() < appetite.events() {
        Placed::by(&mut pen, drafts)
    } else {
        Placed { postponed: drafts, ..Placed::default() }
    };
    events.extend(placed.events);
    let batch = portion.batch(&unsaved, events, placed.transitions);
    match parts.ledger.record(&batch).await {
        Ok(()) => {
            outbox.saved(unsaved.len());
            // Behind events that still wait for the store, even stored ones count as waiting: they are known to it then.
            if outbox.unsaved() == 0 {
                pen.commit()
            } else {
                pen.commit_unsaved()
            }
            Outcome::Written { told: portion.told_later(&batch), postponed: placed.postponed }
        }
        Err(error) => {
            // Announced all the same: the same ids and sequences are written when the store is back.
            pen.commit_unsaved();
            portion.told = portion.told_later(&batch).into_iter().chain(batch.transitions).collect();
            portion.drafts = placed.postponed;
            Outcome::Away { batch: portion, reason: error.to_string() }
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
