//! What is wrong with an input: one detail a field, collected so that a caller can mend everything at once.

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The field, as a path: `endpoints.loki_url`, `labels.team`, `clusters[3].name`.
    pub field: String,
    /// What is wrong with it, in words for the caller.
    pub message: String,
}

impl Detail {
    /// A detail about `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An input that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Invalid {
    /// Everything that is wrong, at least one.
    pub details: Vec<Detail>,
    /// Does the cluster's name not match the pattern? The seeds give that a code of its own.
    pub bad_name: bool,
}

impl Invalid {
    /// An input with one thing wrong.
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { details: vec![Detail::new(field, message)], bad_name: false }
    }

    fn summary(&self) -> String {
        let first = self.details.first().map(|detail| format!("{}: {}", detail.field, detail.message));
        match self.details.len() {
            0 | 1 => first.unwrap_or_default(),
            many => format!("{} (and {} more)", first.unwrap_or_default(), many - 1),
        }
    }
}
