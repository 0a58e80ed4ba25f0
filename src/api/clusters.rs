//! Clusters: register, read, list, change, remove, look at now, import.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use fleetbeat_actors::{board::Entry, health::Outcome};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::{ApiError, ErrorDetail},
    extract::{Id, IfMatch, JsonObject, MAX_IMPORT_BODY, Name, none_match},
    json::{CLUSTER_ROOM, as_json},
    listing::{ClusterList, ListQuery},
    query::{NoQuery, Params},
    schema::{Always, Conditional, Fields, ImportRequest, MergePatch, NeedsStore, OneCluster, WithBody},
    view::{ClusterView, ProbeView, StatusView, entity_tag},
};
use crate::{
    audit::Action,
    registration::{Change, Detail, ImportItem, ImportOutcome, MAX_IMPORT, Spec, WriteError, Written},
    store::AuditOutcome,
};

/// The routes that answer promptly.
pub fn routes() -> Routes {
    Routes::new()
        .viewer(routes!(list_clusters))
        .operator(routes!(register_cluster))
        .operator(routes!(import_clusters))
        .viewer(routes!(get_cluster_by_name))
        .viewer(routes!(get_cluster))
        .operator(routes!(update_cluster, patch_cluster))
        .admin(routes!(delete_cluster))
        .viewer(routes!(get_cluster_status))
}

/// The route that waits for a check.
pub fn patient_routes() -> Routes {
    Routes::new().operator(routes!(refresh_cluster))
}

/// Registers a cluster. It is checked at once.
#[utoipa::path(post, path = "/api/v1/clusters", tag = "clusters", request_body = Spec, responses(
    (status = 201, description = "Registered", body = ClusterView, headers(
        ("ETag" = String, description = "Its generation"), ("Location" = String, description = "Where it is"))),
    (status = 409, description = "The name or the source is in use: CLUSTER_ALREADY_EXISTS", body = super::error::ErrorEnvelope),
    Always, WithBody, NeedsStore))]
async fn register_cluster(
    State(api): State<ApiState>,
    seen: Seen,
    _query: NoQuery,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let spec = Spec::read(body).map_err(ApiError::invalid)?;
    let written = api.registration.register(spec, seen.author()).await?;
    let location = format!("/api/v1/clusters/{}", written.entry.cluster.id);
    let mut response = api.written(&written, StatusCode::CREATED);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Lists clusters.
#[utoipa::path(get, path = "/api/v1/clusters", tag = "clusters", params(ListQuery), responses(
    (status = 200, description = "A page, or the next part of a keyset", body = ClusterList), Always))]
async fn list_clusters(State(api): State<ApiState>, seen: Seen, Params(query): Params<ListQuery>) -> Response {
    query.run(&seen, api.now(), |list| as_json(list, list.items.len() * CLUSTER_ROOM))
}

/// One cluster. Its `ETag` begins with its generation and changes with everything the body shows.
#[utoipa::path(get, path = "/api/v1/clusters/{id}", tag = "clusters", params(
    ("id" = Uuid, Path, description = "Cluster id"),
    ("If-None-Match" = Option<String>, Header, description = "Tag of an earlier answer")), responses(
    (status = 200, description = "The cluster", body = ClusterView, headers(("ETag" = String))),
    (status = 304, description = "Nothing new since the tag"), Always, OneCluster))]
async fn get_cluster(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let entry = seen.get(id)?;
    Ok(api.read(&entry, &headers))
}

/// One cluster by its name.
#[utoipa::path(get, path = "/api/v1/clusters/by-name/{name}", tag = "clusters", params(
    ("name" = String, Path, description = "Cluster name", pattern = "^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$"),
    ("If-None-Match" = Option<String>, Header, description = "Tag of an earlier answer")), responses(
    (status = 200, description = "The cluster", body = ClusterView, headers(("ETag" = String))),
    (status = 304, description = "Nothing new since the tag"), Always, OneCluster))]
async fn get_cluster_by_name(
    State(api): State<ApiState>,
    seen: Seen,
    Name(name): Name,
    _query: NoQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let entry = seen.by_name(&name)?;
    Ok(api.read(&entry, &headers))
}

/// Changes the fields that the body carries.
#[utoipa::path(put, path = "/api/v1/clusters/{id}", tag = "clusters", request_body = Fields, params(
    ("id" = Uuid, Path, description = "Cluster id"),
    IfMatch), responses(
    (status = 200, description = "The cluster after the change; the same generation when nothing changed",
        body = ClusterView, headers(("ETag" = String))),
    (status = 409, description = "The source is in use: CLUSTER_ALREADY_EXISTS", body = super::error::ErrorEnvelope),
    Always, OneCluster, WithBody, Conditional, NeedsStore))]
async fn update_cluster(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
    IfMatch(expected): IfMatch,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let written = api.registration.change(id, Change::Fields(body), expected, seen.author()).await?;
    Ok(api.written(&written, StatusCode::OK))
}

/// Changes a cluster by a JSON merge patch.
#[utoipa::path(patch, path = "/api/v1/clusters/{id}", tag = "clusters", params(
    ("id" = Uuid, Path, description = "Cluster id"),
    IfMatch),
    request_body(content((MergePatch = "application/merge-patch+json"), (MergePatch = "application/json"))), responses(
    (status = 200, description = "The cluster after the change; the same generation when nothing changed",
        body = ClusterView, headers(("ETag" = String))),
    (status = 409, description = "The source is in use: CLUSTER_ALREADY_EXISTS", body = super::error::ErrorEnvelope),
    Always, OneCluster, WithBody, Conditional, NeedsStore))]
async fn patch_cluster(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
    IfMatch(expected): IfMatch,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let written = api.registration.change(id, Change::Merge(body), expected, seen.author()).await?;
    Ok(api.written(&written, StatusCode::OK))
}

/// Removes a cluster. Its events stay in the log.
#[utoipa::path(delete, path = "/api/v1/clusters/{id}", tag = "clusters", params(
    ("id" = Uuid, Path, description = "Cluster id"),
    IfMatch), responses(
    (status = 204, description = "Removed"), Always, OneCluster, Conditional, NeedsStore))]
async fn delete_cluster(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, ApiError> {
    api.registration.remove(id, expected, seen.author()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A cluster's status alone.
#[utoipa::path(get, path = "/api/v1/clusters/{id}/status", tag = "clusters", params(
    ("id" = Uuid, Path, description = "Cluster id")), responses(
    (status = 200, description = "Its status", body = StatusView), Always, OneCluster))]
async fn get_cluster_status(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
) -> Result<Response, ApiError> {
    let entry = seen.get(id)?;
    Ok(as_json(&StatusView::of(&entry, api.now()), CLUSTER_ROOM))
}

/// A cluster with the check that was just run.
#[derive(Serialize, ToSchema)]
struct Refreshed<'a> {
    /// The cluster after the check.
    #[serde(flatten)]
    cluster: ClusterView<'a>,
    /// What the check found.
    check: CheckView,
}

/// What a check found.
#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
struct CheckView {
    /// When its report came back.
    completed_at: DateTime<Utc>,
    /// Did the API-server probe carry credentials?
    authenticated: bool,
    /// One for every endpoint probed.
    probes: Vec<ProbeView>,
}

/// Checks a cluster now and answers with what was found. What it can do is looked at again as well, without waiting for it.
#[utoipa::path(post, path = "/api/v1/clusters/{id}/refresh", tag = "clusters", params(
    ("id" = Uuid, Path, description = "Cluster id")), responses(
    (status = 200, description = "The cluster after the check, and what the check found, good or bad", body = Refreshed),
    (status = 503, description = "No check could be run: CLUSTER_UNREACHABLE", body = super::error::ErrorEnvelope),
    Always, OneCluster))]
async fn refresh_cluster(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
) -> Result<Response, ApiError> {
    let entry = seen.get(id)?;
    let report = api.check_now(&entry).await?;
    if !matches!(report.api_server, Outcome::NotRun(_)) {
        api.discover_behind(id);
    }
    let entry = seen.get(id)?;
    let now = api.now();
    let check =
        CheckView { completed_at: now.wall, authenticated: report.authenticated, probes: ProbeView::of(&report) };
    Ok(as_json(&Refreshed { cluster: ClusterView::of(&entry, now), check }, CLUSTER_ROOM))
}

/// What became of the clusters of an import.
#[derive(Serialize, ToSchema)]
struct ImportReport {
    /// Newly registered.
    created: usize,
    /// Changed.
    updated: usize,
    /// Registered like this already.
    unchanged: usize,
    /// Neither.
    failed: usize,
    /// One for every cluster, in order.
    items: Vec<ImportResult>,
}

/// What became of one cluster.
#[derive(Serialize, ToSchema)]
struct ImportResult {
    /// Its name, where one was given.
    name: Option<String>,
    /// `created`, `updated`, `unchanged` or `failed`.
    #[schema(value_type = String)]
    result: &'static str,
    /// Its id.
    id: Option<Uuid>,
    /// Why it failed.
    #[schema(value_type = Option<Object>)]
    error: Option<ImportError>,
}

#[derive(Serialize, ToSchema)]
struct ImportError {
    #[schema(value_type = String)]
    code: &'static str,
    message: String,
    #[schema(value_type = Vec<ErrorDetail>)]
    details: Vec<Detail>,
}

/// Registers or changes many clusters. Idempotent by name; one that fails does not affect the others.
#[utoipa::path(post, path = "/api/v1/clusters:import", tag = "clusters", request_body = ImportRequest, responses(
    (status = 200, description = "A result for each", body = ImportReport), Always, WithBody, NeedsStore))]
async fn import_clusters(
    State(api): State<ApiState>,
    seen: Seen,
    _query: NoQuery,
    JsonObject(mut body): JsonObject<MAX_IMPORT_BODY>,
) -> Result<Json<ImportReport>, ApiError> {
    let clusters = match body.remove("clusters") {
        Some(Value::Array(clusters)) if clusters.len() <= MAX_IMPORT => objects(clusters)?,
        Some(Value::Array(_)) => {
            return Err(ApiError::invalid_field("clusters", format!("must have at most {MAX_IMPORT} items")));
        }
        _ => return Err(ApiError::invalid_field("clusters", "must be an array of clusters")),
    };
    if let Some(field) = body.keys().next() {
        return Err(ApiError::invalid_field(field.chars().take(64).collect::<String>(), "unknown field"));
    }
    let items = api.registration.import(clusters, seen.author()).await?;
    let report = ImportReport::of(items);
    if report.failed > 0 {
        let entry = api.journal.entry(&seen.origin, Action::ClusterImport).with("failed", json!(report.failed));
        let entry = entry.with("codes", json!(report.codes()));
        api.journal.note(&seen.origin, entry.ended(AuditOutcome::Refused, "IMPORT_FAILED_IN_PART"));
    }
    Ok(Json(report))
}

fn objects(values: Vec<Value>) -> Result<Vec<Map<String, Value>>, ApiError> {
    let object = |(index, value)| match value {
        Value::Object(map) => Ok(map),
        _ => Err(ApiError::invalid_field(format!("clusters[{index}]"), "must be an object")),
    };
    values.into_iter().enumerate().map(object).collect()
}

impl ImportReport {
    fn of(items: Vec<ImportItem>) -> Self {
        let items: Vec<_> = items.into_iter().map(ImportResult::of).collect();
        let count = |result| items.iter().filter(|item| item.result == result).count();
        Self {
            created: count("created"),
            updated: count("updated"),
            unchanged: count("unchanged"),
            failed: count("failed"),
            items,
        }
    }
}

impl ImportReport {
    /// The codes of what failed, each once.
    fn codes(&self) -> BTreeSet<&'static str> {
        self.items.iter().filter_map(|item| item.error.as_ref().map(|error| error.code)).collect()
    }
}

impl ImportResult {
    fn of(item: ImportItem) -> Self {
        let (result, id, error) = match item.outcome {
            ImportOutcome::Created(id) => ("created", Some(id.0), None),
            ImportOutcome::Updated(id) => ("updated", Some(id.0), None),
            ImportOutcome::Unchanged(id) => ("unchanged", Some(id.0), None),
            ImportOutcome::Failed(error) => ("failed", None, Some(ImportError::of(error))),
        };
        Self { name: item.name, result, id, error }
    }
}

impl ImportError {
    fn of(error: WriteError) -> Self {
        let ApiError { code, message, details, .. } = error.into();
        Self { code, message, details }
    }
}

impl ApiState {
    /// A cluster as read: 304 when the caller has it already.
    fn read(&self, entry: &Entry, headers: &HeaderMap) -> Response {
        let now = self.now();
        let tag = entity_tag(entry, now);
        let mut response = if none_match(headers, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            as_json(&ClusterView::of(entry, now), CLUSTER_ROOM)
        };
        set_tag(&mut response, &tag);
        response
    }

    /// A cluster as written: its tag is its generation.
    fn written(&self, written: &Written, status: StatusCode) -> Response {
        let mut response = as_json(&ClusterView::of(&written.entry, self.now()), CLUSTER_ROOM);
        if response.status().is_success() {
            *response.status_mut() = status;
        }
        set_tag(&mut response, &format!("\"{}\"", written.entry.cluster.generation));
        if !written.unbound.is_empty() {
            let endpoints: Vec<_> = written.unbound.iter().map(|endpoint| endpoint.as_str()).collect();
            let warning = format!(
                "199 fleetbeat \"credentials of {} were bound to another address or CA and are deleted\"",
                endpoints.join(", ")
            );
            if let Ok(warning) = HeaderValue::from_str(&warning) {
                response.headers_mut().insert(header::WARNING, warning);
            }
        }
        response
    }
}

fn set_tag(response: &mut Response, tag: &str) {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}
