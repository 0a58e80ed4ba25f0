//! A limit of a figure: `<= 0.05`, `< 1`, `>= 2000`, `> 0` or `== 0`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Limit {
    relation: Relation,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// The two-letter signs come first: `<` begins `<=`.
const SIGNS: [(&str, Relation); 5] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Equal),
    ("<", Relation::Below),
    (">", Relation::Above),
];

/// A limit that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no limit: use <, <=, ==, >= or > and a number")]
pub struct LimitError(String);

impl Limit {
    /// The same with a bound so many times as large.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { bound: self.bound * factor, ..self }
    }

    /// Does the figure keep it? A figure that was not measured does not.
    pub fn kept_by(self, figure: Option<f64>) -> bool {
        let Some(figure) = figure.filter(|figure| !figure.is_nan()) else { return false };
        match self.relation {
            Relation::Below => figure < self.bound,
            Relation::AtMost => figure <= self.bound,
            Relation::Above => figure > self.bound,
            Relation::AtLeast => figure >= self.bound,
            Relation::Equal => figure == self.bound,
        }
    }
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let refused = || LimitError(text.to_owned());
        let (sign, relation) = SIGNS.into_iter().find(|(sign, _)| text.trim().starts_with(sign)).ok_or_else(refused)?;
        let bound = text.trim()[sign.len()..].trim().parse().map_err(|_| refused())?;
        Ok(Self { relation, bound })
    }
}

impl TryFrom<String> for Limit {
    type Error = LimitError;

    fn try_from(text: String) -> Result<Self, LimitError> {
        text.parse()
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().find(|(_, relation)| *relation == self.relation).map_or("", |(sign, _)| sign);
        write!(f, "{sign} {}", self.bound)
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_or_not() {
        let kept = |limit: &str, figure| limit.parse::<Limit>().unwrap().kept_by(Some(figure));
        assert!(kept("<= 0.05", 0.05) && !kept("<= 0.05", 0.051));
        assert!(kept(">= 2000", 2_000.0) && !kept("> 2000", 2_000.0) && kept("==0", 0.0) && kept("< 1", 0.9));
    }

    #[test]
    fn what_was_not_measured_keeps_no_limit() {
        let limit: Limit = "<= 5".parse().unwrap();
        assert!(!limit.kept_by(None) && !limit.kept_by(Some(f64::NAN)));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!("about 5".parse::<Limit>().is_err() && "<= five".parse::<Limit>().is_err());
        assert_eq!("<=5".parse::<Limit>().unwrap().to_string(), "<= 5");
    }
}
