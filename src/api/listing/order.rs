//! The order of a list, and where a keyset list goes on.

use std::{cmp::Ordering, str::FromStr};

use fleetbeat_actors::board::Entry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SortBy {
    #[default]
    Name,
    State,
    HealthScore,
    CreatedAt,
    UpdatedAt,
    LastCheckAt,
}

/// Order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sort {
    by: SortBy,
    descending: bool,
}

/// Words of `sort`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `sort` in the OpenAPI document")]
pub(super) enum SortWord {
    #[schema(rename = "name")]
    Name,
    #[schema(rename = "-name")]
    NameDown,
    #[schema(rename = "state")]
    State,
    #[schema(rename = "-state")]
    StateDown,
    #[schema(rename = "health_score")]
    Score,
    #[schema(rename = "-health_score")]
    ScoreDown,
    #[schema(rename = "created_at")]
    Created,
    #[schema(rename = "-created_at")]
    CreatedDown,
    #[schema(rename = "updated_at")]
    Updated,
    #[schema(rename = "-updated_at")]
    UpdatedDown,
    #[schema(rename = "last_check_at")]
    Checked,
    #[schema(rename = "-last_check_at")]
    CheckedDown,
}

const SORT_WORDS: [(&str, SortBy); 6] = [
    ("name", SortBy::Name),
    ("state", SortBy::State),
    ("health_score", SortBy::HealthScore),
    ("created_at", SortBy::CreatedAt),
    ("updated_at", SortBy::UpdatedAt),
    ("last_check_at", SortBy::LastCheckAt),
];

impl FromStr for Sort {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, descending) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
        let found = SORT_WORDS.iter().find(|(known, _)| *known == word);
        let known = || SORT_WORDS.map(|(known, _)| known).join(", ");
        found.map(|(_, by)| Self { by: *by, descending }).ok_or_else(|| format!("must be one of {} (or -…)", known()))
    }
}

impl std::fmt::Display for Sort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = SORT_WORDS.iter().find(|(_, by)| *by == self.by).map_or("name", |(word, _)| word);
        write!(f, "{}{word}", if self.descending { "-" } else { "" })
    }
}

/// A cluster's place in an order: its key, then its name. Borrowed, since a walk over the fleet compares thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    key: i64,
    name: &'a str,
    names_descend: bool,
}

impl<'a> Place<'a> {
    pub(super) fn of(entry: &'a Entry, sort: Sort) -> Self {
        let key = match sort.by {
            SortBy::Name => 0,
            SortBy::State => entry.status.state as i64,
            SortBy::HealthScore => i64::from(entry.status.health_score),
            SortBy::CreatedAt => entry.cluster.created_at.timestamp_micros(),
            SortBy::UpdatedAt => entry.cluster.updated_at.timestamp_micros(),
            SortBy::LastCheckAt => entry.status.last_check_at.map_or(0, |at| at.timestamp_micros()),
        };
        Self::new(if sort.descending { -key } else { key }, &entry.cluster.name, sort)
    }

    pub(super) fn name(self) -> &'a str {
        self.name
    }

    fn new(key: i64, name: &'a str, sort: Sort) -> Self {
        Self { key, name, names_descend: sort.by == SortBy::Name && sort.descending }
    }
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let names = self.name.cmp(other.name);
        self.key.cmp(&other.key).then(if self.names_descend { names.reverse() } else { names })
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a keyset list goes on: after a place. Opaque on the wire (hex of JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    sort: String,
    key: i64,
    name: String,
}

impl Token {
    pub(super) fn after(entry: &Entry, sort: Sort) -> Self {
        let place = Place::of(entry, sort);
        Self { sort: sort.to_string(), key: place.key, name: place.name.to_owned() }
    }

    /// Does it belong to a list in this order?
    pub(super) fn is_of(&self, sort: Sort) -> bool {
        self.sort == sort.to_string()
    }

    pub(super) fn place(&self, sort: Sort) -> Place<'_> {
        Place::new(self.key, &self.name, sort)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| std::fmt::Error)?;
        json.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Token {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is not a token of this list";
        if text.len() > 1_024 || text.len() % 2 == 1 || !text.is_ascii() {
            return Err(wrong);
        }
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong);
        let json: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
        serde_json::from_slice(&json).map_err(|_| wrong)
    }
}
