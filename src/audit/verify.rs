//! Walks the chain from its anchor to its head and names the first row that does not belong.

use std::fmt;

use fleetbeat_actors::ports::StoreError;

use crate::store::{
    AuditFilter, AuditLog, AuditOrder, AuditRow,
    audit::{AuditLink, hex},
};

/// Rows read at once.
const PAGE: u32 = 1_000;

/// What a walk found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Rows that were looked at.
    pub rows: u64,
    /// The row after which the chain begins.
    pub anchor: AuditLink,
    /// The last row that belongs.
    pub last: AuditLink,
    /// The first that does not.
    pub broken: Option<Broken>,
}

/// The first row that does not belong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its position.
    pub position: i64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What may be wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It is not what was written.
    Changed,
    /// It does not follow the row before it.
    Unlinked,
    /// The note of where the chain begins is gone, or tells of a removal that was not the janitor's.
    Anchor,
    /// The note of where the chain ends is gone, or is another's.
    Head,
}

impl Fault {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Unlinked => "unlinked",
            Self::Anchor => "anchor",
            Self::Head => "head",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Changed => "was changed: its hash is not that of what it tells",
            Self::Unlinked => "does not follow the row before it",
            Self::Anchor => "is where the chain begins, but no pruning of the janitor tells so",
            Self::Head => "is where the chain ends, but the note of its end says otherwise",
        })
    }
}

/// One walk.
struct Walk {
    rows: u64,
    anchor: AuditLink,
    last: AuditLink,
    /// The newest row about pruning that was met.
    pruning: Option<AuditRow>,
}

/// Walks the whole chain. Rows that are written or pruned meanwhile do no harm.
///
/// # Errors
/// The store's.
pub async fn verify<S: AuditLog + ?Sized>(store: &S) -> Result<Verification, StoreError> {
    let Some(anchor) = store.audit_ends().await?.anchor else {
        let broken = Some(Broken { position: 0, fault: Fault::Anchor });
        return Ok(Verification { rows: 0, anchor: AuditLink::START, last: AuditLink::START, broken });
    };
    let mut walk = Walk { rows: 0, anchor, last: anchor, pruning: None };
    let broken = walk.run(store).await?;
    Ok(Verification { rows: walk.rows, anchor: walk.anchor, last: walk.last, broken })
}

impl Walk {
    async fn run<S: AuditLog + ?Sized>(&mut self, store: &S) -> Result<Option<Broken>, StoreError> {
        loop {
            // Before the rows: once none is left, the head that was read is that of the last row walked.
            let ends = store.audit_ends().await?;
            let page = AuditFilter {
                after: Some(self.last.position),
                order: AuditOrder::OldestFirst,
                limit: PAGE,
                ..AuditFilter::default()
            };
            let rows = store.audit(&page).await?;
            let was_empty = rows.is_empty();
            for row in rows {
                if let Some(fault) = self.fault(&row) {
                    if fault == Fault::Missing && self.was_pruned(store).await? {
                        break;
                    }
                    let position = if fault == Fault::Missing { self.last.position + 1 } else { row.position };
                    return Ok(Some(Broken { position, fault }));
                }
                self.step(row);
            }
            if was_empty {
                return Ok(self.conclude(ends.anchor, ends.head));
            }
        }
    }

    fn fault(&self, row: &AuditRow) -> Option<Fault> {
        if row.position != self.last.position + 1 {
            Some(Fault::Missing)
        } else if !row.is_whole() {
            Some(Fault::Changed)
        } else if row.previous != self.last.hash {
            Some(Fault::Unlinked)
        } else {
            None
        }
    }

    fn step(&mut self, row: AuditRow) {
        self.rows += 1;
        self.last = row.link();
        if row.entry.action == crate::store::audit::AUDIT_PRUNED {
            self.pruning = Some(row);
        }
    }

    /// Did the janitor remove the rows that are missing, since the walk began? Then it goes on from the new anchor.
    async fn was_pruned<S: AuditLog + ?Sized>(&mut self, store: &S) -> Result<bool, StoreError> {
        let moved = store.audit_ends().await?.anchor.filter(|anchor| anchor.position > self.last.position);
        if let Some(anchor) = moved {
            (self.anchor, self.last) = (anchor, anchor);
        }
        Ok(moved.is_some())
    }

    /// At the end of the rows: does the chain begin and end where it was noted?
    fn conclude(&self, anchor: Option<AuditLink>, head: Option<AuditLink>) -> Option<Broken> {
        let told = anchor.is_some_and(|anchor| {
            anchor == AuditLink::START || self.pruning.as_ref().is_some_and(|row| row.entry.tells_of_pruning(&anchor))
        });
        match head {
            Some(head) if head.position > self.last.position => {
                Some(Broken { position: self.last.position + 1, fault: Fault::Missing })
            }
            Some(head) if head == self.last => {
                (!told).then_some(Broken { position: self.anchor.position, fault: Fault::Anchor })
            }
            _ => Some(Broken { position: self.last.position, fault: Fault::Head }),
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broken {
            Some(Broken { position, fault }) => write!(f, "broken: row {position} {fault}"),
            None => {
                write!(f, "whole: {} rows, up to {} with hash {}", self.rows, self.last.position, hex(&self.last.hash))
            }
        }
    }
}
