//! Reads query parameters one by one and remembers everything that is wrong with them. Unknown ones are an error.

use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::ClusterId;

use super::{error::ApiError, extract::uuid};
use crate::registration::{Detail, Invalid};

/// Most parameters of one request.
const MAX_PARAMETERS: usize = 100;

/// The parameters of one request, as far as nobody took them yet.
pub struct Parameters {
    pairs: Vec<(String, String)>,
    details: Vec<Detail>,
}

impl Parameters {
    /// Takes a query string apart.
    pub fn parse(query: &str) -> Self {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let mut parameters = Self { pairs, details: Vec::new() };
        if parameters.pairs.len() > MAX_PARAMETERS {
            parameters.pairs.clear();
            parameters.wrong("query", format!("must have at most {MAX_PARAMETERS} parameters"));
        }
        parameters
    }

    /// Remembers that a parameter is wrong.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.details.push(Detail::new(name, message));
    }

    /// Every value of a parameter that may be repeated, at most `max`.
    pub fn many(&mut self, name: &str, max: usize) -> Vec<String> {
        let (taken, rest): (Vec<_>, Vec<_>) = self.pairs.drain(..).partition(|(given, _)| given == name);
        self.pairs = rest;
        if taken.len() > max {
            self.wrong(name, format!("must not be given more than {max} times"));
            return Vec::new();
        }
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may be given once.
    pub fn one(&mut self, name: &str) -> Option<String> {
        let mut values = self.many(name, MAX_PARAMETERS);
        if values.len() > 1 {
            self.wrong(name, "must be given once");
            return None;
        }
        values.pop()
    }

    /// A text that `rule` accepts.
    pub fn text(&mut self, name: &str, rule: impl FnOnce(&str) -> Result<(), String>) -> Option<String> {
        let value = self.one(name)?;
        match rule(&value) {
            Ok(()) => Some(value),
            Err(message) => {
                self.wrong(name, message);
                None
            }
        }
    }

    /// Whatever `T` reads from a text; its error is the message.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.one(name)?;
        value.parse().map_err(|error: T::Err| self.wrong(name, error.to_string())).ok()
    }

    /// Words of a closed vocabulary; may be repeated, any of them then matches.
    pub fn words<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Vec<T> {
        let values = self.many(name, 16);
        let mut words = Vec::with_capacity(values.len());
        for value in values {
            match T::from_str(&value) {
                Ok(word) => words.push(word),
                Err(error) => self.wrong(name, format!("{error}")),
            }
        }
        words
    }

    /// The id of a cluster.
    pub fn cluster_id(&mut self, name: &str) -> Option<ClusterId> {
        let text = self.one(name)?;
        let id = uuid(&text).map(ClusterId);
        if id.is_none() {
            self.wrong(name, "must be a UUID");
        }
        id
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        let value = self.one(name)?;
        let plain = value.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let number = value.parse().ok().filter(|number| plain && (min..=max).contains(number));
        if number.is_none() {
            self.wrong(name, format!("must be a whole number from {min} to {max}"));
        }
        number
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.one(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.wrong(name, "must be true or false");
        }
        parsed
    }

    /// A point in time, RFC 3339. Times before 1970 count as 1970.
    pub fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let value = self.one(name)?;
        // A plus that was not percent-encoded arrives as a space.
        let time = DateTime::parse_from_rfc3339(&value.replace(' ', "+"))
            .ok()
            .map(|time| time.to_utc().max(DateTime::UNIX_EPOCH));
        if time.is_none() {
            self.wrong(name, "must be a time like 2026-01-31T12:00:00Z");
        }
        time
    }

    /// Everything taken: is all well?
    ///
    /// # Errors
    /// Everything that was wrong, unknown parameters included.
    pub fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            let shown: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
            self.wrong(&shown, "unknown query parameter");
        }
        if self.details.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(Invalid { details: self.details, bad_name: false }))
    }
}

/// What can be read from query parameters.
pub trait FromParameters: Sized {
    /// Takes its parameters; what is wrong is remembered there.
    fn read(parameters: &mut Parameters) -> Self;
}

/// The query parameters of a request as `T`.
pub struct Params<T>(pub T);

impl<T: FromParameters, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut parameters = Parameters::parse(parts.uri.query().unwrap_or_default());
        let read = T::read(&mut parameters);
        parameters.finish()?;
        Ok(Self(read))
    }
}

/// A request without any query parameter.
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Parameters::parse(parts.uri.query().unwrap_or_default()).finish()?;
        Ok(Self)
    }
}
