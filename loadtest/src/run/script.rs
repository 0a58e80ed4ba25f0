//! A scenario's troubles as one script. Pure.

use crate::judge::Cadence;
use crate::scenario::{Behave, FlapPart, Scenario, ScriptPart, Trouble};
use crate::spokes::dice::Dice;
use crate::spokes::script::Timed;
use crate::spokes::{Behaviour, ClusterType, Script, ScriptOptions, Spoke};

/// What a busy machine may add to a monitor's cadence, in milliseconds: less where everything is fast.
const MARGIN_MS: (i64, i64) = (2_000, 5_000);

/// How fast a correct monitor is with a cluster of this type in this scenario.
pub fn cadence(scenario: &Scenario, kind: ClusterType) -> Cadence {
    let (period, deadline) = scenario.cadence(kind);
    let margin = (period + deadline).clamp(MARGIN_MS.0, MARGIN_MS.1);
    Cadence { period, deadline, recheck: scenario.recheck_ms(), margin }
}

/// Everything that happens to these spokes, in order.
pub fn compose(scenario: &Scenario, spokes: &[Spoke]) -> Script {
    let duration_ms = milliseconds(scenario.time.play_seconds);
    let mut changes = Vec::new();
    for (nth, trouble) in scenario.troubles.iter().enumerate() {
        let seed = scenario.fleet.seed.wrapping_add(1_000 * nth as u64);
        match trouble {
            Trouble::Script { script } => changes.extend(generated(scenario, script, spokes, seed)),
            Trouble::Behave(behave) => changes.extend(behaving(behave, spokes, seed)),
            Trouble::Flap { flap } => changes.extend(flapping(flap, spokes, seed, duration_ms)),
        }
    }
    changes.retain(|change| change.at_ms <= duration_ms);
    changes.sort_by_key(|change| change.at_ms);
    Script { seed: Some(scenario.fleet.seed), duration_ms, changes }
}

fn generated(scenario: &Scenario, part: &ScriptPart, spokes: &[Spoke], seed: u64) -> Vec<Timed> {
    let own_periods = scenario.monitor.settings.keys().any(|key| key.starts_with("health_check."));
    let surest = ClusterType::ALL.map(|kind| cadence(scenario, kind).sure()).into_iter().max();
    let sure = surest.filter(|_| own_periods).and_then(|sure| u64::try_from(sure).ok());
    let options = ScriptOptions {
        seed,
        duration_ms: milliseconds(scenario.time.play_seconds),
        troubles_per_hour: part.troubles_per_hour,
        min_hold_ms: part.min_hold_seconds.map(milliseconds).or(sure),
        max_share: part.max_share,
        clean: part.clean,
        ..ScriptOptions::default()
    };
    Script::generate(spokes, &options).changes
}

fn behaving(part: &Behave, spokes: &[Spoke], seed: u64) -> Vec<Timed> {
    let mut selector = part.select.clone();
    selector.seed ^= seed;
    let chosen: Vec<&Spoke> = selector.choose(spokes).into_iter().filter(|spoke| spoke.has(part.role)).collect();
    let mut dice = Dice::new(seed, 0x0BE_4A7E);
    let mut changes = Vec::new();
    for (spoke, behaviour) in chosen.iter().zip(part.behave.iter().cycle()) {
        let at = part.at_seconds + dice.unit() * part.over_seconds;
        let timed = |at_ms, behaviour| Timed { at_ms, spoke: spoke.name.clone(), role: part.role, behaviour };
        changes.push(timed(milliseconds(at), *behaviour));
        changes.extend(part.for_seconds.map(|length| timed(milliseconds(at + length), Behaviour::Healthy)));
    }
    changes
}

fn flapping(part: &FlapPart, spokes: &[Spoke], seed: u64, duration_ms: u64) -> Vec<Timed> {
    let mut selector = part.select.clone();
    selector.seed ^= seed;
    let (up, down) = (milliseconds(part.up_seconds).max(1), milliseconds(part.down_seconds).max(1));
    let chosen = selector.choose(spokes).into_iter().filter(|spoke| spoke.has(part.role));
    let one = |spoke: &Spoke| {
        Script::flapping(&spoke.name, part.role, seed ^ spoke.index as u64, up, down, duration_ms).changes
    };
    chosen.flat_map(one).collect()
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0).max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spokes::FleetOptions;

    fn composed(troubles: &str, settings: &str) -> (Script, Vec<Spoke>) {
        let text = format!(
            "description: x\nfleet: {{clusters: 100}}\nmonitor: {{settings: {{{settings}}}}}\n\
             time: {{play_seconds: 100}}\ntroubles:\n{troubles}"
        );
        let scenario = Scenario::parse(&text, false).unwrap();
        let spokes = Spoke::plan(&FleetOptions { count: 100, ..FleetOptions::default() }).unwrap();
        (compose(&scenario, &spokes), spokes)
    }

    #[test]
    fn a_share_behaves_for_a_while_and_is_well_again() {
        let (script, spokes) =
            composed("- {at_seconds: 5, for_seconds: 20, select: {share: 0.3}, behave: [dead, hang]}", "");
        script.check(&spokes).unwrap();
        assert_eq!(script.changes.len(), 60);
        assert_eq!((script.changes[0].at_ms, script.changes[59].at_ms), (5_000, 25_000));
        assert_eq!(script.changes[..30].iter().filter(|change| change.behaviour == Behaviour::Hang).count(), 15);
    }

    #[test]
    fn begins_are_spread_over_the_time_given() {
        let (script, _) = composed("- {over_seconds: 50, select: {count: 40}, behave: [dead]}", "");
        assert!(script.changes.is_sorted_by_key(|change| change.at_ms));
        assert!(script.changes[0].at_ms < 15_000 && script.changes[39].at_ms > 35_000);
    }

    #[test]
    fn a_script_holds_states_as_long_as_this_monitor_needs() {
        let fast = "health_check.hub_interval_seconds: 2, health_check.spoke_interval_seconds: 2, \
                    health_check.edge_interval_seconds: 2, health_check.far_edge_interval_seconds: 2, \
                    health_check.timeout_seconds: 1";
        let troubles = "- script: {troubles_per_hour: 600, clean: true}";
        let (slow, fast) = (composed(troubles, "").0, composed(troubles, fast).0);
        assert!(fast.changes.len() > 2 * slow.changes.len(), "{} and {}", fast.changes.len(), slow.changes.len());
    }
}
