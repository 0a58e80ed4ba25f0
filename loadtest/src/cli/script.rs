//! `fleetbeat-loadtest script`, and the flags of generated scripts.

use std::io::{Write, stdout};

use clap::Args;
use fleetbeat_loadtest::spokes::{Script, ScriptOptions, Spoke};

use super::spokes::FleetArguments;

/// Flags that say what a generated script is like.
#[derive(Args, Clone, Debug)]
pub struct GenerateArguments {
    /// Seed of the script; the fleet's when left out
    #[arg(long)]
    script_seed: Option<u64>,
    /// How often a spoke gets into trouble, per hour
    #[arg(long, default_value_t = 12.0)]
    troubles_per_hour: f64,
    /// Hold every state at least this many seconds; by default long enough for a monitor with the usual periods
    #[arg(long)]
    min_hold: Option<f64>,
    /// At most this share of the fleet is in trouble at once
    #[arg(long, default_value_t = 0.3)]
    max_share: f64,
    /// Quiet seconds at the start
    #[arg(long, default_value_t = 0.0)]
    quiet: f64,
    /// Only troubles whose resulting cluster state is beyond doubt, each held long enough to be seen
    #[arg(long)]
    clean: bool,
}

impl GenerateArguments {
    /// The options of a script of so many minutes.
    pub fn options(&self, fleet_seed: u64, minutes: f64) -> ScriptOptions {
        ScriptOptions {
            seed: self.script_seed.unwrap_or(fleet_seed),
            duration_ms: (minutes * 60_000.0) as u64,
            quiet_ms: (self.quiet * 1_000.0) as u64,
            troubles_per_hour: self.troubles_per_hour,
            min_hold_ms: self.min_hold.map(|seconds| (seconds * 1_000.0) as u64),
            max_share: self.max_share,
            clean: self.clean,
            ..ScriptOptions::default()
        }
    }
}

/// Flags of `script`.
#[derive(Args)]
pub struct ScriptArguments {
    #[command(flatten)]
    fleet: FleetArguments,
    #[command(flatten)]
    generate: GenerateArguments,
    /// How long it lasts
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// Prints a script for the fleet these flags describe.
pub fn run(arguments: &ScriptArguments) -> anyhow::Result<()> {
    let options = arguments.fleet.options();
    let spokes = Spoke::plan(&options)?;
    let script = Script::generate(&spokes, &arguments.generate.options(options.seed, arguments.minutes));
    stdout().lock().write_all(script.to_yaml().as_bytes())?;
    Ok(())
}
