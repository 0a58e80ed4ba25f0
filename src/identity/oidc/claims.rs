//! Claims: what a token says once its signature is proved. Everything that decides is required; nothing is taken on trust.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::identity::Unknown;

/// Longest subject, and name of a person, bytes.
const MAX_NAME: usize = 256;
/// Most groups that are looked at.
const MAX_GROUPS: usize = 1_000;

/// Which times a token may have.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Now.
    pub now: DateTime<Utc>,
    /// How far the issuer's clock may be off.
    pub skew: TimeDelta,
    /// Must it say from when it is valid?
    pub needs_nbf: bool,
}

/// The claims of a token.
pub struct Claims(Map<String, Value>);

impl Claims {
    /// These, whose signature, issuer and audience are proved.
    pub fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// When it ends, if it is valid now.
    ///
    /// # Errors
    /// [`Unknown::Refused`]: it says no end, is over, or not valid yet.
    pub fn end(&self, times: Times) -> Result<DateTime<Utc>, Unknown> {
        let end = self.time("exp")?.ok_or(Unknown::Refused)?;
        let begin = self.time("nbf")?;
        let over = end + times.skew <= times.now;
        let early = [begin, self.time("iat")?].into_iter().flatten().any(|begin| begin - times.skew > times.now);
        if over || early || (times.needs_nbf && begin.is_none()) { Err(Unknown::Refused) } else { Ok(end) }
    }

    fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Unknown> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=253_402_300_799.0).contains(seconds));
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds as i64, 0));
        time.map(Some).ok_or(Unknown::Refused)
    }

    /// Whom it is about.
    ///
    /// # Errors
    /// [`Unknown::Refused`] when it does not say so, in a name that can be shown.
    pub fn subject(&self) -> Result<&str, Unknown> {
        self.text("sub").ok_or(Unknown::Refused)
    }

    /// A text of this name that can be shown.
    pub fn text(&self, name: &str) -> Option<&str> {
        let text = self.0.get(name)?.as_str()?;
        let fits = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then_some(text)
    }

    /// Is it exactly this issuer's, in one word?
    pub fn is_from(&self, issuer: &str) -> bool {
        self.0.get("iss").and_then(Value::as_str) == Some(issuer)
    }

    /// Is it for this client: one of several audiences only when it was asked for by it?
    pub fn is_for_client(&self, client: &str) -> bool {
        let party = self.0.get("azp").map(|party| party.as_str() == Some(client));
        let several = self.0.get("aud").and_then(Value::as_array).is_some_and(|audiences| audiences.len() > 1);
        party.unwrap_or(!several)
    }

    /// The groups under a name, or under names joined by dots; a list of texts, or one text.
    pub fn groups(&self, name: &str) -> Vec<String> {
        let nested = || {
            name.split('.').try_fold(None, |at: Option<&Value>, part| {
                let next = at.map_or_else(|| self.0.get(part), |value| value.get(part));
                next.map(Some)
            })
        };
        let found = self.0.get(name).or_else(|| nested().flatten());
        match found {
            Some(Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).take(MAX_GROUPS).map(str::to_owned).collect()
            }
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims::new(value.as_object().expect("an object").clone())
    }

    fn times(needs_nbf: bool) -> Times {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        Times { now, skew: TimeDelta::seconds(30), needs_nbf }
    }

    #[test]
    fn a_token_has_to_say_its_times_and_be_within_them() {
        let good = json!({ "exp": 1_000_100, "nbf": 999_990, "iat": 999_990.5 });
        assert!(claims(good.clone()).end(times(true)).is_ok());
        for (name, wrong) in [
            ("exp", json!(999_970)),
            ("exp", json!("1000100")),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("exp", Value::Null),
            ("nbf", json!(1_000_031)),
            ("nbf", json!([1])),
            ("nbf", Value::Null),
            ("iat", json!(1_000_031)),
        ] {
            let mut changed = good.clone();
            changed[name] = wrong.clone();
            assert_eq!(claims(changed).end(times(true)), Err(Unknown::Refused), "{name}: {wrong}");
        }
        for absent in ["exp", "nbf"] {
            let mut changed = good.clone();
            changed.as_object_mut().expect("an object").remove(absent);
            assert_eq!(claims(changed.clone()).end(times(true)), Err(Unknown::Refused), "{absent}");
            assert_eq!(claims(changed).end(times(false)).is_ok(), absent == "nbf");
        }
    }

    #[test]
    fn groups_are_found_under_a_name_or_a_path() {
        let claims = claims(json!({ "groups": ["a", 1, "b"], "one": "c", "realm": { "roles": ["d"] }, "x.y": ["e"] }));
        assert_eq!(claims.groups("groups"), ["a", "b"]);
        assert_eq!(claims.groups("one"), ["c"]);
        assert_eq!(claims.groups("realm.roles"), ["d"]);
        assert_eq!(claims.groups("x.y"), ["e"]);
        assert!(claims.groups("none").is_empty() && claims.groups("realm.none.x").is_empty());
    }

    #[test]
    fn a_subject_can_be_shown() {
        assert_eq!(claims(json!({ "sub": "ada" })).subject(), Ok("ada"));
        for wrong in [json!({}), json!({ "sub": "" }), json!({ "sub": 1 }), json!({ "sub": "a\nb" })] {
            assert_eq!(claims(wrong).subject(), Err(Unknown::Refused));
        }
    }

    #[test]
    fn one_of_several_audiences_is_the_client_only_when_it_asked() {
        assert!(claims(json!({ "aud": "me" })).is_for_client("me"));
        assert!(!claims(json!({ "aud": ["me", "other"] })).is_for_client("me"));
        assert!(claims(json!({ "aud": ["me", "other"], "azp": "me" })).is_for_client("me"));
        assert!(!claims(json!({ "aud": "me", "azp": "other" })).is_for_client("me"));
    }
}
