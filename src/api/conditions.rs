//! A cluster's status as conditions in the shape of Kubernetes.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    board::Entry,
    health::{Cause, Endpoint, State, Status},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::{Now, reason};
use crate::credentials::Stage;

/// A condition in the shape of Kubernetes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Healthy`, `Reachable`, `Authorized`, `EndpointsReady` (where any is configured), `Fresh`,
    /// `CredentialsExpiring` (where something is known to end), `CredentialsRenewed` (where a renewal failed).
    #[schema(value_type = String)]
    pub r#type: &'static str,
    /// `True`, `False` or `Unknown`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// One word.
    pub reason: String,
    /// In words.
    #[schema(value_type = String)]
    pub message: Cow<'static, str>,
    /// When the cluster's state began (for `Fresh` turned false: when the status became overdue).
    pub last_transition_time: DateTime<Utc>,
    /// Generation of the spec that the last check saw.
    pub observed_generation: i64,
}

/// The conditions of a cluster as it is now.
pub fn conditions(entry: &Entry, now: Now<'_>) -> Vec<Condition> {
    let status = &*entry.status;
    let mut conditions = vec![healthy(status), reachable(status), authorized(status)];
    conditions.extend(endpoints_ready(status));
    conditions.push(fresh(entry, now));
    conditions.extend(expiring(entry, now));
    conditions.extend(stuck(entry, now));
    conditions
}

fn condition(
    status: &Status,
    r#type: &'static str,
    holds: Option<bool>,
    reason: &str,
    message: impl Into<Cow<'static, str>>,
) -> Condition {
    Condition {
        r#type,
        status: match holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        },
        reason: camel(reason),
        message: message.into(),
        last_transition_time: status.since,
        observed_generation: status.observed_generation,
    }
}

/// `connect_timeout` → `ConnectTimeout`, as Kubernetes wants reasons.
fn camel(word: &str) -> String {
    let mut camel = String::with_capacity(word.len());
    for part in word.split('_') {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

fn healthy(status: &Status) -> Condition {
    let holds = (status.state != State::Unknown).then_some(status.state == State::Online);
    let message = status.error_message().map(Cow::from).unwrap_or(match status.state {
        State::Unknown => "Not yet checked".into(),
        _ => "Every configured endpoint passes".into(),
    });
    condition(status, "Healthy", holds, reason(status), message)
}

fn reachable(status: &Status) -> Condition {
    match (status.state, status.connected) {
        (State::Unknown, _) => condition(status, "Reachable", None, "not_checked", "Not yet checked"),
        (_, true) => condition(status, "Reachable", Some(true), "answers", "The API server answers"),
        (_, false) => {
            let message = status.error_message().unwrap_or_default();
            condition(status, "Reachable", Some(false), reason(status), message)
        }
    }
}

fn authorized(status: &Status) -> Condition {
    let failure = status.findings.api_server.and_then(|finding| finding.failure);
    match failure.map(|failure| failure.cause) {
        Some(cause @ (Cause::Unauthorized | Cause::Forbidden | Cause::Credentials)) => {
            condition(status, "Authorized", Some(false), cause.as_str(), cause.sentence())
        }
        None if status.findings.api_server.is_some() => {
            condition(status, "Authorized", Some(true), "accepted", "The API server does not refuse us")
        }
        _ => condition(status, "Authorized", None, "not_asked", "The API server gave no answer to tell by"),
    }
}

fn endpoints_ready(status: &Status) -> Option<Condition> {
    let others = [Endpoint::Prometheus, Endpoint::Tempo, Endpoint::Loki];
    let found: Vec<_> = others.into_iter().filter_map(|e| status.findings.of(e).map(|finding| (e, finding))).collect();
    if found.is_empty() {
        return None;
    }
    let failing: Vec<_> = found.iter().filter(|(_, finding)| !finding.healthy).map(|(e, _)| e.title()).collect();
    let message = match failing.as_slice() {
        [] => Cow::from("Every configured endpoint passes"),
        some => format!("Failing: {}", some.join(", ")).into(),
    };
    let reason = if failing.is_empty() { "ready" } else { "endpoints_failing" };
    Some(condition(status, "EndpointsReady", Some(failing.is_empty()), reason, message))
}

/// Whether something of the cluster's access ends soon; nothing where nothing is known to end.
fn expiring(entry: &Entry, now: Now<'_>) -> Option<Condition> {
    let first = *now.foresight.ends(&entry.cluster).first()?;
    let (holds, reason) = match now.foresight.stage(&first, now.wall) {
        Stage::Far => (false, "valid"),
        Stage::Near | Stage::Imminent => (true, "expiring"),
        Stage::Over => (true, "expired"),
    };
    let what = first.kind.as_str().replace('_', " ");
    let at = first.at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let message = format!("The first to end: {what} of {}, {at}", first.endpoint.title());
    Some(condition(&entry.status, "CredentialsExpiring", Some(holds), reason, message))
}

/// Whether a token could not be renewed; nothing while none is stuck.
fn stuck(entry: &Entry, now: Now<'_>) -> Option<Condition> {
    let reason = now.foresight.stuck(entry.cluster.id)?;
    let message = format!("The token could not be renewed and stays in use until it ends: {reason}");
    Some(condition(&entry.status, "CredentialsRenewed", Some(false), "renewal_failed", message))
}

fn fresh(entry: &Entry, now: Now<'_>) -> Condition {
    let status = &*entry.status;
    if status.held {
        return condition(
            status,
            "Fresh",
            Some(false),
            "held",
            "The monitor doubts its own network and holds the state",
        );
    }
    if !entry.is_stale(now.instant) {
        return condition(status, "Fresh", Some(true), "checked", "The last check is recent enough");
    }
    let overdue = now.instant.saturating_duration_since(entry.checked + entry.fresh_for);
    let since = now.wall - TimeDelta::from_std(overdue).unwrap_or_default();
    let overdue = condition(status, "Fresh", Some(false), "overdue", "The next check is overdue");
    Condition { last_transition_time: since, ..overdue }
}
