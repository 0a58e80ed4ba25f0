//! How soon after Redis came back something was published again, and how fast what waited for it. By Redis's own times. Pure.

use std::collections::HashMap;

use super::figures::Figures;
use super::outages::Done;
use crate::clock::WallMs;
use crate::judge::Received;
use crate::scenario::Part;

/// Fewer events than these say nothing about a pace.
const BACKLOG: usize = 100;

/// What happened to the events that waited for the end of an outage.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Drain {
    /// From the end of the outage until the first of them was taken.
    again_seconds: f64,
    /// From the end of the outage until the last of them was taken.
    seconds: f64,
    /// How many of them that is a second; none of too few.
    pace: Option<f64>,
}

/// The worst of every outage of Redis.
pub fn put_drains(figures: &mut Figures, outages: &[Done], stream: &[Received]) {
    let of_redis = outages.iter().filter(|outage| outage.of == Part::Redis);
    let drains: Vec<Drain> = of_redis.filter_map(|outage| drain(outage.to, stream)).collect();
    let mut put = |name: &str, value: Option<f64>| figures.extend(value.map(|value| (name.to_owned(), value)));
    put("published_again_max_seconds", drains.iter().map(|drain| drain.again_seconds).reduce(f64::max));
    put("drain_max_seconds", drains.iter().map(|drain| drain.seconds).reduce(f64::max));
    put("drain_events_per_second", drains.iter().filter_map(|drain| drain.pace).reduce(f64::min));
}

/// What waited is what happened before the end of the outage and was first taken after it.
fn drain(end: WallMs, stream: &[Received]) -> Option<Drain> {
    let mut taken: HashMap<&str, WallMs> = HashMap::new();
    for one in stream.iter().filter(|one| one.record.at < end) {
        let at = one.taken?;
        taken.entry(&one.record.event_id).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }
    let waited: Vec<WallMs> = taken.into_values().filter(|at| *at >= end).collect();
    let (first, last) = waited.iter().min().zip(waited.iter().max())?;
    let after = |at: &WallMs| (at - end) as f64 / 1_000.0;
    let pace = || waited.len() as f64 / after(last).max(0.001);
    Some(Drain { again_seconds: after(first), seconds: after(last), pace: (waited.len() >= BACKLOG).then(pace) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::sample::record;
    use crate::scenario::Harm;

    /// An event that happened at a time and was taken at another.
    fn taken(nth: i64, at: WallMs, taken: WallMs) -> Received {
        let record = crate::judge::Record { at, ..record("a", nth) };
        Received { record, arrived: taken, taken: Some(taken) }
    }

    fn figures(outages: &[(Part, WallMs)], stream: &[Received]) -> [Option<f64>; 3] {
        let outages: Vec<Done> =
            outages.iter().map(|(of, to)| Done { harm: Harm::Kill, of: *of, from: 1_000, to: *to }).collect();
        let mut figures = Figures::new();
        put_drains(&mut figures, &outages, stream);
        ["published_again_max_seconds", "drain_max_seconds", "drain_events_per_second"]
            .map(|name| figures.get(name).copied())
    }

    /// One event every 10 ms from 2 s on, while Redis is away until 4 s; from 6 s on one a millisecond is taken.
    fn backlog() -> Vec<Received> {
        (0..200).map(|nth| taken(nth, 2_000 + nth * 10, 6_000 + nth)).collect()
    }

    #[test]
    fn a_backlog_is_timed_from_the_end_of_the_outage() {
        let all = figures(&[(Part::Redis, 4_000)], &backlog());
        assert_eq!(all, [Some(2.0), Some(2.199), Some(200.0 / 2.199)]);
    }

    #[test]
    fn what_did_not_wait_for_the_end_does_not_count() {
        let mut stream = backlog();
        stream.push(taken(500, 1_500, 1_501));
        stream.push(taken(500, 1_500, 9_000));
        stream.push(taken(501, 8_000, 8_500));
        assert_eq!(figures(&[(Part::Redis, 4_000)], &stream), figures(&[(Part::Redis, 4_000)], &backlog()));
    }

    #[test]
    fn a_few_events_say_nothing_about_the_pace_and_other_outages_nothing_at_all() {
        let few = &backlog()[..99];
        assert_eq!(figures(&[(Part::Redis, 4_000)], few), [Some(2.0), Some(2.098), None]);
        assert_eq!(figures(&[(Part::Postgresql, 4_000)], &backlog()), [None; 3]);
        assert_eq!(figures(&[(Part::Redis, 4_000)], &[]), [None; 3]);
    }
}
