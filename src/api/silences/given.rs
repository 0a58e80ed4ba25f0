//! A silence as a caller gives it: every field is looked at, and everything that is wrong is told at once.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, Utc};
use fleetbeat_actors::roll::ClusterId;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    api::{access::Seen, error::ApiError, extract::uuid},
    history::Window,
    identity::Scope,
    registration::{Detail, Invalid},
    silences::{Schedule, SilenceDraft, Wrong},
};

/// Longest comment, characters.
const MAX_COMMENT: usize = 500;
/// Most clusters named one by one.
const MAX_CLUSTERS: usize = 1_000;

/// A silence to be made. At least one of `label_selector` and `cluster_ids`; it concerns what either of them names.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the request in the OpenAPI document")]
pub(super) struct NewSilence {
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    comment: String,
    /// Clusters whose labels match, with the set syntax of Kubernetes.
    #[schema(min_length = 1, max_length = 1024)]
    label_selector: Option<String>,
    /// These clusters.
    #[schema(max_items = 1000)]
    cluster_ids: Option<Vec<Uuid>>,
    /// Begin of the (first) window (default: now).
    starts_at: Option<DateTime<Utc>>,
    /// End of the (first) window, at most 366 days later; 31 where it repeats.
    ends_at: DateTime<Utc>,
    /// How it repeats: an RRULE of RFC 5545 without times of day, such as `FREQ=WEEKLY;BYDAY=SU`.
    #[schema(max_length = 256)]
    rrule: Option<String>,
    /// By whose clocks it repeats, such as `Europe/Berlin` (default: UTC).
    #[schema(max_length = 64)]
    time_zone: Option<String>,
}

/// Everything that is wrong so far.
#[derive(Default)]
struct Wrongs(Vec<Detail>);

impl Wrongs {
    fn say(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(Detail::new(field, message));
    }

    fn text(&mut self, body: &mut Map<String, Value>, field: &str) -> Option<String> {
        match body.remove(field) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.say(field, "must be a text");
                None
            }
        }
    }

    fn time(&mut self, body: &mut Map<String, Value>, field: &str) -> Option<DateTime<Utc>> {
        let text = self.text(body, field)?;
        let time = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.to_utc().trunc_subsecs(3));
        if time.is_none() {
            self.say(field, "must be a time like 2026-01-31T12:00:00Z");
        }
        time
    }

    fn comment(&mut self, body: &mut Map<String, Value>) -> String {
        let before = self.0.len();
        let comment = self.text(body, "comment").unwrap_or_default();
        let is_text = self.0.len() == before;
        let fits = (1..=MAX_COMMENT).contains(&comment.chars().count()) && !comment.chars().any(char::is_control);
        if is_text && (!fits || comment.trim().is_empty()) {
            self.say("comment", format!("must be 1 to {MAX_COMMENT} characters"));
        }
        comment
    }

    fn selector(&mut self, body: &mut Map<String, Value>) -> Option<String> {
        let text = self.text(body, "label_selector")?;
        if let Err(message) = Scope::labels(text.clone()) {
            self.say("label_selector", message.trim_start_matches("label_selector ").to_owned());
        }
        Some(text)
    }

    fn clusters(&mut self, body: &mut Map<String, Value>, seen: &Seen) -> BTreeSet<ClusterId> {
        let given = match body.remove("cluster_ids") {
            None | Some(Value::Null) => return BTreeSet::new(),
            Some(Value::Array(given)) if given.len() <= MAX_CLUSTERS => given,
            Some(_) => {
                self.say("cluster_ids", format!("must be a list of at most {MAX_CLUSTERS} ids"));
                return BTreeSet::new();
            }
        };
        let mut ids = BTreeSet::new();
        for (at, value) in given.iter().enumerate() {
            let id = value.as_str().and_then(uuid).map(ClusterId);
            match id.filter(|id| seen.get(*id).is_ok()) {
                Some(id) => _ = ids.insert(id),
                None => self.say(&format!("cluster_ids[{at}]"), "is no cluster"),
            }
        }
        ids
    }

    fn schedule(&mut self, body: &mut Map<String, Value>, now: DateTime<Utc>) -> Option<Schedule> {
        let before = self.0.len();
        let starts_at = self.time(body, "starts_at").unwrap_or(now.trunc_subsecs(3));
        let ends_at = self.time(body, "ends_at");
        let (rrule, zone) = (self.text(body, "rrule"), self.text(body, "time_zone"));
        if self.0.len() > before {
            return None;
        }
        let Some(ends_at) = ends_at else {
            self.say("ends_at", "is required");
            return None;
        };
        let first = Window { from: starts_at, to: ends_at };
        let read = Schedule::read(first, rrule, zone.unwrap_or_else(|| "UTC".to_owned()));
        match read.and_then(|schedule| schedule.check_new(now).map(|()| schedule)) {
            Ok(schedule) => Some(schedule),
            Err(Wrong { field, message }) => {
                self.say(field, message);
                None
            }
        }
    }
}

/// The silence that a caller wants.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn draft(mut body: Map<String, Value>, now: DateTime<Utc>, seen: &Seen) -> Result<SilenceDraft, ApiError> {
    let mut wrongs = Wrongs::default();
    let comment = wrongs.comment(&mut body);
    let label_selector = wrongs.selector(&mut body);
    let names_clusters = body.contains_key("cluster_ids");
    let cluster_ids = wrongs.clusters(&mut body, seen);
    if label_selector.is_none() && cluster_ids.is_empty() && wrongs.0.iter().all(|wrong| wrong.field == "comment") {
        let field = if names_clusters { "cluster_ids" } else { "label_selector" };
        wrongs.say(field, "or the other of label_selector and cluster_ids must name clusters");
    }
    let schedule = wrongs.schedule(&mut body, now);
    for field in body.keys() {
        let shown: String = field.chars().take(64).filter(|c| !c.is_control()).collect();
        wrongs.say(&shown, "unknown field");
    }
    match schedule {
        Some(schedule) if wrongs.0.is_empty() => Ok(SilenceDraft {
            comment,
            label_selector,
            cluster_ids,
            schedule,
            within: (*seen.caller.scope).clone(),
            created_by: seen.caller.author(),
        }),
        _ => Err(ApiError::invalid(Invalid { details: wrongs.0, bad_name: false })),
    }
}
