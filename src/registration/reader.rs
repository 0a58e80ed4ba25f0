//! Reads the fields of a JSON object one by one and remembers everything that is wrong with them.

use std::str::FromStr;

use fleetbeat_actors::roll::UnknownWord;
use serde_json::{Map, Value};

use super::{
    invalid::{Detail, Invalid},
    validate::Verdict,
};

/// The object being read. A field that is `null` counts as left out; a field that nobody takes is unknown.
pub(super) struct Reader {
    map: Map<String, Value>,
    prefix: String,
    details: Vec<Detail>,
}

impl Reader {
    pub(super) fn new(map: Map<String, Value>, prefix: &str) -> Self {
        Self { map, prefix: prefix.to_owned(), details: Vec::new() }
    }

    fn path(&self, field: &str) -> String {
        if self.prefix.is_empty() { field.to_owned() } else { format!("{}.{field}", self.prefix) }
    }

    pub(super) fn wrong(&mut self, field: &str, message: impl Into<String>) {
        let path = self.path(field);
        self.details.push(Detail::new(path, message));
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field).filter(|value| !value.is_null())
    }

    /// As [`Reader::text`]; `present` tells whether anything was given, right or wrong.
    pub(super) fn text_seen(
        &mut self,
        field: &str,
        present: &mut bool,
        rule: impl FnOnce(&str) -> Verdict,
    ) -> Option<String> {
        *present = self.map.get(field).is_some_and(|value| !value.is_null());
        self.text(field, rule)
    }

    /// A text that `rule` accepts.
    pub(super) fn text(&mut self, field: &str, rule: impl FnOnce(&str) -> Verdict) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => match rule(&text) {
                Ok(()) => return Some(text),
                Err(message) => self.wrong(field, message),
            },
            other => self.wrong(field, format!("must be a string, is {}", kind(&other))),
        }
        None
    }

    /// A word of a closed vocabulary.
    pub(super) fn word<T: FromStr<Err = UnknownWord>>(&mut self, field: &str) -> Option<T> {
        match self.take(field)? {
            Value::String(text) => match text.parse() {
                Ok(word) => return Some(word),
                Err(UnknownWord { expected, .. }) => self.wrong(field, format!("must be one of {expected}")),
            },
            other => self.wrong(field, format!("must be a string, is {}", kind(&other))),
        }
        None
    }

    /// A whole number from `min` to `max`.
    pub(super) fn integer(&mut self, field: &str, min: u32, max: u32) -> Option<u32> {
        let value = self.take(field)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.wrong(field, format!("must be a whole number from {min} to {max}"));
        }
        number
    }

    /// An object inside; its own reader collects into this one by [`Reader::absorb`].
    pub(super) fn object(&mut self, field: &str) -> Option<Self> {
        match self.take(field)? {
            Value::Object(map) => Some(Self::new(map, &self.path(field))),
            other => {
                self.wrong(field, format!("must be an object, is {}", kind(&other)));
                None
            }
        }
    }

    /// What is left to take.
    pub(super) fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.map)
    }

    pub(super) fn absorb(&mut self, mut inner: Self, read_only: &[&str]) {
        inner.refuse_unknown(read_only);
        self.details.append(&mut inner.details);
    }

    fn refuse_unknown(&mut self, read_only: &[&str]) {
        for field in std::mem::take(&mut self.map).into_iter().map(|(field, _)| field) {
            let shown: String = field.chars().take(64).filter(|c| !c.is_control()).collect();
            let message = if read_only.contains(&field.as_str()) {
                "is set by the registry and cannot be given"
            } else {
                "unknown field"
            };
            self.wrong(&shown, message);
        }
    }

    /// Everything taken: is all well?
    pub(super) fn finish(mut self, read_only: &[&str], bad_name: bool) -> Result<(), Invalid> {
        self.refuse_unknown(read_only);
        if self.details.is_empty() { Ok(()) } else { Err(Invalid { details: self.details, bad_name }) }
    }
}

/// The JSON word for what a value is.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
