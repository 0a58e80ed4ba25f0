//! What can be wrong with settings, told with the key and the place it was set.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, empty when a whole source is wrong.
    pub key: String,
    /// Where the value was set, such as a file's path or an environment variable's name.
    pub source: String,
    /// What is wrong, without the value of a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        write!(f, "({}): {}", self.source, self.message)
    }
}

/// Everything that is wrong with the settings, never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// In the order of the sources.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => write!(f, "wrong setting {one}"),
            many => {
                write!(f, "{} wrong settings:", many.len())?;
                many.iter().try_for_each(|each| write!(f, "\n  {each}"))
            }
        }
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}
