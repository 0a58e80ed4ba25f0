//! Marks on events: the silences that held for an event's cluster when it happened. The envelope of an event that nobody
//! silenced is as it always was; the other has one field more.

use std::sync::Arc;

use fleetbeat_actors::{board::Board, event::Event};
use serde_json::json;
use uuid::Uuid;

use crate::silences::Calendar;

/// Finds out which events are marked.
#[derive(Clone, Debug)]
pub struct Marker {
    board: Arc<Board>,
    calendar: Arc<Calendar>,
}

impl Marker {
    /// A marker for the clusters on this board.
    pub fn new(board: Arc<Board>, calendar: Arc<Calendar>) -> Self {
        Self { board, calendar }
    }

    /// The silences that held for the cluster of an event; none for one that is not registered any more.
    pub fn silences(&self, event: &Event) -> Vec<Uuid> {
        self.calendar.muting_event(event, &self.board)
    }
}

/// The envelope with the mark of these silences.
pub fn marked(envelope: &str, silenced_by: &[Uuid]) -> String {
    match envelope.strip_suffix('}') {
        Some(open) if !silenced_by.is_empty() => format!("{open},\"silenced_by\":{}}}", json!(silenced_by)),
        _ => envelope.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_silenced_gets_a_field_more() {
        assert_eq!(marked("{\"a\":1}", &[]), "{\"a\":1}");
        let id = Uuid::nil();
        assert_eq!(marked("{\"a\":1}", &[id]), format!("{{\"a\":1,\"silenced_by\":[\"{id}\"]}}"));
    }
}
