//! Scenarios: what fleet, what monitor, which troubles, which outages, which limits. Read from YAML; nothing is run here.

mod figure;
mod library;
mod limit;
mod outage;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::spokes::{Behaviour, ClusterType, Scope, Selector};

pub use figure::is_figure;
pub use library::{LIBRARY, Named, find};
pub use limit::{Limit, LimitError};
pub use outage::{Cycles, Harm, Outage, Part, Rest, plan};

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One sentence for people.
    pub description: String,
    /// The promise it shows, such as `R3`.
    #[serde(default)]
    pub promise: Option<String>,
    /// The simulated fleet.
    pub fleet: FleetPart,
    /// The monitor that is watched.
    #[serde(default)]
    pub monitor: MonitorPart,
    /// How long the steps may take and last.
    pub time: TimePart,
    /// What happens to the spokes.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
    /// What happens to the servers, at fixed times.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// What happens to the servers, at random times.
    #[serde(default)]
    pub cycles: Option<Cycles>,
    /// Callers of the API meanwhile.
    #[serde(default)]
    pub callers: CallersPart,
    /// What the log must say.
    #[serde(default)]
    pub expect: Expect,
    /// Figures and their limits; they decide the exit code.
    #[serde(default)]
    pub limits: BTreeMap<String, Limit>,
    /// Laid over everything else with `--short`.
    #[serde(default)]
    pub short: Option<Value>,
}

/// The simulated fleet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetPart {
    /// How many spokes.
    pub clusters: usize,
    /// Optional endpoints, as on the command line of `spokes`.
    #[serde(default = "seeded")]
    pub endpoints: String,
    /// Decides the fleet and the troubles.
    #[serde(default = "one")]
    pub seed: u64,
    /// Healthy servers close connections idle for so many seconds.
    #[serde(default)]
    pub idle_close_seconds: Option<f64>,
}

/// The monitor that is watched.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorPart {
    /// Its settings, by dotted key (`health_check.hub_interval_seconds: 10`).
    pub settings: BTreeMap<String, Value>,
    /// Its database.
    pub database: Database,
    /// Whether it publishes to a Redis of its own.
    pub redis: bool,
    /// How many descriptors it may open at most; nothing leaves the limit as it is.
    pub descriptors: Option<u64>,
}

/// Where the monitor keeps everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// Its embedded default.
    #[default]
    Sqlite,
    /// A server of its own.
    Postgresql,
}

/// How long the steps may take and last.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimePart {
    /// Longest wait for every cluster's first check.
    #[serde(default = "warm_up")]
    pub warm_up_seconds: f64,
    /// Pause after that, before anything is measured.
    #[serde(default = "still")]
    pub still_seconds: f64,
    /// The troubles play this long; figures are taken over it.
    pub play_seconds: f64,
    /// Time for the last changes to be noticed.
    #[serde(default = "settle")]
    pub settle_seconds: f64,
    /// Pause between two scrapes of `/metrics`.
    #[serde(default = "scrape")]
    pub scrape_seconds: f64,
}

/// One kind of trouble for the spokes.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Trouble {
    /// A seeded script over the whole fleet.
    Script {
        /// What it is like.
        script: ScriptPart,
    },
    /// The same behaviour for many, for a while.
    Behave(Behave),
    /// Some spokes go up and down.
    Flap {
        /// Which, and how fast.
        flap: FlapPart,
    },
}

/// A generated script.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptPart {
    /// Troubles of one spoke per hour.
    pub troubles_per_hour: f64,
    /// Only troubles beyond doubt.
    #[serde(default)]
    pub clean: bool,
    /// Shortest time of a state; by default long enough for this monitor's settings.
    #[serde(default)]
    pub min_hold_seconds: Option<f64>,
    /// Largest share of the fleet in trouble at once.
    #[serde(default = "third")]
    pub max_share: f64,
}

/// The same behaviour for many spokes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behave {
    /// Seconds from the begin of the play.
    #[serde(default)]
    pub at_seconds: f64,
    /// How long; until the end when left out.
    #[serde(default)]
    pub for_seconds: Option<f64>,
    /// Begins spread over so many seconds, spoke by spoke.
    #[serde(default)]
    pub over_seconds: f64,
    /// Which spokes.
    #[serde(default)]
    pub select: Selector,
    /// What of them.
    #[serde(default)]
    pub role: Scope,
    /// The behaviours; each spoke has one of them, in turn.
    pub behave: Vec<Behaviour>,
}

/// Spokes that go up and down.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlapPart {
    /// Which spokes.
    #[serde(default)]
    pub select: Selector,
    /// What of them.
    #[serde(default)]
    pub role: Scope,
    /// Mean seconds up.
    pub up_seconds: f64,
    /// Mean seconds down.
    pub down_seconds: f64,
}

/// Callers of the API while the play runs. 0 is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallersPart {
    /// `GET` of one cluster and of its status, in turn.
    pub gets_per_second: f64,
    /// Filtered lists, 100 a page.
    pub lists_per_second: f64,
    /// Changes of a cluster's metadata.
    pub writes_per_second: f64,
    /// Clusters registered and removed again.
    pub churn_per_second: f64,
    /// Live streams (server-sent events) held open besides the harness's own; what each hears is judged.
    pub listeners: usize,
    /// The same over WebSocket.
    pub websockets: usize,
    /// WebSockets that read nothing for most of the play: fleetbeat has to drop them and tell them.
    pub slow_websockets: usize,
}

/// What the log must say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Every clear transition of the truth, and no other.
    #[default]
    Truth,
    /// No change of state at all, whatever the spokes do.
    NoChange,
}

/// Figures whose limits go with the scale.
const PACES: [&str; 5] =
    ["clusters", "gets_per_second", "lists_per_second", "writes_per_second", "kept_connections_end"];

fn seeded() -> String {
    "seeded".to_owned()
}
fn one() -> u64 {
    1
}
fn third() -> f64 {
    0.3
}
fn warm_up() -> f64 {
    150.0
}
fn still() -> f64 {
    5.0
}
fn settle() -> f64 {
    30.0
}
fn scrape() -> f64 {
    5.0
}

/// A scenario that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the scenario cannot be read: {0}")]
pub struct Unreadable(pub String);

impl Scenario {
    /// Reads YAML, in its short form when asked for.
    ///
    /// # Errors
    /// What is wrong, with its place as far as it is known.
    pub fn parse(text: &str, short: bool) -> Result<Scenario, Unreadable> {
        let scenario: Scenario = serde_saphyr::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
        let Some(over) = scenario.short.clone().filter(|_| short) else { return scenario.known() };
        let mut whole: Value = serde_saphyr::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
        lay_over(&mut whole, over);
        serde_json::from_value::<Scenario>(whole).map_err(|error| Unreadable(error.to_string()))?.known()
    }

    /// The scenario, if it limits nothing but figures that a run can have.
    fn known(self) -> Result<Scenario, Unreadable> {
        match self.limits.keys().find(|name| !is_figure(name)) {
            Some(name) => Err(Unreadable(format!("limits.{name}: there is no such figure (see loadtest/README.md)"))),
            None => Ok(self),
        }
    }

    /// A smaller or larger fleet, with as many callers as that makes; limits of the fleet's size and of the callers' pace go with it.
    pub fn scale(&mut self, factor: f64) {
        self.fleet.clusters = ((self.fleet.clusters as f64 * factor).round() as usize).max(1);
        self.callers.churn_per_second *= factor;
        self.callers.gets_per_second *= factor;
        self.callers.lists_per_second *= factor;
        self.callers.writes_per_second *= factor;
        for (figure, limit) in &mut self.limits {
            if PACES.contains(&figure.as_str()) {
                *limit = limit.scaled(factor);
            }
        }
        for count in [&mut self.callers.listeners, &mut self.callers.websockets] {
            *count = (*count as f64 * factor).round() as usize;
        }
    }

    /// Makes the play so many seconds long, with everything that happens in it at the same place.
    pub fn stretch(&mut self, play_seconds: f64) {
        let factor = play_seconds / self.time.play_seconds;
        self.time.play_seconds = play_seconds;
        for trouble in &mut self.troubles {
            if let Trouble::Behave(behave) = trouble {
                behave.at_seconds *= factor;
                behave.over_seconds *= factor;
                behave.for_seconds = behave.for_seconds.map(|seconds| seconds * factor);
            }
        }
        for outage in &mut self.outages {
            outage.at_seconds *= factor;
            outage.for_seconds *= factor;
        }
        if let Some(cycles) = &mut self.cycles {
            cycles.count = ((cycles.count as f64 * factor).round() as usize).max(1);
        }
    }

    /// How often a cluster of this type is checked, and how long a check may take, in milliseconds.
    pub fn cadence(&self, kind: ClusterType) -> (i64, i64) {
        let word = match kind {
            ClusterType::Hub => "hub",
            ClusterType::Spoke => "spoke",
            ClusterType::Edge => "edge",
            ClusterType::FarEdge => "far_edge",
        };
        let period = self.seconds(&format!("health_check.{word}_interval_seconds"));
        let deadline = self.seconds("health_check.timeout_seconds");
        let deadline = deadline.or_else(|| self.seconds(&format!("health_check.{word}_timeout_seconds")));
        (
            period.unwrap_or(i64::try_from(kind.period_ms()).unwrap_or(i64::MAX)),
            deadline.unwrap_or(i64::try_from(kind.deadline_ms()).unwrap_or(i64::MAX)),
        )
    }

    /// The second look at a failure, in milliseconds.
    pub fn recheck_ms(&self) -> i64 {
        self.seconds("health_check.recheck_delay_seconds").unwrap_or(2_000)
    }

    fn seconds(&self, key: &str) -> Option<i64> {
        self.monitor.settings.get(key)?.as_f64().map(|seconds| (seconds * 1_000.0) as i64)
    }
}

/// Replaces what `over` names, object by object; `null` takes a key away.
fn lay_over(whole: &mut Value, over: Value) {
    match (whole, over) {
        (Value::Object(whole), Value::Object(over)) => {
            for (key, value) in over {
                match value {
                    Value::Null => drop(whole.remove(&key)),
                    value => lay_over(whole.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (whole, over) => *whole = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
description: Something dies
fleet: {clusters: 100}
monitor: {settings: {health_check.hub_interval_seconds: 3}}
time: {play_seconds: 60}
troubles:
- {at_seconds: 1, select: {share: 0.5}, behave: [dead, 'status:503']}
- script: {troubles_per_hour: 6, clean: true}
limits: {lost: '<= 0'}
short: {fleet: {clusters: 10}, limits: {lag_p99_seconds: '< 1'}}
";

    #[test]
    fn a_scenario_is_read_with_its_defaults() {
        let scenario = Scenario::parse(SMALL, false).unwrap();
        assert_eq!((scenario.fleet.clusters, scenario.fleet.seed), (100, 1));
        assert_eq!(scenario.troubles.len(), 2);
        assert_eq!(scenario.cadence(ClusterType::Hub), (3_000, 5_000));
        assert_eq!(scenario.cadence(ClusterType::Edge), (60_000, 15_000));
        assert_eq!(scenario.expect, Expect::Truth);
    }

    #[test]
    fn the_short_form_replaces_only_what_it_names() {
        let scenario = Scenario::parse(SMALL, true).unwrap();
        assert_eq!((scenario.fleet.clusters, scenario.time.play_seconds), (10, 60.0));
        assert_eq!(scenario.limits.keys().collect::<Vec<_>>(), ["lag_p99_seconds", "lost"]);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Scenario::parse(&SMALL.replace("play_seconds", "play_secs"), false).unwrap_err().to_string();
        assert!(error.contains("play_secs"), "{error}");
    }

    #[test]
    fn a_limit_of_no_figure_is_refused_in_either_form() {
        for (right, wrong, short) in [("lost", "lots", false), ("lag_p99_seconds", "lag_p98_seconds", true)] {
            let error = Scenario::parse(&SMALL.replace(right, wrong), short).unwrap_err().to_string();
            assert!(error.contains(&format!("limits.{wrong}: there is no such figure")), "{error}");
        }
    }

    #[test]
    fn a_longer_play_moves_what_happens_in_it() {
        let mut scenario = Scenario::parse(SMALL, false).unwrap();
        scenario.stretch(120.0);
        let Some(Trouble::Behave(behave)) = scenario.troubles.first() else { panic!("{scenario:?}") };
        assert_eq!((scenario.time.play_seconds, behave.at_seconds), (120.0, 2.0));
    }

    #[test]
    fn scaling_takes_every_caller_and_the_limits_of_their_pace_along() {
        let callers = "callers: {gets_per_second: 200, lists_per_second: 20, writes_per_second: 2, listeners: 10}";
        let limits = "limits: {gets_per_second: '>= 198', get_p99_seconds: '<= 0.005'}";
        let text = format!("{}\n{callers}\n", SMALL.replace("limits: {lost: '<= 0'}", limits));
        let mut scenario = Scenario::parse(&text, false).unwrap();
        scenario.scale(0.5);
        let callers = &scenario.callers;
        assert_eq!((callers.gets_per_second, callers.lists_per_second, callers.writes_per_second), (100.0, 10.0, 1.0));
        assert_eq!(callers.listeners, 5);
        let limits: Vec<String> = scenario.limits.values().map(ToString::to_string).collect();
        assert_eq!(limits, ["<= 0.005", ">= 99"]);
    }

    #[test]
    fn scaling_never_leaves_an_empty_fleet() {
        let mut scenario = Scenario::parse(SMALL, false).unwrap();
        scenario.scale(0.000_1);
        assert_eq!(scenario.fleet.clusters, 1);
    }
}
