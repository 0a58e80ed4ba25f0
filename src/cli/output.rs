//! Writing to standard output: as text, JSON or YAML.

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;

use super::error::CliError;

/// How clusters are displayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// What the API answers
    Json,
    /// The same as YAML
    Yaml,
    /// Names only, one a line
    Name,
}

/// How anything that has no name is displayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlainFormat {
    /// For people
    #[default]
    Table,
    /// What the API answers
    Json,
    /// The same as YAML
    Yaml,
}

impl PlainFormat {
    /// Writes an answer: as `people` see it, or whole.
    ///
    /// # Errors
    /// [`CliError::Output`] when nobody reads it.
    pub fn tell(self, answer: &Value, people: impl FnOnce() -> String) -> Result<(), CliError> {
        match self {
            Self::Table => say(&people()),
            Self::Json => json(answer),
            Self::Yaml => yaml(answer),
        }
    }
}

/// How events are displayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// A line for people
    #[default]
    Table,
    /// A line of JSON for each event: its envelope
    Json,
}

/// Writes text as it is.
///
/// # Errors
/// [`CliError::Output`] when nobody reads it.
pub fn say(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes a line.
///
/// # Errors
/// [`CliError::Output`] when nobody reads it.
pub fn line(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Writes indented JSON.
///
/// # Errors
/// [`CliError::Output`] when nobody reads it.
pub fn json(value: &Value) -> Result<(), CliError> {
    line(&format!("{value:#}"))
}

/// Writes YAML.
///
/// # Errors
/// [`CliError::Output`] when nobody reads it.
pub fn yaml(value: &Value) -> Result<(), CliError> {
    let text = serde_saphyr::to_string(value).map_err(CliError::failed("the answer cannot be written as YAML"))?;
    say(&text)
}

/// So many clusters, in words.
pub fn clusters(count: &str) -> String {
    format!("{count} cluster{}", if count == "1" { "" } else { "s" })
}
