//! Commands: reading arguments and calling what does the work.

mod behaviours;
mod run;
mod script;
mod spokes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fleetbeat_loadtest::stage::stay_awake;

/// Simulated spoke fleets for fleetbeat and whoever else watches clusters, and scenarios that measure it.
#[derive(Parser)]
#[command(name = "fleetbeat-loadtest", version, about, after_long_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Serve 200 spokes, write the file that registers them, let troubles happen for ten minutes:
    fleetbeat-loadtest spokes --count 200 --write fleet.json --script-minutes 10
  Register them:
    curl -s -H 'content-type: application/json' -d @fleet.json http://127.0.0.1:8080/api/v1/clusters:import
  Kill one (the control API's address is printed at the start):
    curl -s -X PUT -H 'content-type: application/json' -d '{\"behaviour\":\"dead\"}' \\
      http://127.0.0.1:8090/spokes/spoke-00001/behaviour
  What a correct monitor must have said:
    curl -s 'http://127.0.0.1:8090/truth?after=0'
  Run a scenario against the fleetbeat beside this program:
    fleetbeat-loadtest run steady --out report";

#[derive(Subcommand)]
enum Command {
    /// Serve simulated spokes until Ctrl-C
    Spokes(spokes::SpokesArguments),
    /// Print a generated script of troubles
    Script(script::ScriptArguments),
    /// List the behaviours a spoke can have
    Behaviours,
    /// Run a scenario against a fleetbeat and judge it
    Run(Box<run::RunArguments>),
    /// List the scenarios of the library
    Scenarios(run::ListArguments),
    /// Keep every processor busy; started by `run` at the lowest priority
    #[command(hide = true)]
    StayAwake,
}

/// Runs the command given on the command line.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Spokes(arguments) => spokes::run(&arguments),
        Command::Script(arguments) => script::run(&arguments),
        Command::Behaviours => behaviours::run(),
        Command::Run(arguments) => run::run(&arguments),
        Command::Scenarios(arguments) => run::list(&arguments),
        Command::StayAwake => {
            stay_awake();
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleetbeat-loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
