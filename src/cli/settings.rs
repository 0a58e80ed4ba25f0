//! `fleetbeat config`, and the flags that set settings.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};

use super::error::CliError;
use super::output;
use crate::config::{DEFAULTS, Inputs, Settings};

/// Flags that set settings. They win over the environment, which wins over the file.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArguments {
    /// YAML file of settings; every key stands in `fleetbeat config defaults`
    #[arg(long, global = true, env = "FLEETBEAT_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port of the API (server.listen); port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory of what is kept on disk (data_dir)
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// PostgreSQL or SQLite (database_url); others on this machine see flags, so give passwords by
    /// FLEETBEAT__DATABASE_URL or database_url_file
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where events are published (redis_url); the same holds for passwords
    #[arg(long, global = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// How log lines are written (log.format)
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormatArgument>,
    /// How much is logged (log.level): a level, or directives such as info,fleetbeat::probes=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArgument {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// For people
    Text,
    /// One object a line
    Json,
}

impl SettingsArguments {
    /// The settings that these flags, the environment, the file and the defaults make.
    ///
    /// # Errors
    /// Every problem there is, each with its key.
    pub fn load(&self) -> Result<Settings, CliError> {
        let shown = |path: &PathBuf| path.display().to_string();
        let format = self.log_format.map(|format| match format {
            LogFormatArgument::Auto => "auto",
            LogFormatArgument::Text => "text",
            LogFormatArgument::Json => "json",
        });
        let inputs = Inputs::from_process(self.config.clone())
            .flag("server.listen", self.listen.as_ref())
            .flag("data_dir", self.data_dir.as_ref().map(shown))
            .flag("database_url", self.database_url.as_ref())
            .flag("redis_url", self.redis_url.as_ref())
            .flag("log.format", format)
            .flag("log.level", self.log_level.as_ref());
        Settings::load(&inputs).map_err(|error| CliError::Failed(anyhow!("the settings are wrong\n{error}")))
    }
}

/// Show or check the settings
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat config defaults > fleetbeat.yaml       every key, with its default and what it means
  fleetbeat config check --config fleetbeat.yaml
  fleetbeat config show --config fleetbeat.yaml    what it comes to, passwords masked")]
pub struct ConfigArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the settings in effect: defaults, file, environment and flags together, passwords masked
    Show,
    /// Check the settings, and say everything that is wrong with them
    Check,
    /// Print the built-in defaults, with what each key means
    Defaults,
}

/// Does one of the commands.
///
/// # Errors
/// When the settings are wrong.
pub fn run(arguments: &ConfigArguments) -> Result<(), CliError> {
    match arguments.command {
        Command::Show => output::say(&arguments.settings.load()?.describe()),
        Command::Check => {
            arguments.settings.load()?;
            output::line("the settings are good")
        }
        Command::Defaults => output::say(DEFAULTS),
    }
}
