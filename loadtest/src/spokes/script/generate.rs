//! Seeded scripts: who gets into which trouble, when, and for how long.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use super::{Script, Timed};
use crate::spokes::behaviour::{Behaviour, CertificateFault, ResetAt};
use crate::spokes::dice::Dice;
use crate::spokes::role::{Role, Scope};
use crate::spokes::spoke::{ClusterType, Spoke};

/// A monitor's second look before it believes bad news, in milliseconds.
const RECHECK_MS: u64 = 2_000;
/// What scheduling and a busy machine may add, in milliseconds.
const MARGIN_MS: u64 = 3_000;

/// What a generated script is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptOptions {
    /// Decides everything the other fields leave open.
    pub seed: u64,
    /// How long it lasts; nothing is in trouble at its end.
    pub duration_ms: u64,
    /// Nothing happens before (a monitor gets to know its fleet).
    pub quiet_ms: u64,
    /// How often a spoke gets into trouble, per hour.
    pub troubles_per_hour: f64,
    /// Each state is held at least this long; by default long enough for a monitor with the usual
    /// period and deadline of the spoke's type to be sure to see it (see [`sure_to_see_ms`]).
    pub min_hold_ms: Option<u64>,
    /// A trouble lasts at most so many times the least.
    pub max_hold_factor: f64,
    /// At most this share of the fleet is in trouble at once.
    pub max_share: f64,
    /// Only troubles whose resulting state is beyond doubt, one server at a time per spoke.
    pub clean: bool,
    /// Share of troubles that come as a row of quick changes (never in a clean script).
    pub flapping: f64,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            duration_ms: 600_000,
            quiet_ms: 0,
            troubles_per_hour: 12.0,
            min_hold_ms: None,
            max_hold_factor: 2.0,
            max_share: 0.3,
            clean: false,
            flapping: 0.1,
        }
    }
}

/// How long a state must last for a monitor to be sure to see it: a period, a check that times out,
/// the recheck that times out as well, and a margin.
pub fn sure_to_see_ms(kind: ClusterType) -> u64 {
    kind.period_ms() + 2 * kind.deadline_ms() + RECHECK_MS + MARGIN_MS
}

/// A trouble: from `start_ms` to `end_ms`, with what happens in between.
struct Episode {
    start_ms: u64,
    end_ms: u64,
    changes: Vec<Timed>,
}

impl Script {
    /// A script for these spokes. The same arguments give the same script.
    pub fn generate(spokes: &[Spoke], options: &ScriptOptions) -> Script {
        let mut episodes: Vec<Episode> = spokes.iter().flat_map(|spoke| troubles(spoke, options)).collect();
        episodes.sort_by_key(|episode| episode.start_ms);
        let most = (spokes.len() as f64 * options.max_share).ceil() as usize;
        let mut changes: Vec<Timed> = bounded(episodes, most.max(1)).flat_map(|episode| episode.changes).collect();
        changes.sort_by(|one, other| (one.at_ms, &one.spoke).cmp(&(other.at_ms, &other.spoke)));
        Script { seed: Some(options.seed), duration_ms: options.duration_ms, changes }
    }

    /// One role of one spoke going up and down: `up_ms` and `down_ms` are means, the times vary by half.
    pub fn flapping(spoke: &str, role: Scope, seed: u64, up_ms: u64, down_ms: u64, duration_ms: u64) -> Script {
        let mut dice = Dice::new(seed, 0xF1A9);
        let changes = flaps(spoke, role, Behaviour::Dead, &mut dice, (up_ms, down_ms), (0, duration_ms));
        Script { seed: Some(seed), duration_ms, changes }
    }
}

fn troubles(spoke: &Spoke, options: &ScriptOptions) -> Vec<Episode> {
    let mut dice = Dice::new(options.seed, 0x7205_0000 + spoke.index as u64);
    let least = options.min_hold_ms.unwrap_or_else(|| sure_to_see_ms(spoke.cluster_type)).max(1);
    let most = (least as f64 * options.max_hold_factor.max(1.0)) as u64;
    let mean_gap = 3_600_000.0 / options.troubles_per_hour.max(1e-6);
    let mut at = options.quiet_ms.max(if options.clean { least } else { 0 });
    let mut episodes = Vec::new();
    loop {
        at += dice.waiting(mean_gap).min(1e12) as u64;
        let end = at + dice.between(least, most);
        if end + least > options.duration_ms {
            return episodes;
        }
        episodes.push(episode(spoke, options, &mut dice, at, end));
        at = end + least;
    }
}

fn episode(spoke: &Spoke, options: &ScriptOptions, dice: &mut Dice, start_ms: u64, end_ms: u64) -> Episode {
    let scope = scope(spoke, options.clean, dice);
    let flapping = !options.clean && dice.unit() < options.flapping;
    let changes = if flapping {
        let beat = ((end_ms - start_ms) / 8).max(1);
        flaps(&spoke.name, scope, Behaviour::Dead, dice, (beat, beat), (start_ms, end_ms))
    } else {
        let trouble = trouble(spoke, scope, options.clean, dice);
        [(start_ms, trouble), (end_ms, Behaviour::Healthy)]
            .map(|(at_ms, behaviour)| Timed { at_ms, spoke: spoke.name.clone(), role: scope, behaviour })
            .to_vec()
    };
    Episode { start_ms, end_ms, changes }
}

/// Half of the troubles hit the API server, a fifth the whole cluster, the rest an optional endpoint.
///
/// In a clean script a change is about one server only: a check that runs while several come back may see some of
/// them, and would be right to call the cluster degraded in between.
fn scope(spoke: &Spoke, clean: bool, dice: &mut Dice) -> Scope {
    let optional: Vec<Role> = spoke.endpoints.iter().map(|one| one.role).filter(|role| *role != Role::Api).collect();
    match dice.unit() {
        chance if chance < 0.5 => Scope::One(Role::Api),
        chance if chance < 0.7 && !clean => Scope::All,
        _ => dice.pick(&optional).map_or(Scope::One(Role::Api), |role| Scope::One(*role)),
    }
}

fn trouble(spoke: &Spoke, scope: Scope, clean: bool, dice: &mut Dice) -> Behaviour {
    let mut choice = beyond_doubt(spoke, scope);
    if !clean {
        choice.extend(questionable(spoke));
    }
    dice.pick(&choice).copied().unwrap_or(Behaviour::Dead)
}

/// Troubles that leave a monitor no choice. Dead counts thrice: it is what happens most.
fn beyond_doubt(spoke: &Spoke, scope: Scope) -> Vec<Behaviour> {
    let mut choice = vec![
        Behaviour::Dead,
        Behaviour::Dead,
        Behaviour::Dead,
        Behaviour::Blackhole,
        Behaviour::Hang,
        Behaviour::Status { code: 500 },
        Behaviour::Status { code: 503 },
        Behaviour::Reset(ResetAt::Accept),
        Behaviour::Reset(ResetAt::Request),
        Behaviour::Garbage,
        Behaviour::EndlessHeaders,
    ];
    let tls = spoke.endpoints.iter().filter(|one| scope.covers(one.role)).all(|one| one.tls);
    if tls {
        choice.extend([
            Behaviour::TlsSilent,
            Behaviour::Plaintext,
            Behaviour::Reset(ResetAt::Handshake),
            Behaviour::Certificate(CertificateFault::Expired),
            Behaviour::Certificate(CertificateFault::WrongName),
            Behaviour::Certificate(CertificateFault::UnknownCa),
        ]);
    }
    choice
}

fn questionable(spoke: &Spoke) -> Vec<Behaviour> {
    let deadline = spoke.cluster_type.deadline_ms() as u32;
    vec![
        Behaviour::Unreachable,
        Behaviour::Slow { ms: deadline / 10 },
        Behaviour::Slow { ms: deadline },
        Behaviour::Slow { ms: deadline * 2 },
        Behaviour::Drip { ms: 20 },
        Behaviour::Drip { ms: 500 },
        Behaviour::Status { code: 401 },
        Behaviour::Status { code: 403 },
        Behaviour::Status { code: 429 },
        Behaviour::Status { code: 302 },
        Behaviour::EndlessBody,
        Behaviour::EndlessInterim,
        Behaviour::CloseAfterResponse,
        Behaviour::GzipBomb,
        Behaviour::DeepJson,
        Behaviour::RetryAfter,
        Behaviour::Certificate(CertificateFault::GiantChain),
    ]
}

fn flaps(
    spoke: &str,
    role: Scope,
    down: Behaviour,
    dice: &mut Dice,
    (up_ms, down_ms): (u64, u64),
    (start_ms, end_ms): (u64, u64),
) -> Vec<Timed> {
    let timed = |at_ms, behaviour| Timed { at_ms, spoke: spoke.to_owned(), role, behaviour };
    let mut around = |mean: u64| dice.between(mean / 2, mean + mean / 2).max(1);
    let mut changes = Vec::new();
    let mut at = start_ms;
    while at < end_ms {
        changes.push(timed(at, down));
        at = (at + around(down_ms)).min(end_ms);
        changes.push(timed(at, Behaviour::Healthy));
        at += around(up_ms);
    }
    changes
}

/// Leaves out episodes that would bring more than `most` spokes into trouble at once.
fn bounded(episodes: Vec<Episode>, most: usize) -> impl Iterator<Item = Episode> {
    let mut ends: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    episodes.into_iter().filter(move |episode| {
        while ends.peek().is_some_and(|Reverse(end)| *end <= episode.start_ms) {
            ends.pop();
        }
        let fits = ends.len() < most;
        if fits {
            ends.push(Reverse(episode.end_ms));
        }
        fits
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::spokes::expect::{State, expected};
    use crate::spokes::options::FleetOptions;

    fn spokes(count: usize) -> Vec<Spoke> {
        Spoke::plan(&FleetOptions { count, seed: 3, ..FleetOptions::default() }).unwrap()
    }

    fn clean(seed: u64) -> ScriptOptions {
        ScriptOptions { seed, clean: true, troubles_per_hour: 30.0, ..ScriptOptions::default() }
    }

    #[test]
    fn the_same_seed_gives_the_same_script_and_another_gives_another() {
        let spokes = spokes(50);
        assert_eq!(Script::generate(&spokes, &clean(1)), Script::generate(&spokes, &clean(1)));
        assert_ne!(Script::generate(&spokes, &clean(1)), Script::generate(&spokes, &clean(2)));
    }

    #[test]
    fn a_clean_script_holds_every_state_long_enough_and_leaves_no_doubt() {
        let spokes = spokes(1_000);
        let script = Script::generate(&spokes, &clean(7));
        assert!(script.changes.len() > 500, "{} changes", script.changes.len());
        let by_name: HashMap<_, _> = spokes.iter().map(|spoke| (spoke.name.clone(), spoke)).collect();
        let mut last: HashMap<&str, (u64, State)> = HashMap::new();
        for change in &script.changes {
            let spoke = by_name[&change.spoke];
            let behaviours = spoke.endpoints.iter().filter(|one| change.role.covers(one.role));
            let now = expected(spoke, behaviours.map(|one| (one.role, change.behaviour)));
            let (at, state) = last.get(change.spoke.as_str()).copied().unwrap_or((0, State::Online));
            assert!(now.clear && now.state != state, "{change:?}");
            assert!(change.at_ms - at >= sure_to_see_ms(spoke.cluster_type), "{change:?} after {at}");
            last.insert(&change.spoke, (change.at_ms, now.state));
        }
        for (name, (at, state)) in last {
            assert_eq!(state, State::Online, "{name} is left in trouble");
            assert!(at + sure_to_see_ms(by_name[name].cluster_type) <= script.duration_ms);
        }
    }

    #[test]
    fn never_more_than_the_share_is_in_trouble_at_once() {
        let options = ScriptOptions { max_share: 0.1, troubles_per_hour: 500.0, ..clean(5) };
        let script = Script::generate(&spokes(100), &options);
        let mut down = 0i32;
        for (nth, change) in script.changes.iter().enumerate() {
            down += if change.behaviour == Behaviour::Healthy { -1 } else { 1 };
            let next_is_later = script.changes.get(nth + 1).is_none_or(|next| next.at_ms > change.at_ms);
            assert!(!next_is_later || down <= 10, "{down} down at {}", change.at_ms);
        }
    }

    #[test]
    fn every_change_of_a_wild_script_can_be_made() {
        let spokes = spokes(300);
        let options = ScriptOptions { troubles_per_hour: 60.0, min_hold_ms: Some(2_000), ..ScriptOptions::default() };
        let script = Script::generate(&spokes, &options);
        script.check(&spokes).unwrap();
        assert!(script.changes.is_sorted_by_key(|change| change.at_ms));
    }

    #[test]
    fn flapping_ends_healthy() {
        let script = Script::flapping("hub-00001", Scope::All, 4, 1_000, 500, 30_000);
        assert!(script.changes.len() > 20);
        assert_eq!(script.changes.last().map(|change| change.behaviour), Some(Behaviour::Healthy));
        assert!(script.changes.is_sorted_by_key(|change| change.at_ms));
    }
}
