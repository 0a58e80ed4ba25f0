//! What a start of the monitor does to the fleet: how soon each cluster is checked, and how many connections come at once. Pure.

use std::collections::{BTreeMap, HashMap};

use super::figures::Figures;
use super::outages::Diary;
use crate::clock::WallMs;

/// When the monitor was last started again, and when it was ready then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its process began.
    pub at: WallMs,
    /// It was ready.
    pub ready: WallMs,
}

impl Diary {
    /// The last start, if there was one that got ready.
    pub fn last_started(&self) -> Option<Start> {
        Some(Start { at: self.last_start?, ready: self.last_ready? })
    }
}

/// Seconds from the start to the last cluster's first check, and the longest wait from ready on by the cluster's own period.
/// `periods` has every cluster's, in seconds; a cluster that was never checked makes both endless.
pub fn put_first_checks(
    figures: &mut Figures,
    firsts: &HashMap<String, f64>,
    periods: &HashMap<String, f64>,
    start: Start,
) {
    let since = |moment: WallMs| move |at: f64| at - moment as f64 / 1_000.0;
    let (from_start, from_ready) = (since(start.at), since(start.ready));
    let (mut last, mut share) = (0.0_f64, 0.0_f64);
    for (cluster, period) in periods {
        let first = firsts.get(cluster).copied();
        last = last.max(first.map_or(f64::MAX, from_start));
        share = share.max(first.map_or(f64::MAX, |at| from_ready(at) / period));
    }
    figures.insert("all_checked_after_restart_seconds".to_owned(), last);
    figures.insert("first_check_share_of_period_max".to_owned(), share);
}

/// The most connections that all spokes together accepted in any second: while the fleet was registered and first checked, and after the
/// last start; each by `even`, the connections per second when every endpoint gets one within its cluster's period.
pub fn put_connects(
    figures: &mut Figures,
    accepted: &BTreeMap<i64, u64>,
    even: f64,
    registered: (WallMs, WallMs),
    start: Option<Start>,
) {
    let most = |from: WallMs, to: WallMs| {
        let seconds = accepted.range(from.div_euclid(1_000)..=to.div_euclid(1_000));
        seconds.map(|(_, count)| *count).max().unwrap_or(0) as f64
    };
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("connects_per_second_even", even);
    put("connects_at_first_max_per_second", most(registered.0, registered.1));
    if let Some(start) = start {
        let most = most(start.at, WallMs::MAX);
        put("connects_after_restart_max_per_second", most);
        put("connects_after_restart_by_even", most / even);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start { at: 100_000, ready: 102_000 };

    fn first_checks(firsts: &[(&str, f64)]) -> (f64, f64) {
        let periods = HashMap::from([("hub".to_owned(), 10.0), ("edge".to_owned(), 100.0)]);
        let firsts = firsts.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        let mut figures = Figures::new();
        put_first_checks(&mut figures, &firsts, &periods, START);
        (figures["all_checked_after_restart_seconds"], figures["first_check_share_of_period_max"])
    }

    #[test]
    fn every_cluster_waits_at_most_its_own_period() {
        assert_eq!(first_checks(&[("hub", 107.0), ("edge", 192.0)]), (92.0, 0.9));
        assert_eq!(first_checks(&[("hub", 122.0), ("edge", 110.0)]), (22.0, 2.0));
    }

    #[test]
    fn a_cluster_that_is_never_checked_is_no_restart_in_time() {
        assert_eq!(first_checks(&[("hub", 107.0)]).0, f64::MAX);
    }

    #[test]
    fn connects_are_counted_by_the_second_and_measured_by_the_even_rate() {
        let accepted = BTreeMap::from([(10, 900), (50, 7), (100, 20), (101, 30), (102, 10)]);
        let mut figures = Figures::new();
        put_connects(&mut figures, &accepted, 10.0, (9_000, 20_000), Some(START));
        assert_eq!(figures["connects_at_first_max_per_second"], 900.0);
        assert_eq!(figures["connects_after_restart_max_per_second"], 30.0);
        assert_eq!(figures["connects_after_restart_by_even"], 3.0);
        let mut none = Figures::new();
        put_connects(&mut none, &accepted, 10.0, (9_000, 20_000), None);
        assert!(!none.contains_key("connects_after_restart_by_even"));
    }
}
