//! The audit log as administrators of the whole fleet read it, and its verification.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::ClusterId;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    ApiState,
    access::Routes,
    error::ApiError,
    query::{FromParameters, NoQuery, Parameters, Params},
    schema::{self, Always, NeedsStore},
};
use crate::{
    audit::{Verification, verify},
    store::{
        AuditFilter, AuditOrder, AuditOutcome, AuditRow,
        audit::{AuditLink, hex},
    },
};

/// Rows of a page, unless asked for fewer or more.
const DEFAULT_LIMIT: u32 = 100;
/// Most rows of a page.
const MAX_LIMIT: i64 = 1_000;
/// Longest text that is looked for, characters.
const MAX_TEXT: usize = 256;

/// The route that answers promptly.
pub fn routes() -> Routes {
    Routes::new().fleet_admin(routes!(list_audit))
}

/// The route that takes as long as the log is.
pub fn patient_routes() -> Routes {
    Routes::new().fleet_admin(routes!(verify_audit))
}

/// Which rows to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only of this actor, such as `token:<id>`.
    #[param(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    actor: Option<String>,
    /// Only of this action, such as `cluster.update`.
    #[param(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    action: Option<String>,
    /// Only with this outcome.
    #[param(schema_with = schema::audit_outcome, required = false)]
    outcome: Option<AuditOutcome>,
    /// Only about this cluster.
    #[param(value_type = Option<uuid::Uuid>, required = false)]
    cluster_id: Option<ClusterId>,
    /// Only of the request with this `X-Request-ID`.
    #[param(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    request_id: Option<String>,
    /// Only from this time on.
    from: Option<DateTime<Utc>>,
    /// Only before this time.
    to: Option<DateTime<Utc>>,
    /// Only rows before this position: `next_before` of the page before.
    #[param(minimum = 1, format = Int64)]
    before: Option<i64>,
    /// At most so many rows (default 100).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl FromParameters for AuditQuery {
    fn read(parameters: &mut Parameters) -> Self {
        let text = |parameters: &mut Parameters, name| parameters.text(name, text);
        Self {
            actor: text(parameters, "actor"),
            action: text(parameters, "action"),
            outcome: parameters.parsed("outcome"),
            cluster_id: parameters.cluster_id("cluster_id"),
            request_id: text(parameters, "request_id"),
            from: parameters.time("from"),
            to: parameters.time("to"),
            before: parameters.integer("before", 1, i64::MAX),
            limit: parameters.integer("limit", 1, MAX_LIMIT).and_then(|limit| u32::try_from(limit).ok()),
        }
    }
}

fn text(value: &str) -> Result<(), String> {
    let fits = (1..=MAX_TEXT).contains(&value.chars().count()) && !value.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(format!("must be 1 to {MAX_TEXT} characters")) }
}

impl AuditQuery {
    /// One more than asked for: tells whether there are more.
    fn filter(self) -> AuditFilter {
        AuditFilter {
            after: None,
            before: self.before,
            actor: self.actor,
            action: self.action,
            outcome: self.outcome,
            cluster_id: self.cluster_id,
            request_id: self.request_id,
            from: self.from,
            to: self.to,
            order: AuditOrder::NewestFirst,
            limit: self.limit.unwrap_or(DEFAULT_LIMIT) + 1,
        }
    }
}

/// A row of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRow)]
struct AuditView {
    /// 1, 2, 3, … without gaps.
    position: i64,
    /// When.
    at: DateTime<Utc>,
    /// Who: `token:<id>`, `local` where nobody has to prove anything, `anonymous`, `system`, `console`.
    actor: String,
    /// What people call them.
    actor_name: Option<String>,
    /// How they proved it: `token`, …; `none`, `open`, `local`.
    method: String,
    /// What was done or asked for.
    action: String,
    /// `succeeded`, `refused` or `failed`.
    #[schema(schema_with = schema::audit_outcome)]
    outcome: String,
    /// Why not: the code of the error.
    cause: Option<String>,
    /// The cluster it concerns.
    cluster_id: Option<String>,
    /// What else it concerns: a cluster's name, a token's id.
    object: Option<String>,
    /// From which address and port.
    address: Option<String>,
    /// The request's `X-Request-ID`.
    request_id: Option<String>,
    /// More of it, depending on the action. Never a secret.
    #[schema(value_type = Object)]
    details: Box<RawValue>,
    /// Hash of the row before it, hex.
    previous: String,
    /// SHA-256 of this row and the one before it, hex.
    hash: String,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        let entry = row.entry;
        // As it was written, so that nobody sees other details than were hashed.
        let details = RawValue::from_string(entry.details).or_else(|_| serde_json::value::to_raw_value(&Value::Null));
        Self {
            position: row.position,
            at: entry.at,
            actor: entry.actor,
            actor_name: entry.actor_name,
            method: entry.method.into_owned(),
            action: entry.action.into_owned(),
            outcome: entry.outcome.into_owned(),
            cause: entry.cause,
            cluster_id: entry.cluster_id,
            object: entry.object,
            address: entry.address,
            request_id: entry.request_id,
            details: details.unwrap_or_default(),
            previous: hex(&row.previous),
            hash: hex(&row.hash),
        }
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
struct AuditList {
    /// The newest first.
    items: Vec<AuditView>,
    /// `before` of the next page; null on the last one.
    next_before: Option<i64>,
}

/// Who did what, when, from where, and what was refused: the newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "access", params(AuditQuery), responses(
    (status = 200, description = "A page", body = AuditList), Always, NeedsStore))]
async fn list_audit(
    State(api): State<ApiState>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<AuditList>, ApiError> {
    let filter = query.filter();
    let mut rows = api.store.audit(&filter).await.map_err(ApiError::of_reading)?;
    let more = rows.len() >= filter.limit as usize;
    rows.truncate(filter.limit as usize - 1);
    let next_before = rows.last().filter(|_| more).map(|row| row.position);
    Ok(Json(AuditList { items: rows.into_iter().map(AuditView::from).collect(), next_before }))
}

/// A place in the chain.
#[derive(Serialize, ToSchema)]
struct AuditPlace {
    /// Position of a row; 0 before the first.
    position: i64,
    /// Its hash, hex.
    hash: String,
}

impl From<AuditLink> for AuditPlace {
    fn from(link: AuditLink) -> Self {
        Self { position: link.position, hash: hex(&link.hash) }
    }
}

/// The first row that does not belong.
#[derive(Serialize, ToSchema)]
struct BrokenRow {
    /// Its position.
    position: i64,
    /// `missing`, `changed`, `unlinked`, `anchor` (where the chain begins) or `head` (where it ends).
    #[schema(value_type = String)]
    fault: &'static str,
    /// The same in words.
    message: String,
}

/// What a walk over the whole log found.
#[derive(Serialize, ToSchema)]
struct AuditVerification {
    /// Is every row as it was written, and none missing?
    whole: bool,
    /// Rows looked at.
    rows: u64,
    /// The row after which the log begins: the last that the janitor removed.
    anchor: AuditPlace,
    /// The last row that belongs. Noted elsewhere, it shows later that nobody wrote the log anew.
    last: AuditPlace,
    /// The first row that does not belong.
    #[schema(value_type = Option<BrokenRow>)]
    broken: Option<BrokenRow>,
}

impl From<Verification> for AuditVerification {
    fn from(found: Verification) -> Self {
        let broken = found.broken.map(|broken| BrokenRow {
            position: broken.position,
            fault: broken.fault.as_str(),
            message: format!("row {} {}", broken.position, broken.fault),
        });
        Self { whole: broken.is_none(), rows: found.rows, anchor: found.anchor.into(), last: found.last.into(), broken }
    }
}

/// Walks the whole audit log and names the first row that does not belong. One walk at a time.
#[utoipa::path(get, path = "/api/v1/audit/verification", tag = "access", responses(
    (status = 200, description = "What was found, good or bad", body = AuditVerification),
    Always, NeedsStore))]
async fn verify_audit(State(api): State<ApiState>, _query: NoQuery) -> Result<Json<AuditVerification>, ApiError> {
    let _turn =
        api.walks.try_acquire().map_err(|_| ApiError::rate_limited("The audit log is being verified already"))?;
    api.journal.flush().await.map_err(ApiError::of_reading)?;
    let found = verify(&*api.store).await.map_err(ApiError::of_reading)?;
    if let Some(broken) = &found.broken {
        tracing::error!(row = broken.position, fault = broken.fault.as_str(), "the audit log is broken");
    }
    Ok(Json(found.into()))
}
