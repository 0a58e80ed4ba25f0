//! Words of the API's vocabularies as values on the command line: any case, and `far-edge` as people write it.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use fleetbeat_actors::event::EventType;
use fleetbeat_actors::health::State;
use fleetbeat_actors::roll::{ClusterType, Environment, Platform};

macro_rules! vocabularies {
    ($($(#[$doc:meta])* $name:ident: $of:ident;)+) => {
        $($(#[$doc])* pub fn $name() -> impl TypedValueParser<Value = String> {
            parser($of::ALL.iter().map(|word| word.as_str()))
        })+
    };
}

vocabularies! {
    /// A health state.
    state: State;
    /// A cluster type.
    cluster_type: ClusterType;
    /// An environment.
    environment: Environment;
    /// A platform.
    platform: Platform;
    /// An event type.
    event_type: EventType;
}

fn parser(words: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = String> {
    let values = words.map(|word| PossibleValue::new(word).aliases((word == "FAR_EDGE").then_some("FAR-EDGE")));
    PossibleValuesParser::new(values).map(|word: String| word.to_ascii_uppercase().replace('-', "_"))
}

/// What lists can be sorted by; `-` before it reverses.
pub const SORT: [&str; 12] = [
    "name",
    "-name",
    "state",
    "-state",
    "health_score",
    "-health_score",
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "last_check_at",
    "-last_check_at",
];

/// A label: `key=value`.
///
/// # Errors
/// When there is no `=` in it.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is written key=value".to_owned()),
    }
}
