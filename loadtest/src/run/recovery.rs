//! Whether checks are made at their pace again soon after every outage. Pure.
//!
//! An outage is measured when it is followed by [`WITHIN`] and then [`LEAST`] more in which nothing else is harmed. Checks are counted
//! over a whole number of the longest period, so that it does not matter where in its period a cluster stands.

use super::figures::Figures;
use super::outages::Done;
use crate::clock::WallMs;
use crate::scrape::Reading;

/// The pace has to be there again so soon, in milliseconds.
const WITHIN: i64 = 30_000;
/// Shortest stretch of time over which checks are counted, in milliseconds.
const LEAST: i64 = 10_000;
/// Longest one, unless a period is longer: what comes later is no matter of the outage.
const MOST: i64 = 20_000;

/// What the periods of a fleet make.
#[derive(Clone, Copy, Debug)]
pub struct Nominal {
    /// Checks per second.
    pub rate: f64,
    /// The longest period, in milliseconds.
    pub longest_period: i64,
}

/// The smallest share of the nominal rate after any outage that can be measured, and how many could.
pub fn put_pace_after_outages(figures: &mut Figures, outages: &[Done], readings: &[Reading], nominal: Nominal) {
    let shares: Vec<f64> = (0..outages.len()).filter_map(|nth| share(nth, outages, readings, nominal)).collect();
    if outages.is_empty() {
        return;
    }
    figures.insert("outages_with_room".to_owned(), shares.len() as f64);
    if let Some(least) = shares.into_iter().reduce(f64::min) {
        figures.insert("check_rate_share_after_outages".to_owned(), least);
    }
}

/// The share of the nominal rate after one outage, if nothing else happened long enough.
fn share(nth: usize, outages: &[Done], readings: &[Reading], nominal: Nominal) -> Option<f64> {
    let outage = outages.get(nth)?;
    let others = outages.iter().enumerate().filter(|(other, _)| *other != nth).map(|(_, other)| other);
    let next = others.filter(|other| other.to > outage.to).map(|other| other.from).min();
    let undisturbed = readings.iter().rfind(|reading| next.is_none_or(|next| reading.at <= next))?.at;
    let from = outage.to + WITHIN;
    let room = (undisturbed - from).min(MOST.max(nominal.longest_period));
    let length = room - room.rem_euclid(nominal.longest_period.max(1));
    if length < LEAST {
        return None;
    }
    let made = checks_at(readings, from + length)? - checks_at(readings, from)?;
    Some(made / (length as f64 / 1_000.0) / nominal.rate)
}

/// How many checks there had been at a moment, between the readings around it.
fn checks_at(readings: &[Reading], at: WallMs) -> Option<f64> {
    let after = readings.iter().position(|reading| reading.at >= at)?;
    let (after, before) = (readings.get(after)?, readings.get(after.checked_sub(1)?)?);
    let share = (at - before.at) as f64 / (after.at - before.at).max(1) as f64;
    Some(before.all_checks() + share * (after.all_checks() - before.all_checks()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::scenario::{Harm, Part};

    const NOMINAL: Nominal = Nominal { rate: 100.0, longest_period: 3_000 };

    fn done(from: WallMs, to: WallMs) -> Done {
        Done { harm: Harm::Kill, of: Part::Redis, from, to }
    }

    /// Readings once a second, with so many checks a second.
    fn readings(seconds: i64, rate: impl Fn(i64) -> f64) -> Vec<Reading> {
        let mut made = 0.0;
        let one = |second: i64| {
            made += rate(second);
            let checks = BTreeMap::from([("healthy".to_owned(), made)]);
            Reading { at: second * 1_000, checks, ..Reading::default() }
        };
        (0..seconds).map(one).collect()
    }

    fn measured(outages: &[Done], readings: &[Reading]) -> (Option<f64>, Option<f64>) {
        let mut figures = Figures::new();
        put_pace_after_outages(&mut figures, outages, readings, NOMINAL);
        let figure = |name: &str| figures.get(name).copied();
        (figure("outages_with_room"), figure("check_rate_share_after_outages"))
    }

    #[test]
    fn the_worst_outage_decides_and_not_the_last() {
        let outages = [done(10_000, 20_000), done(80_000, 85_000), done(145_000, 150_000)];
        // Half the pace from 50 s to 70 s, which are the first outage's.
        let readings = readings(220, |second| if (51..=70).contains(&second) { 50.0 } else { 100.0 });
        assert_eq!(measured(&outages, &readings), (Some(3.0), Some(0.5)));
    }

    #[test]
    fn an_outage_without_room_is_not_measured() {
        let slow_until = |until: i64| move |second: i64| if second < until { 10.0 } else { 100.0 };
        let outages = [done(10_000, 20_000), done(58_000, 60_000)];
        assert_eq!(measured(&outages, &readings(120, slow_until(90))), (Some(1.0), Some(1.0)), "38 s are too few");
        let overlapping = [done(10_000, 20_000), done(15_000, 60_000)];
        assert_eq!(measured(&overlapping, &readings(120, slow_until(90))), (Some(1.0), Some(1.0)));
        assert_eq!(measured(&outages, &readings(99, |_| 100.0)), (Some(0.0), None));
        assert_eq!(measured(&[], &readings(99, |_| 100.0)), (None, None));
    }

    #[test]
    fn what_comes_long_after_an_outage_says_nothing_about_it() {
        let quick_later = readings(400, |second| if second <= 70 { 50.0 } else { 200.0 });
        assert_eq!(measured(&[done(10_000, 20_000)], &quick_later), (Some(1.0), Some(0.5)));
    }
}
