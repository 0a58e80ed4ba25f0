//! Label selectors with the set syntax of Kubernetes: `env in (prod,lab),team!=x,!legacy`. Bounded and pure.

use std::{collections::BTreeMap, str::FromStr};

use crate::registration::validate::{label_key, label_value};

const MAX_LENGTH: usize = 1_024;
const MAX_REQUIREMENTS: usize = 32;
const MAX_VALUES: usize = 64;

/// A conjunction of requirements; the empty one, also written as no text, matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Requirement {
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Adds `key=value`.
    pub fn require(&mut self, key: String, value: String) {
        self.0.push(Requirement::In(key, vec![value]));
    }

    /// Do these labels match every requirement? As in Kubernetes, `!=` and `notin` match a missing label.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Missing(key) => !labels.contains_key(key),
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
        })
    }
}

impl FromStr for Selector {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("must have at most {MAX_LENGTH} characters"));
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text)? {
            if requirements.len() == MAX_REQUIREMENTS {
                return Err(format!("must have at most {MAX_REQUIREMENTS} requirements"));
            }
            requirements.push(requirement(part.trim())?);
        }
        Ok(Self(requirements))
    }
}

fn split_outside_parentheses(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut from, mut inside) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match (letter, inside) {
            ('(', false) => inside = true,
            (')', true) => inside = false,
            ('(', true) | (')', false) => return Err("has parentheses that do not match".to_owned()),
            (',', false) => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            (_, _) => {}
        }
    }
    if inside {
        return Err("has parentheses that do not match".to_owned());
    }
    parts.push(&text[from..]);
    Ok(parts)
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement::Missing(checked_key(key)?));
    }
    if let Some(open) = part.find('(') {
        return set_requirement(&part[..open], &part[open..]);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(checked_key(key)?, vec![checked_value(value)?]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(checked_key(key)?, vec![checked_value(value)?]));
    }
    Ok(Requirement::Exists(checked_key(part)?))
}

fn set_requirement(head: &str, set: &str) -> Result<Requirement, String> {
    let inner = set.strip_prefix('(').and_then(|set| set.strip_suffix(')')).ok_or("has text after a set")?;
    let mut words = head.split_whitespace();
    let (Some(key), Some(operator), None) = (words.next(), words.next(), words.next()) else {
        return Err("wants 'key in (a,b)' or 'key notin (a,b)'".to_owned());
    };
    let values = inner.split(',').map(checked_value).collect::<Result<Vec<_>, _>>()?;
    if values.len() > MAX_VALUES {
        return Err(format!("must have at most {MAX_VALUES} values in a set"));
    }
    match operator {
        "in" => Ok(Requirement::In(checked_key(key)?, values)),
        "notin" => Ok(Requirement::NotIn(checked_key(key)?, values)),
        other => Err(format!("knows 'in' and 'notin', not '{}'", shown(other))),
    }
}

fn checked_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    label_key(key).map_err(|message| format!("'{}' {message}", shown(key)))?;
    Ok(key.to_owned())
}

fn checked_value(value: &str) -> Result<String, String> {
    let value = value.trim();
    label_value(value).map_err(|message| format!("'{}' {message}", shown(value)))?;
    Ok(value.to_owned())
}

fn shown(text: &str) -> String {
    text.chars().take(64).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        selector.parse::<Selector>().expect(selector).matches(&labels)
    }

    #[test]
    fn it_reads_as_kubernetes_does() {
        let labels = [("env", "prod"), ("team", "a"), ("example.com/x", "")];
        for yes in [
            "env",
            "env=prod",
            "env==prod",
            "env in (lab, prod)",
            "env notin (lab)",
            "!legacy",
            "team!=b",
            "absent!=b",
            "absent notin (b)",
            "env=prod , team in (a,b),!legacy",
            "example.com/x=",
            "example.com/x in ()",
        ] {
            assert!(matches(yes, &labels), "{yes}");
        }
        for no in ["absent", "env=lab", "!env", "env notin (prod)", "team!=a", "env=prod,team=b", "absent in (a)"] {
            assert!(!matches(no, &labels), "{no}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for bad in [
            ",",
            "a,",
            "a b",
            "a in b",
            "a in (b",
            "a in b)",
            "a in ((b))",
            "a on (b)",
            "in (a)",
            "a=b=c",
            "-a",
            "a in (b) c",
            "!",
            "a>1",
            "é=1",
        ] {
            assert!(bad.parse::<Selector>().is_err(), "{bad:?}");
        }
        assert!("a,".repeat(400).parse::<Selector>().is_err());
        assert!(vec!["a"; 33].join(",").parse::<Selector>().is_err());
        assert!(format!("a in ({})", vec!["b"; 65].join(",")).parse::<Selector>().is_err());
        assert!("x".repeat(1_025).parse::<Selector>().is_err());
    }
}
