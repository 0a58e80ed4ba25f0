//! Colours, and when there are any.

use std::io::IsTerminal;

use clap::ValueEnum;
use fleetbeat_actors::health::State;
use owo_colors::{OwoColorize, Style};

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[default]
    Auto,
    /// Wherever the output goes.
    Always,
    /// Not at all.
    Never,
}

/// Colours words, or leaves them as they are.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub const PLAIN: Paint = Paint { on: false };

    /// For what goes to standard output.
    pub fn for_stdout(choice: ColorChoice) -> Self {
        Self::of(choice, std::io::stdout().is_terminal())
    }

    /// For what goes to standard error.
    pub fn for_stderr(choice: ColorChoice) -> Self {
        Self::of(choice, std::io::stderr().is_terminal())
    }

    fn of(choice: ColorChoice, terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let wanted = || set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb");
        Self {
            on: match choice {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => terminal && wanted(),
            },
        }
    }

    /// Are there colours?
    pub fn is_on(self) -> bool {
        self.on
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.on && !text.is_empty() { text.style(style).to_string() } else { text.to_owned() }
    }

    /// A state in its colour.
    pub fn state(self, state: State, text: &str) -> String {
        let style = Style::new().bold();
        let style = match state {
            State::Online => style.green(),
            State::Degraded => style.yellow(),
            State::Offline => style.red(),
            State::Unknown => Style::new().bright_black(),
        };
        self.with(style, text)
    }

    /// What went well.
    pub fn good(self, text: &str) -> String {
        self.with(Style::new().green(), text)
    }

    /// What deserves a look.
    pub fn warn(self, text: &str) -> String {
        self.with(Style::new().yellow(), text)
    }

    /// What went wrong.
    pub fn bad(self, text: &str) -> String {
        self.with(Style::new().red().bold(), text)
    }

    /// What carries the sense of a line.
    pub fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What is there for completeness.
    pub fn faint(self, text: &str) -> String {
        self.with(Style::new().bright_black(), text)
    }

    /// What can be copied: an address, a command.
    pub fn link(self, text: &str) -> String {
        self.with(Style::new().cyan(), text)
    }
}
