//! When a cluster is asked what it can do. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::roll::ClusterId;

/// A fleet that was never asked is asked within this time of the start, evenly.
const FIRST_ROUND: TimeDelta = TimeDelta::minutes(30);
/// After a failure, so long until the next try.
const RETRY: TimeDelta = TimeDelta::minutes(15);

/// How often clusters are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Ask a cluster as soon as it can be asked?
    pub on_registration: bool,
    /// Pause between two rounds.
    pub period: TimeDelta,
    /// When this process began to ask.
    pub since: DateTime<Utc>,
}

/// What is known of the asking of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When it was asked last, and how that went.
    pub last: Option<(DateTime<Utc>, Outcome)>,
    /// Version of the credentials that were there when this process looked first, or when it asked last.
    pub credentials: Option<u64>,
}

/// How asking went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is known.
    Complete,
    /// Something could not be found out.
    Partial,
    /// Nothing could.
    Failed,
}

impl Outcome {
    /// The outcome of a stored word; every other word is the cause of a failure.
    pub fn of_word(word: &str) -> Self {
        match word {
            "complete" => Self::Complete,
            "partial" => Self::Partial,
            _ => Self::Failed,
        }
    }
}

/// When a cluster with these credentials is to be asked (next).
pub fn due(
    id: ClusterId,
    registered: DateTime<Utc>,
    record: &Record,
    credentials: u64,
    habits: &Habits,
) -> DateTime<Utc> {
    let renewed = habits.on_registration && record.credentials.is_some_and(|known| known != credentials);
    let Some((at, outcome)) = record.last else {
        return match habits.on_registration {
            true if registered >= habits.since || renewed => registered,
            true => habits.since + share(id, FIRST_ROUND.min(habits.period)),
            false => registered + share(id, habits.period),
        };
    };
    if renewed && outcome != Outcome::Complete {
        return at;
    }
    match outcome {
        Outcome::Complete | Outcome::Partial => at + habits.period - share(id, habits.period / 10),
        Outcome::Failed => at + RETRY + share(id, RETRY / 2),
    }
}

/// This cluster's share of a span.
fn share(id: ClusterId, span: TimeDelta) -> TimeDelta {
    let thousandths = i32::try_from(id.spread() % 1_000).unwrap_or(0);
    span / 1_000 * thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn habits(on_registration: bool, hours: i64) -> Habits {
        Habits { on_registration, period: TimeDelta::hours(hours), since: at(1_000) }
    }

    fn never() -> Record {
        Record { last: None, credentials: Some(1) }
    }

    fn asked(minutes: i64, outcome: Outcome) -> Record {
        Record { last: Some((at(minutes), outcome)), credentials: Some(1) }
    }

    #[test]
    fn a_new_cluster_is_asked_at_once() {
        let id = ClusterId::generate();
        assert_eq!(due(id, at(1_005), &never(), 1, &habits(true, 24)), at(1_005));
        let later = due(id, at(1_005), &never(), 1, &habits(false, 24));
        assert!(later >= at(1_005) && later < at(1_005 + 24 * 60));
    }

    #[test]
    fn a_cluster_that_gets_its_credentials_later_is_asked_then() {
        let id = ClusterId::generate();
        assert_eq!(due(id, at(5), &never(), 2, &habits(true, 24)), at(5));
        assert_eq!(due(id, at(5), &asked(1_001, Outcome::Failed), 2, &habits(true, 24)), at(1_001));
        let complete = due(id, at(5), &asked(1_001, Outcome::Complete), 2, &habits(true, 24));
        assert!(complete > at(1_001 + 21 * 60), "a rotation alone is no reason to ask again");
    }

    #[test]
    fn a_fleet_that_was_never_asked_is_asked_evenly() {
        let mut buckets = [0; 6];
        for _ in 0..6_000 {
            let when = due(ClusterId::generate(), at(5), &never(), 1, &habits(true, 24));
            let minutes = (when - at(1_000)).num_minutes();
            buckets[usize::try_from(minutes / 5).unwrap()] += 1;
        }
        assert!(buckets.iter().all(|count| (800..1_200).contains(count)), "{buckets:?}");
    }

    #[test]
    fn a_restart_causes_no_round() {
        let id = ClusterId::generate();
        let next = due(id, at(5), &asked(900, Outcome::Complete), 1, &habits(true, 24));
        assert!(next > at(900 + 21 * 60) && next <= at(900 + 24 * 60));
    }

    #[test]
    fn a_failure_is_tried_again_soon_but_not_at_once() {
        let next = due(ClusterId::generate(), at(5), &asked(1_000, Outcome::Failed), 1, &habits(true, 24));
        assert!(next >= at(1_015) && next < at(1_023));
    }
}
