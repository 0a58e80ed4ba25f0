//! Whether what callers were told was written is in the log, on the stream and in the API. What was never answered may be or not.

use std::collections::{HashMap, HashSet};

use super::record::{Received, Record};

/// A write as it was asked for and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Of which cluster.
    pub cluster_id: String,
    /// The type of the event that has to tell of it.
    pub event_type: &'static str,
    /// What was written: a name that nobody else writes.
    pub display_name: Option<String>,
    /// The cluster's generation by the answer.
    pub generation: Option<i64>,
    /// Was it answered with 2xx?
    pub acknowledged: bool,
}

/// A cluster as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its generation.
    pub generation: i64,
}

/// What became of the writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// …of which the log has no event.
    pub lost: u64,
    /// …which never arrived on the Redis stream.
    pub lost_on_stream: u64,
    /// …of which the log has more than one event.
    pub repeated: u64,
    /// Clusters that the API shows otherwise than the last acknowledged write, or a later one in doubt, left them.
    pub not_kept: u64,
    /// Writes that were not acknowledged: refused, or never answered.
    pub in_doubt: u64,
    /// …of which the log has an event nevertheless.
    pub in_doubt_told: u64,
    /// What was wrong, in words.
    pub told: Vec<String>,
}

/// What tells one write from another: the event's type, its cluster, and what was written.
type Key<'a> = (&'a str, &'a str, Option<&'a str>);

/// Holds the writes against the log, the arrivals from the stream, and the API at the end (by id).
pub fn inspect(
    writes: &[Write],
    log: &[Record],
    stream: Option<&[Received]>,
    shown: &HashMap<String, Kept>,
) -> Account {
    let logged = told_by(log);
    let streamed = stream.map(|stream| told_by(stream.iter().map(|one| &one.record)));
    let mut account = Account::default();
    for write in writes {
        let events = logged.get(&write.key()).map(Vec::as_slice).unwrap_or_default();
        if !write.acknowledged {
            account.in_doubt += 1;
            account.in_doubt_told += u64::from(!events.is_empty());
            continue;
        }
        account.acknowledged += 1;
        account.repeated += u64::from(distinct(events) > 1);
        if !events.iter().any(|event| write.is_told_by(event)) {
            account.lost += 1;
            account.told.push(format!("acknowledged, and not in the log: {write:?}"));
        }
        if let Some(streamed) = &streamed {
            let there = streamed.get(&write.key()).is_some_and(|all| all.iter().any(|event| write.is_told_by(event)));
            account.lost_on_stream += u64::from(!there);
        }
    }
    look_at_the_end(writes, shown, &mut account);
    account
}

impl Write {
    fn key(&self) -> Key<'_> {
        (self.event_type, &self.cluster_id, self.display_name.as_deref())
    }

    fn is_told_by(&self, event: &Record) -> bool {
        let generation = event.written.as_ref().map(|kept| kept.generation);
        self.generation.is_none() || self.generation == generation
    }
}

fn told_by<'a>(events: impl IntoIterator<Item = &'a Record>) -> HashMap<Key<'a>, Vec<&'a Record>> {
    let mut told: HashMap<Key<'a>, Vec<&'a Record>> = HashMap::new();
    for event in events {
        let name = event.written.as_ref().and_then(|kept| kept.display_name.as_deref());
        told.entry((&event.event_type, &event.cluster_id, name)).or_default().push(event);
    }
    told
}

fn distinct(events: &[&Record]) -> usize {
    events.iter().map(|event| event.event_id.as_str()).collect::<HashSet<_>>().len()
}

fn look_at_the_end(writes: &[Write], shown: &HashMap<String, Kept>, account: &mut Account) {
    let mut of: HashMap<&str, Vec<&Write>> = HashMap::new();
    for write in writes {
        of.entry(&write.cluster_id).or_default().push(write);
    }
    for (id, writes) in of {
        let shown = shown.get(id);
        if !as_it_was_left(&writes, shown) {
            account.not_kept += 1;
            account.told.push(format!("{id} is shown as {shown:?} after {writes:?}"));
        }
    }
}

/// Does the API show a cluster as its last acknowledged write left it, or as one in doubt did after that?
fn as_it_was_left(writes: &[&Write], shown: Option<&Kept>) -> bool {
    let mut removals = writes.iter().filter(|write| write.event_type == "CLUSTER_DELETED").peekable();
    if removals.peek().is_some() {
        return shown.is_none() || removals.all(|write| !write.acknowledged);
    }
    let Some(shown) = shown else { return false };
    let updates = || writes.iter().filter(|write| write.event_type == "CLUSTER_UPDATED");
    let in_doubt = || updates().any(|write| !write.acknowledged && write.display_name == shown.display_name);
    // Of a cluster that was there before, nobody knows what it looked like.
    let registered = writes.iter().any(|write| write.event_type == "CLUSTER_REGISTERED");
    let last = updates().filter(|write| write.acknowledged).max_by_key(|write| write.generation);
    match last {
        Some(last) if last.generation == Some(shown.generation) => last.display_name == shown.display_name,
        Some(last) => last.generation < Some(shown.generation) && in_doubt(),
        None => shown.generation == 1 || !registered || in_doubt(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{received, record};
    use super::*;

    fn write(name: &str, generation: Option<i64>) -> Write {
        Write {
            cluster_id: "a".to_owned(),
            event_type: "CLUSTER_UPDATED",
            display_name: Some(name.to_owned()),
            generation,
            acknowledged: generation.is_some(),
        }
    }

    fn kept(name: &str, generation: i64) -> Kept {
        Kept { display_name: Some(name.to_owned()), generation }
    }

    fn told(name: &str, generation: i64) -> Record {
        Record { written: Some(kept(name, generation)), ..record("a", generation) }
    }

    fn looked_at(writes: &[Write], log: &[Record], shown: Kept) -> Account {
        inspect(writes, log, Some(&received(log)), &HashMap::from([("a".to_owned(), shown)]))
    }

    #[test]
    fn what_was_acknowledged_and_told_is_well() {
        let account = looked_at(&[write("x", Some(2))], &[told("x", 2)], kept("x", 2));
        assert_eq!(account, Account { acknowledged: 1, ..Account::default() });
    }

    #[test]
    fn what_was_acknowledged_and_is_nowhere_is_lost() {
        let account = looked_at(&[write("x", Some(2)), write("y", Some(3))], &[told("x", 2)], kept("x", 2));
        assert_eq!((account.lost, account.lost_on_stream, account.not_kept), (1, 1, 1));
        let other_generation = looked_at(&[write("x", Some(2))], &[told("x", 3)], kept("x", 2));
        assert_eq!(other_generation.lost, 1);
    }

    #[test]
    fn what_was_told_twice_with_different_ids_is_repeated() {
        let again = Record { event_id: "another".to_owned(), ..told("x", 2) };
        assert_eq!(looked_at(&[write("x", Some(2))], &[told("x", 2), again], kept("x", 2)).repeated, 1);
    }

    #[test]
    fn a_write_in_doubt_may_have_been_the_last_or_not() {
        let writes = [write("x", Some(2)), write("y", None)];
        for (log, shown) in [(vec![told("x", 2)], kept("x", 2)), (vec![told("x", 2), told("y", 3)], kept("y", 3))] {
            let account = looked_at(&writes, &log, shown);
            assert_eq!((account.not_kept, account.lost, account.in_doubt), (0, 0, 1));
            assert_eq!(account.in_doubt_told, log.len() as u64 - 1);
        }
    }

    #[test]
    fn an_older_or_a_foreign_value_at_the_end_is_found() {
        let writes = [write("x", Some(2)), write("y", None), write("z", Some(4))];
        let log = [told("x", 2), told("y", 3), told("z", 4)];
        for shown in [kept("x", 2), kept("y", 3), kept("y", 4), kept("other", 5)] {
            assert_eq!(looked_at(&writes, &log, shown.clone()).not_kept, 1, "{shown:?}");
        }
        assert_eq!(inspect(&writes, &log, None, &HashMap::new()).not_kept, 1, "it is gone");
    }

    #[test]
    fn a_removed_cluster_is_gone_and_told() {
        let removal =
            |acknowledged| Write { event_type: "CLUSTER_DELETED", display_name: None, acknowledged, ..write("", None) };
        let log = [Record { event_type: "CLUSTER_DELETED".to_owned(), ..record("a", 2) }];
        assert_eq!(inspect(&[removal(true)], &log, None, &HashMap::new()).lost, 0);
        assert_eq!(looked_at(&[removal(true)], &log, kept("x", 1)).not_kept, 1);
        assert_eq!(looked_at(&[removal(false)], &[], kept("x", 1)).not_kept, 0);
    }
}
