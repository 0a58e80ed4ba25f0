//! The recorder's two pieces of work: announcing from memory, and writing a portion with its events.

use std::sync::Arc;

use super::{
    RecorderArguments,
    load::{Draft, Portion},
};
use crate::{
    event::Event,
    health::Transition,
    outbox::{Outbox, Pen},
    ports::{Ledger, StoreError},
};

/// How a write ended.
pub(crate) enum Outcome {
    /// All of it is stored, but for drafts whose cluster is in doubt.
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
    pub(super) postponed: Vec<Draft>,
}

/// Events of one transaction: more than that waiting for a store that was away is written piece by piece.
const EVENTS_PER_WRITE: usize = 2_000;

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

/// Writes a portion in one transaction: what waits unsaved in the outbox first; its own drafts only when that is all.
pub(super) async fn store(parts: &RecorderArguments, mut portion: Portion) -> Outcome {
    let mut pen = parts.outbox.recorder_pen().await;
    if let Err(error) = settle(&mut pen, &*parts.ledger).await {
        drop(pen);
        return Outcome::Away { batch: portion, reason: error.to_string() };
    }
    let unsaved = parts.outbox.unsaved_events(EVENTS_PER_WRITE);
    let drafts = std::mem::take(&mut portion.drafts);
    let placed = if unsaved.len() < EVENTS_PER_WRITE {
        Placed::by(&mut pen, drafts)
    } else {
        Placed { postponed: drafts, ..Placed::default() }
    };
    let batch = portion.batch(&unsaved, placed.events, placed.transitions);
    match parts.ledger.record(&batch).await {
        Ok(()) => {
            parts.outbox.saved(unsaved.len());
            pen.commit();
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

/// Asks the store for the last sequence of clusters that are in doubt.
async fn settle(pen: &mut Pen<'_>, ledger: &dyn Ledger) -> Result<(), StoreError> {
    let doubted = pen.in_doubt();
    if !doubted.is_empty() {
        let answer = ledger.sequences(&doubted).await?;
        pen.settle(&doubted, &answer);
    }
    Ok(())
}
