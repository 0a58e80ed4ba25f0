//! `fleetbeat completion`: what a shell needs to complete our command lines.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::Cli;
use super::error::CliError;
use super::output;

/// Print the completion script of a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat completion bash > ~/.local/share/bash-completion/completions/fleetbeat
  fleetbeat completion zsh > ~/.zfunc/_fleetbeat
  fleetbeat completion fish > ~/.config/fish/completions/fleetbeat.fish")]
pub struct CompletionArguments {
    #[arg(value_enum)]
    shell: Supported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Supported {
    Bash,
    Zsh,
    Fish,
}

/// Does it.
///
/// # Errors
/// [`CliError::Output`] when nobody reads it.
pub fn run(arguments: &CompletionArguments) -> Result<(), CliError> {
    let shell = match arguments.shell {
        Supported::Bash => Shell::Bash,
        Supported::Zsh => Shell::Zsh,
        Supported::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fleetbeat", &mut script);
    output::say(&String::from_utf8_lossy(&script))
}
