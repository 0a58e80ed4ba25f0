//! What a command can end with, besides success: the words for people and the exit code for scripts.

use std::io;
use std::time::Duration;

use serde_json::Value;

use super::paint::Paint;
use crate::registration::Invalid;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No server at the address, or it fell silent.
    #[error("{0}")]
    Unreachable(String),
    /// The server answered with an error of its API.
    #[error("{0}")]
    Refused(Refusal),
    /// The command line makes no sense in a way that only the command itself could notice.
    #[error("{0}")]
    Usage(String),
    /// There is no such cluster.
    #[error("{0}")]
    NotFound(String),
    /// Some of several things failed; they were told already.
    #[error("{0}")]
    Partly(String),
    /// Two things are not alike, as was told already.
    #[error("there are differences")]
    Differs,
    /// Anything else.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// The reader of our output is gone.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

impl CliError {
    /// For `map_err`: what was tried goes before why it failed.
    pub fn failed<E>(what: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let what = what.into();
        move |error| Self::Failed(anyhow::Error::new(error).context(what))
    }

    /// The code the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Refused(refusal) if refusal.code == "CLUSTER_NOT_FOUND" => 3,
            Self::Refused(_) | Self::Partly(_) | Self::Differs | Self::Failed(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Unreachable(_) => 4,
        }
    }

    /// When the same request may succeed: only where the server is busy and says when.
    pub fn come_again(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) if refusal.is_of_busy_server() => refusal.retry_after,
            _ => None,
        }
    }

    /// Tells it on standard error. A reader that went away (`| head`) is no trouble and not worth a word.
    pub fn report(&self, paint: Paint) {
        if self.exit_code() == 0 || matches!(self, Self::Differs) {
            return;
        }
        eprintln!("{} {self}", paint.bad("error:"));
        if let Self::Refused(refusal) = self {
            refusal.details.iter().for_each(|(field, message)| eprintln!("  {}: {message}", paint.strong(field)));
        }
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// An error as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Code of the error, such as `CLUSTER_ALREADY_EXISTS`.
    pub code: String,
    /// In words.
    pub message: String,
    /// Each field that is wrong, and why.
    pub details: Vec<(String, String)>,
    /// When to come again, where the server says so.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads the `error` object of an envelope or of an import's item; `None` when it is not one.
    pub fn read(error: &Value) -> Option<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
        let details = details.filter_map(|detail| Some((text(detail, "field")?, text(detail, "message")?)));
        let told = Self::told(&text(error, "code")?, text(error, "message")?);
        Some(Self { details: details.collect(), ..told })
    }

    /// A code and words.
    pub fn told(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message, details: Vec::new(), retry_after: None }
    }

    /// What is wrong with given fields.
    pub fn of_invalid(invalid: &Invalid) -> Self {
        let details = invalid.details.iter().map(|detail| (detail.field.clone(), detail.message.clone())).collect();
        Self { details, ..Self::told("INVALID_REQUEST", invalid.to_string()) }
    }

    /// Is it the server's own trouble, which may pass?
    pub fn is_of_busy_server(&self) -> bool {
        matches!(self.code.as_str(), "DEPENDENCY_UNAVAILABLE" | "RATE_LIMITED")
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_envelope_is_read_with_each_field() {
        let error = json!({"code": "INVALID_REQUEST", "message": "a: is wrong (and 1 more)", "details": [
            {"field": "a", "message": "is wrong"}, {"field": "b", "message": "is required"}]});
        let refusal = Refusal::read(&error).unwrap();
        assert_eq!(refusal.to_string(), "a: is wrong (and 1 more) (INVALID_REQUEST)");
        assert_eq!(refusal.details[1], ("b".to_owned(), "is required".to_owned()));
        assert_eq!(Refusal::read(&json!({"oops": 1})), None);
    }

    #[test]
    fn each_kind_of_trouble_has_its_exit_code() {
        let refused = |code: &str| CliError::Refused(Refusal::told(code, String::new()));
        let codes = [
            refused("INVALID_REQUEST"),
            CliError::Usage(String::new()),
            refused("CLUSTER_NOT_FOUND"),
            CliError::Unreachable(String::new()),
            CliError::Output(io::ErrorKind::BrokenPipe.into()),
        ]
        .map(|error| error.exit_code());
        assert_eq!(codes, [1, 2, 3, 4, 0]);
    }
}
