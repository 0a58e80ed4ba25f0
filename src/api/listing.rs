//! Lists of clusters: filters, order, pages and keysets. Everything comes from the board.

use std::{cmp::Ordering, str::FromStr};

use fleetbeat_actors::{
    board::Entry,
    health::State,
    roll::{ClusterType, Environment, Platform},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    access::Seen,
    query::{FromParameters, Parameters},
    schema,
    view::{ClusterView, Now},
};
use crate::{registration::validate, selector::Selector};

const MAX_PAGE: i64 = 100_000;
const MAX_PAGE_SIZE: i64 = 100;
const MAX_LIMIT: i64 = 500;
const MAX_LABELS: usize = 16;

/// Which clusters to list, and how.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Part of the name.
    #[param(min_length = 1, max_length = 63, pattern = "^[a-z0-9-]+$")]
    name: Option<String>,
    /// Any of these types.
    #[param(schema_with = schema::cluster_types, required = false)]
    cluster_type: Vec<ClusterType>,
    /// Any of these environments.
    #[param(schema_with = schema::environments, required = false)]
    environment: Vec<Environment>,
    /// Any of these platforms.
    #[param(schema_with = schema::platforms, required = false)]
    platform: Vec<Platform>,
    /// The region.
    #[param(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    region: Option<String>,
    /// Any of these states.
    #[param(schema_with = schema::states, required = false)]
    state: Vec<State>,
    /// With GPU nodes, or without.
    has_gpu: Option<bool>,
    /// With CNF workloads, or without.
    has_cnf: Option<bool>,
    /// With an overdue status, or without.
    stale: Option<bool>,
    /// `key=value`; repeated, all must match.
    #[param(schema_with = schema::label_filters, required = false)]
    label: Selector,
    /// Label selector with the set syntax of Kubernetes.
    #[param(value_type = Option<String>, required = false, max_length = 1024, example = "env in (prod,lab),!legacy")]
    label_selector: Selector,
    /// Order; `-` reverses. Clusters that tie are in the order of their names.
    #[param(value_type = Option<SortWord>, inline, required = false)]
    sort: Sort,
    /// Page, from 1.
    #[param(minimum = 1, maximum = 100_000)]
    page: Option<i64>,
    /// Clusters on a page (default 20).
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<i64>,
    /// Instead of pages: at most so many (default 100), and a token for the rest.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// Token of the list so far.
    #[param(schema_with = schema::token, required = false)]
    r#continue: Option<Token>,
}

impl FromParameters for ListQuery {
    fn read(parameters: &mut Parameters) -> Self {
        let query = Self {
            name: parameters.text("name", name_part),
            cluster_type: parameters.words("cluster_type"),
            environment: parameters.words("environment"),
            platform: parameters.words("platform"),
            region: parameters.text("region", |text| validate::text(text, 64)),
            state: parameters.words("state"),
            has_gpu: parameters.boolean("has_gpu"),
            has_cnf: parameters.boolean("has_cnf"),
            stale: parameters.boolean("stale"),
            label: read_labels(parameters),
            label_selector: parameters.parsed("label_selector").unwrap_or_default(),
            sort: parameters.parsed("sort").unwrap_or_default(),
            page: parameters.integer("page", 1, MAX_PAGE),
            page_size: parameters.integer("page_size", 1, MAX_PAGE_SIZE),
            limit: parameters.integer("limit", 1, MAX_LIMIT),
            r#continue: parameters.parsed("continue"),
        };
        query.check(parameters);
        query
    }
}

fn name_part(text: &str) -> Result<(), String> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(()) } else { Err("must be 1 to 63 of a-z, 0-9 and -".to_owned()) }
}

fn read_labels(parameters: &mut Parameters) -> Selector {
    let mut selector = Selector::default();
    for label in parameters.many("label", MAX_LABELS) {
        match label.split_once('=') {
            Some((key, value)) if validate::label_key(key).is_ok() && validate::label_value(value).is_ok() => {
                selector.require(key.to_owned(), value.to_owned());
            }
            _ => parameters.wrong("label", "must be key=value with the syntax of Kubernetes"),
        }
    }
    selector
}

impl ListQuery {
    fn check(&self, parameters: &mut Parameters) {
        let keyset = self.limit.is_some() || self.r#continue.is_some();
        if keyset && (self.page.is_some() || self.page_size.is_some()) {
            parameters.wrong("limit", "page and page_size cannot be mixed with limit and continue");
        }
        if self.r#continue.as_ref().is_some_and(|token| token.sort != self.sort.to_string()) {
            parameters.wrong("continue", "belongs to a list of another order");
        }
    }

    fn matches(&self, entry: &Entry, now: Now<'_>) -> bool {
        let cluster = &*entry.cluster;
        any(&self.state, entry.status.state)
            && any(&self.cluster_type, cluster.cluster_type)
            && any(&self.environment, cluster.environment)
            && any(&self.platform, cluster.platform)
            && self.name.as_ref().is_none_or(|part| cluster.name.contains(part.as_str()))
            && self.region.as_ref().is_none_or(|region| cluster.region.as_ref() == Some(region))
            && self.has_gpu.is_none_or(|wanted| capability(entry, "has_gpu_nodes") == wanted)
            && self.has_cnf.is_none_or(|wanted| capability(entry, "has_cnf_workloads") == wanted)
            && self.stale.is_none_or(|wanted| entry.is_stale(now.instant) == wanted)
            && self.label.matches(&cluster.labels)
            && self.label_selector.matches(&cluster.labels)
    }

    /// The list.
    pub fn run(&self, seen: &Seen, now: Now<'_>) -> ClusterList {
        if self.limit.is_some() || self.r#continue.is_some() { self.keyset(seen, now) } else { self.page(seen, now) }
    }

    fn page(&self, seen: &Seen, now: Now<'_>) -> ClusterList {
        let (page, size) = (positive(self.page, 1), positive(self.page_size, 20));
        let part = self.part(seen, now, &Start::Behind((page - 1) * size), size);
        ClusterList {
            items: part.items.iter().map(|entry| ClusterView::listed(entry, now)).collect(),
            total: part.total,
            page: Some(page),
            page_size: Some(size),
            total_pages: Some(part.total.div_ceil(size)),
            r#continue: None,
            remaining: None,
        }
    }

    fn keyset(&self, seen: &Seen, now: Now<'_>) -> ClusterList {
        let start = self.r#continue.as_ref().map_or(Start::Behind(0), |token| Start::After(token.place(self.sort)));
        let part = self.part(seen, now, &start, positive(self.limit, 100));
        let token = part.items.last().filter(|_| part.remaining > 0);
        ClusterList {
            items: part.items.iter().map(|entry| ClusterView::listed(entry, now)).collect(),
            total: part.total,
            page: None,
            page_size: None,
            total_pages: None,
            r#continue: token.map(|last| Token::after(last, self.sort).to_string()),
            remaining: Some(part.remaining),
        }
    }

    /// Up to `size` of the clusters that match, in order, from `start` on.
    fn part(&self, seen: &Seen, now: Now<'_>, start: &Start, size: usize) -> Part {
        let mut part = Part::default();
        if self.sort == Sort::default() {
            // The board keeps this order: only what is asked for is taken from it.
            seen.each(|entry| {
                if self.matches(entry, now) {
                    part.pass(entry, || Place::of(entry, self.sort), start, size);
                }
            });
            return part;
        }
        let mut matching = Vec::new();
        seen.each(|entry| {
            if self.matches(entry, now) {
                matching.push((Place::of(entry, self.sort), entry.clone()));
            }
        });
        matching.sort_unstable_by(|(place, _), (other, _)| place.cmp(other));
        for (place, entry) in matching {
            part.pass(&entry, || place, start, size);
        }
        part
    }
}

/// Where a part of a list begins.
enum Start {
    /// Behind so many.
    Behind(usize),
    /// After a place.
    After(Place),
}

/// A part of a list.
#[derive(Default)]
struct Part {
    items: Vec<Entry>,
    /// How many there are in the whole list.
    total: usize,
    /// How many come behind `items`.
    remaining: usize,
}

impl Part {
    /// Takes the next cluster of the list where it belongs to the part.
    fn pass(&mut self, entry: &Entry, place: impl FnOnce() -> Place, start: &Start, size: usize) {
        self.total += 1;
        let begun = match start {
            Start::Behind(count) => self.total > *count,
            Start::After(last) => !self.items.is_empty() || place() > *last,
        };
        match (begun, self.items.len() < size) {
            (false, _) => {}
            (true, true) => self.items.push(entry.clone()),
            (true, false) => self.remaining += 1,
        }
    }
}

fn positive(given: Option<i64>, default: usize) -> usize {
    given.and_then(|number| usize::try_from(number).ok()).unwrap_or(default).max(1)
}

fn any<T: PartialEq>(wanted: &[T], value: T) -> bool {
    wanted.is_empty() || wanted.contains(&value)
}

/// A boolean of the capabilities, false while they are unknown.
pub fn capability(entry: &Entry, field: &str) -> bool {
    entry.cluster.capabilities.as_ref().and_then(|all| all.get(field)?.as_bool()).unwrap_or(false)
}

/// A list of clusters: a page, or the next part of a keyset.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterList {
    /// The clusters.
    pub items: Vec<ClusterView>,
    /// How many match.
    pub total: usize,
    /// Page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub page: Option<usize>,
    /// Clusters on a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub page_size: Option<usize>,
    /// Pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total_pages: Option<usize>,
    /// Token for the rest, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub r#continue: Option<String>,
    /// How many are left after these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub remaining: Option<usize>,
}

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
pub struct Sort {
    by: SortBy,
    descending: bool,
}

/// Words of `sort`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `sort` in the OpenAPI document")]
enum SortWord {
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

/// A cluster's place in an order: its key, then its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    key: i64,
    name: String,
    names_descend: bool,
}

impl Place {
    fn of(entry: &Entry, sort: Sort) -> Self {
        let key = match sort.by {
            SortBy::Name => 0,
            SortBy::State => entry.status.state as i64,
            SortBy::HealthScore => i64::from(entry.status.health_score),
            SortBy::CreatedAt => entry.cluster.created_at.timestamp_micros(),
            SortBy::UpdatedAt => entry.cluster.updated_at.timestamp_micros(),
            SortBy::LastCheckAt => entry.status.last_check_at.map_or(0, |at| at.timestamp_micros()),
        };
        Self::new(if sort.descending { -key } else { key }, entry.cluster.name.clone(), sort)
    }

    fn new(key: i64, name: String, sort: Sort) -> Self {
        Self { key, name, names_descend: sort.by == SortBy::Name && sort.descending }
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let names = self.name.cmp(&other.name);
        self.key.cmp(&other.key).then(if self.names_descend { names.reverse() } else { names })
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a keyset list goes on: after a place. Opaque on the wire (hex of JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    sort: String,
    key: i64,
    name: String,
}

impl Token {
    fn after(entry: &Entry, sort: Sort) -> Self {
        let place = Place::of(entry, sort);
        Self { sort: sort.to_string(), key: place.key, name: place.name }
    }

    fn place(&self, sort: Sort) -> Place {
        Place::new(self.key, self.name.clone(), sort)
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
