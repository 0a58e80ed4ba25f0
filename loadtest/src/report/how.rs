//! How a run was made: what it takes to judge its figures, and to make it again.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::scenario::Scenario;

/// How a run was made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct How {
    /// In the scenario's short form, whose figures say nothing about the long one.
    pub short: bool,
    /// So many times as many clusters and callers.
    pub scale: Option<f64>,
    /// The length of the play that was asked for instead of the scenario's, in minutes.
    pub minutes: Option<f64>,
    /// Settings beside the scenario's.
    pub set: Vec<String>,
    /// With a fleetbeat that ran already.
    pub attached: bool,
    /// With processors that were kept awake, so that times tell nothing of how busy the host of a virtual machine is.
    pub kept_awake: bool,
    /// Decides the fleet, the troubles and the outages.
    pub seed: u64,
    /// How many clusters.
    pub clusters: usize,
    /// How long the play was, in seconds.
    pub play_seconds: f64,
    /// Version of the harness.
    pub harness: String,
    /// What the fleetbeat of this run calls itself.
    pub fleetbeat: Option<String>,
    /// Cores of this machine.
    pub cores: usize,
    /// Load averages of this machine when the run began.
    pub load: String,
    /// Figures that cannot be measured this way, by how their names begin: their limits are skipped.
    pub unmeasurable: Vec<&'static str>,
}

impl How {
    /// How this scenario, as it is now, is run on this machine.
    pub fn here(scenario: &Scenario, fleetbeat: Option<&Path>) -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            seed: scenario.fleet.seed,
            clusters: scenario.fleet.clusters,
            play_seconds: scenario.time.play_seconds,
            harness: env!("CARGO_PKG_VERSION").to_owned(),
            fleetbeat: fleetbeat.and_then(version_of),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            load: load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            ..Self::default()
        }
    }

    /// Can the figure of this name not be measured?
    pub fn cannot_measure(&self, figure: &str) -> bool {
        self.unmeasurable.iter().any(|begin| figure.starts_with(begin))
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let form = if self.short { "**short form**, " } else { "" };
        let scale = self.scale.map_or(String::new(), |scale| format!(", scale {scale}"));
        let set = if self.set.is_empty() { String::new() } else { format!(", with {}", self.set.join(", ")) };
        let fleetbeat = match (&self.fleetbeat, self.attached) {
            (Some(version), _) => version.clone(),
            (None, true) => "a fleetbeat that ran already".to_owned(),
            (None, false) => "an unknown fleetbeat".to_owned(),
        };
        let awake = if self.kept_awake { "kept awake" } else { "free to sleep" };
        format!(
            "{form}{} clusters{scale}, a play of {} s{set}; {fleetbeat}, harness {}, {} cores, {awake}, load {}",
            self.clusters, self.play_seconds, self.harness, self.cores, self.load
        )
    }
}

fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Some(text).filter(|text| output.status.success() && !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_that_a_run_was_short_or_of_another_size() {
        let how = How { short: true, scale: Some(0.5), set: vec!["a=b".into()], clusters: 60, ..How::default() };
        let line = how.line();
        assert!(line.contains("short form") && line.contains("scale 0.5") && line.contains("with a=b"), "{line}");
        assert!(!How::default().line().contains("short"));
    }
}
