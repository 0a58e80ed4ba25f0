//! The command line: what `fleetbeat` can be asked for, and the code it ends with. The commands live in the modules below;
//! only `demo` uses the load harness.

mod audit;
mod card;
mod client;
mod clusters;
mod completion;
mod connection;
mod contexts;
mod demo;
mod doctor;
mod error;
mod events;
mod fleet;
mod follow;
mod frames;
mod keys;
mod line;
mod logging;
mod look;
mod output;
mod paint;
mod screen;
mod serve;
mod sessions;
mod settings;
mod shutdown;
mod silences;
mod table;
mod tokens;
mod watch;
mod webhooks;
mod words;

use std::future::Future;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use error::CliError;
use paint::{ColorChoice, Paint};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Try it out:
  fleetbeat demo                       200 simulated clusters, watched in this terminal
First steps:
  fleetbeat serve                      the monitor itself, on http://127.0.0.1:8080
  fleetbeat clusters add prod-east-1 --api-server https://api.prod-east-1.example.com:6443
  fleetbeat clusters list
  fleetbeat watch                      every change, as it happens

Exit codes:
  0  done
  1  the server refused, or something failed
  2  the command line is wrong
  3  no such cluster
  4  no server answers at the address";

/// The fleet health engine for Kubernetes and OpenShift clusters
#[derive(Parser)]
#[command(name = "fleetbeat", version, styles = STYLES, max_term_width = 110, after_help = AFTER_HELP)]
#[command(
    long_about = "fleetbeat keeps the roll of a fleet of Kubernetes and OpenShift clusters, watches every one of them, and says \
                  so when one changes."
)]
struct Cli {
    /// Colours: `always`, `never`, or `auto`: on a terminal only, and never with NO_COLOR set
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN", hide_possible_values = true)]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::ServeArguments),
    Demo(demo::DemoArguments),
    Clusters(clusters::ClustersArguments),
    Apply(clusters::manifests::ApplyArguments),
    Diff(clusters::manifests::DiffArguments),
    Export(clusters::manifests::ExportArguments),
    Watch(watch::WatchArguments),
    Events(events::EventsArguments),
    Fleet(fleet::FleetArguments),
    Tokens(tokens::TokensArguments),
    Sessions(sessions::SessionsArguments),
    Silences(silences::SilencesArguments),
    Audit(audit::AuditArguments),
    Webhooks(webhooks::WebhooksArguments),
    Context(contexts::ContextArguments),
    Config(settings::ConfigArguments),
    Keys(keys::KeysArguments),
    Doctor(Box<doctor::DoctorArguments>),
    Completion(completion::CompletionArguments),
    /// Print the version
    Version,
}

/// Reads the process's command line, does what it says, and returns the code to end with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let paint = Paint::for_stdout(cli.color);
    match execute(cli.command, paint) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report(Paint::for_stderr(cli.color));
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(command: Command, paint: Paint) -> Result<(), CliError> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments, paint),
        Command::Clusters(arguments) => on_one_thread(clusters::run(arguments, paint)),
        Command::Apply(arguments) => on_one_thread(clusters::manifests::apply(arguments, paint)),
        Command::Diff(arguments) => on_one_thread(clusters::manifests::diff(arguments, paint)),
        Command::Export(arguments) => on_one_thread(clusters::manifests::export(arguments)),
        Command::Watch(arguments) => on_one_thread(watch::run(arguments, paint)),
        Command::Events(arguments) => on_one_thread(events::run(arguments, paint)),
        Command::Fleet(arguments) => on_one_thread(fleet::run(arguments, paint)),
        Command::Tokens(arguments) => on_one_thread(tokens::run(arguments, paint)),
        Command::Sessions(arguments) => on_one_thread(sessions::run(arguments, paint)),
        Command::Silences(arguments) => on_one_thread(silences::run(arguments, paint)),
        Command::Audit(arguments) => on_one_thread(audit::run(arguments, paint)),
        Command::Webhooks(arguments) => on_one_thread(webhooks::run(arguments, paint)),
        Command::Context(arguments) => contexts::run(&arguments, paint),
        Command::Config(arguments) => settings::run(&arguments),
        Command::Keys(arguments) => on_one_thread(keys::run(arguments)),
        Command::Doctor(arguments) => on_one_thread(doctor::run(*arguments, paint)),
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Version => output::say(&format!("fleetbeat {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

/// Runs a client's command: it waits for one server, so one thread is enough.
fn on_one_thread(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CliError::failed("cannot start a runtime"))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_help() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "`{}` has no help", command.get_name());
            command.get_subcommands().for_each(walk);
        }
        let command = Cli::command();
        command.clone().debug_assert();
        walk(&command);
    }
}
