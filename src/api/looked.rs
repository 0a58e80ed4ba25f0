//! What was looked at in vain: stretches of the log without an event for those who may see a part of it. Whoever asks again after
//! the same position is answered from there on, and the store is not asked a second time what it did not have. How far the log was
//! looked at stays here: it would tell of others' events.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use chrono::TimeDelta;
use fleetbeat_actors::{
    event::{Event, EventType},
    outbox::{Outbox, Recent},
};
use parking_lot::Mutex;

use super::{ApiState, access::Seen, events::Wanted};

/// Questions remembered; beyond that one makes room for another.
const MOST: usize = 4_096;
/// A change of a cluster is in the log a moment before it is seen elsewhere; far less than this.
const SETTLED: TimeDelta = TimeDelta::seconds(10);

/// What is remembered, by question.
#[derive(Debug, Default)]
pub struct Looked {
    hasher: RandomState,
    places: Mutex<HashMap<u64, Place>>,
}

/// How far the log was looked at for one question.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: i64,
    /// Nothing was changed between this position and the look.
    since: i64,
}

impl ApiState {
    /// The position up to which there is nothing for `seen` after `after`: that one itself, or a later one.
    pub(super) fn looked_at(&self, after: i64, wanted: &Wanted, seen: &Seen) -> i64 {
        if seen.is_everything() {
            return after;
        }
        let question = self.looked.question(after, wanted, seen);
        let place = self.looked.places.lock().get(&question).copied();
        match place {
            // With labels, a changed or removed cluster may bring older events into sight.
            Some(place) if !seen.goes_by_labels() || !has_changed(&self.outbox, place.since) => place.position,
            Some(_) | None => after,
        }
    }

    /// Nothing was found between `after` and `position`, in a look that began when the log ended at `head`.
    pub(super) fn found_nothing(&self, after: i64, position: i64, head: i64, wanted: &Wanted, seen: &Seen) {
        if seen.is_everything() || position <= after {
            return;
        }
        let question = self.looked.question(after, wanted, seen);
        let since = head.min((self.clock.wall() - SETTLED).timestamp_micros());
        self.looked.note(question, Place { position, since });
    }
}

impl Looked {
    fn question(&self, after: i64, wanted: &Wanted, seen: &Seen) -> u64 {
        self.hasher.hash_one((after, wanted, &seen.caller.scope))
    }

    fn note(&self, question: u64, place: Place) {
        let mut places = self.places.lock();
        if places.len() >= MOST && !places.contains_key(&question) {
            let any = places.keys().next().copied();
            any.and_then(|any| places.remove(&any));
        }
        places.insert(question, place);
    }
}

/// Was any cluster registered, changed or removed after this position? Yes where memory does not reach back that far.
fn has_changed(outbox: &Outbox, since: i64) -> bool {
    let changes = |event: &Event| match event.event_type {
        EventType::ClusterRegistered | EventType::ClusterUpdated | EventType::ClusterDeleted => true,
        EventType::ClusterStatusChanged
        | EventType::ClusterCredentialsUpdated
        | EventType::ClusterCredentialsExpiring
        | EventType::ClusterCapabilitiesChanged
        | EventType::MonitorDegraded
        | EventType::MonitorRecovered
        | EventType::ObservationGap => false,
    };
    match outbox.after(since, usize::MAX) {
        Recent::Events(events) => events.iter().any(|event| changes(event)),
        Recent::ReadLog => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_questions_and_the_last_is_always_among_them() {
        let looked = Looked::default();
        for question in 0..MOST as u64 + 50 {
            looked.note(question, Place { position: 1, since: 0 });
            assert!(looked.places.lock().contains_key(&question));
        }
        assert_eq!(looked.places.lock().len(), MOST);
    }
}
