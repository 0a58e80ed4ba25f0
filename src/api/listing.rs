//! Lists of clusters: filters, pages and keysets. Everything comes from the board.

mod order;

use fleetbeat_actors::{
    board::Entry,
    health::State,
    roll::{ClusterType, Environment, Platform},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    access::Seen,
    query::{FromParameters, Parameters},
    schema,
    view::{ClusterView, Now},
};
use crate::{registration::validate, selector::Selector};
use order::{Place, Sort, SortWord, Token};

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
        if self.r#continue.as_ref().is_some_and(|token| !token.is_of(self.sort)) {
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

    /// The list, given to `show`.
    pub fn run<T>(&self, seen: &Seen, now: Now<'_>, show: impl FnOnce(&ClusterList<'_>) -> T) -> T {
        let by_keyset = self.limit.is_some() || self.r#continue.is_some();
        if by_keyset { self.keyset(seen, now, show) } else { self.page(seen, now, show) }
    }

    fn page<T>(&self, seen: &Seen, now: Now<'_>, show: impl FnOnce(&ClusterList<'_>) -> T) -> T {
        let (page, size) = (positive(self.page, 1), positive(self.page_size, 20));
        let part = self.part(seen, now, Start { behind: (page - 1) * size, ..Start::default() }, size);
        let total_pages = Some(part.total.div_ceil(size));
        show(&ClusterList { page: Some(page), page_size: Some(size), total_pages, ..ClusterList::of(&part, now) })
    }

    fn keyset<T>(&self, seen: &Seen, now: Now<'_>, show: impl FnOnce(&ClusterList<'_>) -> T) -> T {
        let after = self.r#continue.as_ref().map(|token| token.place(self.sort));
        let part = self.part(seen, now, Start { after, ..Start::default() }, positive(self.limit, 100));
        let last = part.items.last().filter(|_| part.remaining > 0);
        let token = last.map(|last| Token::after(last, self.sort).to_string());
        show(&ClusterList { r#continue: token, remaining: Some(part.remaining), ..ClusterList::of(&part, now) })
    }

    /// Up to `size` of the clusters that match, in order, from `start` on.
    fn part(&self, seen: &Seen, now: Now<'_>, start: Start<'_>, size: usize) -> Part {
        let mut part = Part::of(size);
        if self.sort == Sort::default() {
            // The board keeps this order: only what is asked for is taken from it.
            seen.each_after(start.after.map_or("", Place::name), |entry, is_after| {
                if self.matches(entry, now) {
                    part.pass(entry, is_after && part.total >= start.behind);
                }
            });
        } else {
            for entry in self.sorted(seen, now) {
                let is_after = start.after.is_none_or(|last| Place::of(&entry, self.sort) > last);
                part.pass(&entry, is_after && part.total >= start.behind);
            }
        }
        part
    }

    /// All clusters that match, in order.
    fn sorted(&self, seen: &Seen, now: Now<'_>) -> Vec<Entry> {
        let mut matching = Vec::new();
        seen.each(|entry| {
            if self.matches(entry, now) {
                matching.push(entry.clone());
            }
        });
        matching.sort_unstable_by(|entry, other| Place::of(entry, self.sort).cmp(&Place::of(other, self.sort)));
        matching
    }
}

/// Where a part of a list begins.
#[derive(Clone, Copy, Default)]
struct Start<'a> {
    /// After this place.
    after: Option<Place<'a>>,
    /// Behind so many.
    behind: usize,
}

/// A part of a list.
struct Part {
    size: usize,
    items: Vec<Entry>,
    /// How many there are in the whole list.
    total: usize,
    /// How many come behind `items`.
    remaining: usize,
}

impl Part {
    fn of(size: usize) -> Self {
        Self { size, items: Vec::new(), total: 0, remaining: 0 }
    }

    /// Takes the next cluster of the list where it belongs to the part.
    fn pass(&mut self, entry: &Entry, has_begun: bool) {
        self.total += 1;
        match (has_begun, self.items.len() < self.size) {
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
pub struct ClusterList<'a> {
    /// The clusters.
    pub items: Vec<ClusterView<'a>>,
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

impl<'a> ClusterList<'a> {
    /// What pages and keysets have in common.
    fn of(part: &'a Part, now: Now<'_>) -> Self {
        Self {
            items: part.items.iter().map(|entry| ClusterView::listed(entry, now)).collect(),
            total: part.total,
            page: None,
            page_size: None,
            total_pages: None,
            r#continue: None,
            remaining: None,
        }
    }
}
