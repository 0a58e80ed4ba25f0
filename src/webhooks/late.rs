//! What a silence held back and still holds when it ends. A webhook is told then, once, of every cluster whose state is not
//! the one that it was last told of, with the last of the transitions that were held back.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    board::Entry,
    event::{Event, EventType},
    health::State,
    ports::StoreError,
    roll::ClusterId,
};

use super::{Desk, Shared};
use crate::store::{EventFilter, StoredTransition};

/// Transitions that are looked back over. Who changed more often behind one silence is told of.
const LOOK_BACK: u32 = 100;
/// Events of one cluster that are looked through from its last transition on.
const LOOK_AHEAD: u32 = 100;
/// How often it is looked whether a silence ended.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// Silences are looked at that ended so long ago: those that are ended by hand are known by then.
const KNOWN_AFTER: TimeDelta = TimeDelta::seconds(5);
/// How long the log may take to have what the board shows.
const SETTLES_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// What is to be told late.
pub(super) struct Late {
    /// The transition.
    pub(super) event: Arc<Event>,
    /// When its cluster was heard of again: it is as old as that.
    pub(super) since: DateTime<Utc>,
}

impl Shared {
    /// What is to be told to a webhook of silences that ended, and up to when that is all. `None`: cannot be told yet.
    pub(super) async fn held_back(&self, desk: &Desk) -> Result<Option<(Vec<Late>, DateTime<Utc>)>, StoreError> {
        let (from, to) = (desk.progress.lock().cursor.heard_to, self.clock.wall() - KNOWN_AFTER);
        if to <= from || self.calendar.is_steady(from, to) {
            return Ok(Some((Vec::new(), from)));
        }
        if !self.is_settled() {
            return Ok(None);
        }
        let mut late = Vec::new();
        for (id, since) in self.heard_again(from, to) {
            let Some(entry) = self.board.get(id) else { continue };
            match self.last_transition(&entry).await? {
                Found::Event(event) if desk.webhook.wants(&event, &self.board) => late.push(Late { event, since }),
                Found::NotYet if to - since < SETTLES_WITHIN => return Ok(None),
                Found::Event(_) | Found::NotYet | Found::Nothing => {}
            }
        }
        late.sort_by_key(|late| late.event.position);
        Ok(Some((late, to)))
    }

    /// Clusters whose last transition was held back by silences that ended within a stretch of time, and when they ended.
    fn heard_again(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(ClusterId, DateTime<Utc>)> {
        let mut again = Vec::new();
        self.board.each(|entry| {
            let end = self.calendar.heard_again(&entry.cluster, entry.status.since);
            again.extend(end.filter(|end| from < *end && *end <= to).map(|end| (entry.cluster.id, end)));
        });
        again
    }

    /// The event of a cluster's last transition, if that led elsewhere than where the cluster was last told to be.
    async fn last_transition(&self, entry: &Entry) -> Result<Found, StoreError> {
        let end = self.clock.wall() + TimeDelta::hours(1);
        let id = entry.cluster.id;
        let past = self.store.transitions(id, DateTime::UNIX_EPOCH, end, LOOK_BACK).await?;
        let Some(last) = past.first() else { return Ok(Found::Nothing) };
        if last.new_state != entry.status.state {
            return Ok(Found::NotYet);
        }
        let told = last_told(&past, |at| self.calendar.heard_again(&entry.cluster, at));
        // Nobody needs to hear that a cluster is well that nobody ever heard of.
        if past.len() < LOOK_BACK as usize && is_known(told, last.new_state) {
            return Ok(Found::Nothing);
        }
        // A position is no earlier than its event.
        let after = last.at.timestamp_micros() - 1_000;
        let event_types = vec![EventType::ClusterStatusChanged];
        let filter =
            EventFilter { after, cluster_id: Some(id), event_types, limit: LOOK_AHEAD, ..EventFilter::default() };
        let event = self.store.events(&filter).await?.into_iter().find(|event| event.event_id == last.event_id);
        Ok(event.map_or(Found::Nothing, Found::Event))
    }
}

/// What became of the look for an event.
enum Found {
    /// This is to be told.
    Event(Arc<Event>),
    /// The log does not have it yet.
    NotYet,
    /// Nothing is to be told.
    Nothing,
}

/// Which state a cluster was last told to be in: `past` are its transitions, the newest first, of which the newest was held
/// back; `heard_again` says when one that was held back could be told, if it was.
fn last_told(past: &[StoredTransition], heard_again: impl Fn(DateTime<Utc>) -> Option<DateTime<Utc>>) -> State {
    let (mut told, mut next) = (State::Unknown, DateTime::<Utc>::MIN_UTC);
    for transition in past {
        // Told at once, or at the end of a silence that ended before the next one.
        if heard_again(transition.at).is_none_or(|end| end <= next) {
            break;
        }
        (told, next) = (transition.old_state, transition.at);
    }
    told
}

/// Is there nothing new in a state to who was last told of another?
fn is_known(told: State, state: State) -> bool {
    told == state || (told == State::Unknown && state == State::Online)
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::health::{Evidence, Findings};
    use uuid::Uuid;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    /// From the oldest on: when and to which state; before the first: ONLINE.
    fn past(changes: &[(i64, State)]) -> Vec<StoredTransition> {
        let mut before = State::Online;
        let mut past: Vec<_> = changes
            .iter()
            .map(|(minute, state)| StoredTransition {
                event_id: Uuid::from_u128(*minute as u128),
                old_state: std::mem::replace(&mut before, *state),
                new_state: *state,
                at: at(*minute),
                reason: String::new(),
                message: None,
                health_score: 0,
                evidence: Evidence { check: 1, reports: 1, findings: Findings::default() },
            })
            .collect();
        past.reverse();
        past
    }

    /// Silences from minute 10 to 20 and from 30 to 40.
    fn told(changes: &[(i64, State)]) -> State {
        let end = |minute| match minute {
            10..20 => Some(at(20)),
            30..40 => Some(at(40)),
            _ => None,
        };
        last_told(&past(changes), |moment| end((moment - DateTime::UNIX_EPOCH).num_minutes()))
    }

    #[test]
    fn what_was_told_last_is_what_was_so_before_the_silence() {
        use State::{Degraded, Offline, Online};
        assert_eq!(told(&[(12, Offline)]), Online);
        assert_eq!(told(&[(12, Offline), (15, Online)]), Online, "broken and mended behind its back");
        assert_eq!(told(&[(5, Offline), (15, Online)]), Offline, "mended behind its back");
        assert_eq!(told(&[(5, Degraded), (12, Offline), (15, Degraded), (17, Offline)]), Degraded);
    }

    #[test]
    fn what_an_earlier_silence_held_back_was_told_when_that_ended() {
        use State::{Offline, Online};
        assert_eq!(told(&[(12, Offline), (35, Online)]), Offline);
        assert_eq!(told(&[(12, Offline), (25, Online), (35, Offline)]), Online);
    }

    #[test]
    fn nobody_hears_that_a_cluster_is_well_that_nobody_heard_of() {
        assert!(is_known(State::Unknown, State::Online) && is_known(State::Offline, State::Offline));
        assert!(!is_known(State::Unknown, State::Offline) && !is_known(State::Offline, State::Online));
    }
}
