//! What people write of a webhook, read and checked field by field; everything that is wrong is told at once.

use fleetbeat_actors::event::EventType;
use serde_json::{Map, Value};
use url::{Host, Url};

use super::{format::Format, sign::Secret, webhook::wanted};
use crate::{
    identity::Scope,
    registration::{Detail, Invalid, validate},
};

/// Longest address, characters.
pub const MAX_URL: usize = 1_024;

/// The fields that were given.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// What people call it.
    pub name: Option<String>,
    /// Where to.
    pub url: Option<Url>,
    /// How messages are written.
    pub format: Option<Format>,
    /// What signs; `Some(None)` for nothing.
    pub secret: Option<Option<Secret>>,
    /// Of what it is told.
    pub event_types: Option<Vec<EventType>>,
    /// Of which clusters, as it was written and as it is understood.
    pub label_selector: Option<(String, Scope)>,
    /// Is it told anything?
    pub enabled: Option<bool>,
}

impl Fields {
    /// Reads what a body carries. `null` is the field's default. Plain http leads to this machine only, unless `allow_http`.
    ///
    /// # Errors
    /// Every field that is wrong, unknown ones included.
    pub fn read(mut body: Map<String, Value>, allow_http: bool) -> Result<Self, Invalid> {
        let mut wrong = Vec::new();
        let mut take = |field: &str| body.remove(field);
        let given = [take("name"), take("url"), take("format"), take("secret"), take("event_types")];
        let [name, url, format, secret, event_types] = given;
        let (selector, enabled) = (take("label_selector"), take("enabled"));
        let fields = Self {
            name: checked("name", name, &mut wrong, |value| {
                let name = text(value)?;
                validate::name(name).map(|()| name.to_owned())
            }),
            url: checked("url", url, &mut wrong, |value| address(text(value)?, allow_http)),
            format: checked("format", format.or_null(Format::CloudEvents.as_str()), &mut wrong, |value| {
                Format::of_word(text(value)?).ok_or_else(|| "must be one of cloudevents, slack".to_owned())
            }),
            secret: checked("secret", secret, &mut wrong, |value| match value {
                Value::Null => Ok(None),
                value => Secret::given(text(value)?.to_owned()).map(Some),
            }),
            event_types: checked("event_types", event_types.or_null(Value::Array(Vec::new())), &mut wrong, types),
            label_selector: checked("label_selector", selector.or_null(""), &mut wrong, |value| {
                let text = text(value)?.trim();
                Ok((text.to_owned(), wanted(text)?))
            }),
            enabled: checked("enabled", enabled.or_null(true), &mut wrong, |value| {
                value.as_bool().ok_or_else(|| "must be true or false".to_owned())
            }),
        };
        for field in body.keys() {
            let shown: String = field.chars().take(64).filter(|c| !c.is_control()).collect();
            wrong.push(Detail::new(shown, "unknown field"));
        }
        if wrong.is_empty() { Ok(fields) } else { Err(Invalid { details: wrong, bad_name: false }) }
    }
}

/// A field that may be `null` for its default.
trait OrNull {
    fn or_null(self, default: impl Into<Value>) -> Self;
}

impl OrNull for Option<Value> {
    fn or_null(self, default: impl Into<Value>) -> Self {
        self.map(|value| if value.is_null() { default.into() } else { value })
    }
}

fn checked<T>(
    field: &str,
    given: Option<Value>,
    wrong: &mut Vec<Detail>,
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> Option<T> {
    read(&given?).map_err(|message| wrong.push(Detail::new(field, message))).ok()
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "must be a text".to_owned())
}

fn types(value: &Value) -> Result<Vec<EventType>, String> {
    let items = value.as_array().ok_or_else(|| "must be a list of event types".to_owned())?;
    let mut types = Vec::new();
    for item in items {
        let known: EventType = text(item)?.parse().map_err(|error| format!("{error}"))?;
        if !types.contains(&known) {
            types.push(known);
        }
    }
    Ok(types)
}

fn address(text: &str, allow_http: bool) -> Result<Url, String> {
    if text.len() > MAX_URL {
        return Err(format!("must have at most {MAX_URL} characters"));
    }
    let (place, query) = text.split_once('?').map_or((text, ""), |(place, query)| (place, query));
    validate::url(place)?;
    if !query.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte)) {
        return Err("must have a query of plain ASCII, and no fragment".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if url.scheme() == "http" && !allow_http && !is_here(&url) {
        return Err("must be https (plain http leads to loopback only, unless webhooks.allow_http is set)".to_owned());
    }
    Ok(url)
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Fields, Vec<String>> {
        let Value::Object(body) = body else { panic!("an object") };
        Fields::read(body, false).map_err(|invalid| invalid.details.into_iter().map(|detail| detail.field).collect())
    }

    #[test]
    fn every_wrong_field_is_named() {
        let body = json!({
            "name": "Ops!", "url": "ftp://x", "format": "xml", "secret": "short", "event_types": ["NOPE"],
            "label_selector": "a b", "enabled": "yes", "colour": "red",
        });
        let named = ["name", "url", "format", "secret", "event_types", "label_selector", "enabled", "colour"];
        assert_eq!(read(body).expect_err("wrong"), named);
    }

    #[test]
    fn null_is_the_default_and_nothing_is_nothing() {
        let none = read(json!({})).expect("nothing");
        assert!(none.name.is_none() && none.secret.is_none() && none.enabled.is_none());
        let nulls =
            json!({ "format": null, "secret": null, "event_types": null, "label_selector": null, "enabled": null });
        let nulls = read(nulls).expect("defaults");
        assert!(matches!(nulls.secret, Some(None)) && nulls.enabled == Some(true) && nulls.event_types == Some(vec![]));
        assert_eq!(nulls.format, Some(Format::CloudEvents));
    }

    #[test]
    fn plain_http_leads_to_this_machine_only() {
        for good in ["https://a.example/x?token=1", "http://127.0.0.1:9/in", "http://[::1]/", "http://localhost/x"] {
            assert!(address(good, false).is_ok(), "{good}");
        }
        for bad in
            ["http://a.example/", "https://u:p@a.example/", "https://a.example/#x", "https://a.example/?a#b", "x"]
        {
            assert!(address(bad, false).is_err(), "{bad}");
        }
        assert!(address("http://a.example/", true).is_ok());
    }
}
