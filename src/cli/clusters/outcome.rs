//! What became of clusters on their way to the server, and how it is told.

use serde_json::{Map, Value, json};

use super::inline::Conveyed;
use super::{Desk, look};
use crate::cli::error::{CliError, Refusal};
use crate::cli::output::{self, Format};
use crate::cli::table::{self, Cell};
use crate::registration::Invalid;

/// One cluster on its way.
pub(super) struct Item {
    /// What it was called.
    pub(super) name: String,
    /// What became of it, in a word or two.
    pub(super) result: String,
    /// Its id, where the server told it.
    pub(super) id: Option<String>,
    /// Why not, where it was refused.
    pub(super) refusal: Option<Refusal>,
    /// What became of its credentials, where it came with some.
    pub(super) credentials: Option<Conveyed>,
}

impl Item {
    fn named(name: String) -> Self {
        Self { name, result: String::new(), id: None, refusal: None, credentials: None }
    }

    /// One whose end is known.
    pub(super) fn settled(name: &str, result: &str) -> Self {
        Self { result: result.to_owned(), ..Self::named(name.to_owned()) }
    }

    /// One as the server tells it.
    pub(super) fn of(json: &Value) -> Self {
        Self {
            name: look::text(json, "/name"),
            result: look::text(json, "/result"),
            id: json.get("id").and_then(Value::as_str).map(str::to_owned),
            refusal: json.get("error").and_then(Refusal::read),
            credentials: None,
        }
    }

    /// One that is left out, which is no failure.
    pub(super) fn skipped(name: String, message: String) -> Self {
        Self { result: "skipped".to_owned(), refusal: Some(Refusal::told("SKIPPED", message)), ..Self::named(name) }
    }

    /// One that cannot be sent.
    pub(super) fn failed(name: String, message: String) -> Self {
        Self { result: "failed".to_owned(), ..Self::skipped(name, message) }
    }

    /// One whose fields are wrong.
    pub(super) fn invalid(name: String, invalid: &Invalid) -> Self {
        Self { result: "failed".to_owned(), refusal: Some(Refusal::of_invalid(invalid)), ..Self::named(name) }
    }

    /// Is there anything about it that did not succeed?
    pub(super) fn has_failed(&self) -> bool {
        self.result == "failed" || self.credentials.as_ref().is_some_and(Conveyed::has_failed)
    }

    fn why(&self) -> String {
        let Some(refusal) = &self.refusal else {
            return self.credentials.as_ref().map(Conveyed::told).unwrap_or_default();
        };
        if refusal.details.is_empty() {
            return refusal.message.clone();
        }
        refusal.details.iter().map(|(field, message)| format!("{field}: {message}")).collect::<Vec<_>>().join("; ")
    }

    fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("name".to_owned(), self.name.as_str().into());
        json.insert("result".to_owned(), self.result.as_str().into());
        json.insert("id".to_owned(), self.id.as_deref().map_or(Value::Null, Value::from));
        let why = self.why();
        json.insert("message".to_owned(), if why.is_empty() { Value::Null } else { why.into() });
        if let Some(credentials) = &self.credentials {
            json.insert("credentials".to_owned(), credentials.as_str().into());
        }
        json.into()
    }
}

/// Writes what became of each.
pub(super) fn tell(desk: &Desk, items: &[Item]) -> Result<(), CliError> {
    let json = || json!({ "items": items.iter().map(Item::to_json).collect::<Vec<_>>() });
    match desk.format {
        Format::Json => return output::json(&json()),
        Format::Yaml => return output::yaml(&json()),
        Format::Name => {
            let done = items.iter().filter(|item| !matches!(item.result.as_str(), "failed" | "skipped"));
            return done.map(|item| item.name.as_str()).try_for_each(output::line);
        }
        Format::Table | Format::Wide => {}
    }
    let rows = items.iter().map(|item| {
        let result = Cell::verdict(&item.result, !item.has_failed());
        vec![Cell::text(&item.name), result, Cell::text(item.why())]
    });
    output::say(&table::render(&["NAME", "RESULT", "MESSAGE"], rows.collect(), desk.paint))?;
    let counts = counted(items.iter().map(|item| item.result.as_str()));
    eprintln!("{}", if counts.is_empty() { "nothing to import" } else { &counts });
    let credentials = counted(items.iter().filter_map(|item| item.credentials.as_ref()).map(Conveyed::as_str));
    if !credentials.is_empty() {
        eprintln!("credentials: {credentials}");
    }
    Ok(())
}

/// How often each word occurs, in the order of their first.
fn counted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for word in words {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}
