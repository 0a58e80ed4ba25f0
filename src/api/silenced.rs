//! The silences that held for an event's cluster when it happened, told with the event. The envelope of an event that nobody
//! silenced is as it always was; the other has one field more.

use std::sync::Arc;

use fleetbeat_actors::{board::Board, event::Event};
use serde_json::json;
use uuid::Uuid;

use crate::silences::Calendar;

/// Finds out which events are silenced.
#[derive(Clone, Debug)]
pub struct SilenceLookup {
    board: Arc<Board>,
    calendar: Arc<Calendar>,
}

impl SilenceLookup {
    /// For the clusters on this board.
    pub fn new(board: Arc<Board>, calendar: Arc<Calendar>) -> Self {
        Self { board, calendar }
    }

    /// The silences that held for the cluster of an event; none for one that is not registered any more.
    pub fn of(&self, event: &Event) -> Vec<Uuid> {
        self.calendar.muting_event(event, &self.board)
    }
}

/// The envelope with these silences.
pub fn with_silences(envelope: &str, silenced_by: &[Uuid]) -> String {
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
        assert_eq!(with_silences("{\"a\":1}", &[]), "{\"a\":1}");
        let id = Uuid::nil();
        assert_eq!(with_silences("{\"a\":1}", &[id]), format!("{{\"a\":1,\"silenced_by\":[\"{id}\"]}}"));
    }
}
