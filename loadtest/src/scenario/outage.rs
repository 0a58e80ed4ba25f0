//! Outages of servers: given ones, and random ones from a seed. Planned here, carried out elsewhere.

use serde::{Deserialize, Serialize};

use crate::spokes::dice::Dice;

/// What is harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The monitor itself.
    Fleetbeat,
    /// Its Redis.
    Redis,
    /// Its PostgreSQL.
    Postgresql,
    /// The harness's own reader of the Redis stream.
    Consumer,
}

/// How it is harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Harm {
    /// SIGKILL; started again when it is over.
    Kill,
    /// SIGSTOP; SIGCONT when it is over.
    Stop,
    /// SIGTERM; started again when it is over.
    Terminate,
    /// Connections to it stay open and carry nothing.
    Blackhole,
}

/// One outage.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Seconds from the begin of the play.
    pub at_seconds: f64,
    /// How.
    pub harm: Harm,
    /// What.
    pub of: Part,
    /// How long.
    #[serde(default)]
    pub for_seconds: f64,
}

/// Random outages, one after the other, from the begin of the play.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cycles {
    /// How many.
    pub count: usize,
    /// What may happen.
    pub of: Vec<(Harm, Part)>,
    /// Shortest and longest pause between two of them, in seconds.
    pub gap_seconds: (f64, f64),
    /// Shortest and longest outage, in seconds.
    pub for_seconds: (f64, f64),
    /// Longer pauses now and then, in which what an outage left behind can be measured.
    #[serde(default)]
    pub rest: Option<Rest>,
}

/// Pauses between random outages.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// After every so many outages.
    pub every: usize,
    /// The pause after such a one, at least, in seconds.
    pub seconds: f64,
}

impl Cycles {
    /// The shortest pause before the outage with this number, counted from 0.
    fn pause_before(&self, nth: usize) -> f64 {
        let rest = self.rest.filter(|rest| nth > 0 && nth.is_multiple_of(rest.every));
        rest.map_or(0.0, |rest| rest.seconds)
    }
}

/// Every outage of a play, in order.
pub fn plan(outages: &[Outage], cycles: Option<&Cycles>, seed: u64) -> Vec<Outage> {
    let mut all = outages.to_vec();
    let mut dice = Dice::new(seed, 0xFA17);
    let mut at = 0.0;
    for nth in 0..cycles.map_or(0, |cycles| cycles.count) {
        let Some((cycles, (harm, of))) = cycles.and_then(|cycles| Some((cycles, *dice.pick(&cycles.of)?))) else {
            break;
        };
        at += between(&mut dice, cycles.gap_seconds).max(cycles.pause_before(nth));
        let for_seconds = between(&mut dice, cycles.for_seconds);
        all.push(Outage { at_seconds: at, harm, of, for_seconds });
        at += for_seconds;
    }
    all.sort_by(|one, other| one.at_seconds.total_cmp(&other.at_seconds));
    all
}

fn between(dice: &mut Dice, (low, high): (f64, f64)) -> f64 {
    low + dice.unit() * (high - low).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_seeded_and_never_overlap() {
        let cycles = Cycles {
            count: 20,
            of: vec![(Harm::Kill, Part::Redis), (Harm::Stop, Part::Postgresql)],
            gap_seconds: (1.0, 3.0),
            for_seconds: (0.0, 2.0),
            rest: None,
        };
        let planned = plan(&[], Some(&cycles), 7);
        assert_eq!(planned.len(), 20);
        assert_eq!(planned, plan(&[], Some(&cycles), 7));
        assert_ne!(planned, plan(&[], Some(&cycles), 8));
        for pair in planned.windows(2) {
            assert!(pair[1].at_seconds >= pair[0].at_seconds + pair[0].for_seconds + 1.0);
        }
    }

    fn every_second_and_a_half(count: usize) -> Cycles {
        let of = vec![(Harm::Stop, Part::Redis)];
        Cycles { count, of, gap_seconds: (1.5, 1.5), for_seconds: (0.0, 0.0), rest: None }
    }

    #[test]
    fn there_is_a_rest_after_every_so_many_outages() {
        let cycles = Cycles { rest: Some(Rest { every: 2, seconds: 40.0 }), ..every_second_and_a_half(5) };
        let at: Vec<f64> = plan(&[], Some(&cycles), 1).iter().map(|outage| outage.at_seconds).collect();
        assert_eq!(at, [1.5, 3.0, 43.0, 44.5, 84.5]);
    }

    #[test]
    fn given_outages_and_random_ones_come_in_order() {
        let given = Outage { at_seconds: 2.0, harm: Harm::Kill, of: Part::Fleetbeat, for_seconds: 0.5 };
        let cycles = every_second_and_a_half(3);
        let at: Vec<f64> = plan(&[given], Some(&cycles), 1).iter().map(|outage| outage.at_seconds).collect();
        assert_eq!(at, [1.5, 2.0, 3.0, 4.5]);
    }
}
