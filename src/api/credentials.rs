//! Credentials of a cluster: upload, rotate, validate, delete, and what may be told of them. No answer carries a secret.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    health::{Cause, Endpoint},
    roll::ClusterId,
};
use serde::Serialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    ApiState,
    access::{Routes, Seen},
    error::ApiError,
    extract::{Id, JsonObject},
    query::{FromParameters, NoQuery, Parameters, Params},
    schema::{self, Always, NeedsStore, OneCluster, WithBody},
};
use crate::{
    audit::Action,
    credentials::{Credential, Part},
    discovery::{Lacking, Permissions},
    registration::{Became, CredentialError, Given, Proven, Terms, Upload, Verdict, WriteError},
};

/// The routes, which wait for the cluster.
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(get_credentials, upload_credentials, delete_credentials))
        .admin(routes!(rotate_credentials))
        .admin(routes!(validate_credentials))
}

/// Body of an upload or a rotation. A kubeconfig is read strictly: inline data only, nothing that runs, reads or reaches.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document")]
pub struct CredentialUpload {
    /// `KUBECONFIG`, `TOKEN` (or `SERVICE_ACCOUNT`), `CERTIFICATE`. A rotation may leave it out.
    #[schema(pattern = "^(KUBECONFIG|TOKEN|SERVICE_ACCOUNT|CERTIFICATE)$")]
    auth_type: Option<String>,
    /// With KUBECONFIG: the file, as it is or in base64; at most 64 KiB.
    kubeconfig: Option<String>,
    /// With TOKEN: a bearer token for the API server.
    token: Option<String>,
    /// With CERTIFICATE: the chain, PEM, leaf first.
    client_certificate: Option<String>,
    /// With CERTIFICATE: the key, PEM.
    client_key: Option<String>,
    /// Authorities of the API server, PEM, where the cluster has no `ca_bundle`.
    ca: Option<String>,
    /// A bearer token for Prometheus.
    prometheus_token: Option<String>,
    /// Authorities of Prometheus, PEM; in place of the cluster's `ca_bundle`.
    prometheus_ca: Option<String>,
    /// A bearer token for Tempo.
    tempo_token: Option<String>,
    /// Authorities of Tempo, PEM; in place of the cluster's `ca_bundle`.
    tempo_ca: Option<String>,
    /// A bearer token for Loki.
    loki_token: Option<String>,
    /// Authorities of Loki, PEM; in place of the cluster's `ca_bundle`.
    loki_ca: Option<String>,
}

/// Parameters of an upload.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct UploadTerms {
    /// Store credentials even if the cluster refuses them or cannot be reached.
    force: Option<bool>,
    /// Try them, and store nothing.
    dry_run: Option<bool>,
}

/// Parameters of a rotation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct RotationTerms {
    /// Store credentials even if the cluster refuses them or cannot be reached.
    force: Option<bool>,
    /// Try them, and store nothing.
    dry_run: Option<bool>,
    /// Neither try nor store what is stored already (`unchanged`), nor an older token of the same service account (`kept`).
    if_changed: Option<bool>,
}

impl FromParameters for UploadTerms {
    fn read(parameters: &mut Parameters) -> Self {
        Self { force: parameters.boolean("force"), dry_run: parameters.boolean("dry_run") }
    }
}

impl FromParameters for RotationTerms {
    fn read(parameters: &mut Parameters) -> Self {
        let UploadTerms { force, dry_run } = UploadTerms::read(parameters);
        Self { force, dry_run, if_changed: parameters.boolean("if_changed") }
    }
}

/// What became of credentials.
#[derive(Serialize, ToSchema)]
struct CredentialStatus {
    /// `stored`, `rotated`, `unchanged` or `kept`, of a dry run what it would be; `valid`, `invalid`, or `unknown` when nobody
    /// could be asked.
    #[schema(value_type = String)]
    status: &'static str,
    /// `success`, `failed` or `skipped` for every endpoint of the cluster.
    #[schema(value_type = BTreeMap<String, String>)]
    validation: BTreeMap<&'static str, &'static str>,
    /// Why, for every endpoint that failed or could not be asked.
    #[schema(value_type = BTreeMap<String, String>)]
    causes: BTreeMap<&'static str, &'static str>,
    /// When the first token or client certificate ends, where any tells.
    expires_at: Option<DateTime<Utc>>,
    /// What the account may not do that probes, steps of discovery or the renewal of its token want; null where the
    /// cluster did not say.
    lacking_permissions: Option<Vec<Lacking>>,
}

impl CredentialStatus {
    /// With what the account may not do, where the API server knows it.
    async fn reviewed(api: &ApiState, status: &'static str, proven: &Proven) -> Self {
        let is_known = |verdict: &Verdict| match verdict {
            Verdict::Success => true,
            Verdict::Failed(failure) => failure.cause == Cause::Forbidden,
            Verdict::NotRun(_) | Verdict::Skipped => false,
        };
        let known = proven.verdicts.iter().any(|(kind, verdict)| *kind == Endpoint::ApiServer && is_known(verdict));
        let found = if known { api.discoverer.permissions(proven.entry.cluster.id).await } else { None };
        let lacking_permissions = match found {
            Some(Permissions::Known(lacking)) => Some(lacking),
            Some(Permissions::Unknown(_)) | None => None,
        };
        Self { lacking_permissions, ..Self::of(status, proven) }
    }

    fn of(status: &'static str, proven: &Proven) -> Self {
        let mut answer = Self {
            status,
            lacking_permissions: None,
            validation: BTreeMap::new(),
            causes: BTreeMap::new(),
            expires_at: proven.credential.expires_at(),
        };
        for (endpoint, verdict) in &proven.verdicts {
            let (word, cause) = match verdict {
                Verdict::Success => ("success", None),
                Verdict::Failed(failure) => ("failed", Some(failure.cause.as_str())),
                Verdict::NotRun(reason) => ("skipped", Some(reason.as_str())),
                Verdict::Skipped => ("skipped", None),
            };
            answer.validation.insert(endpoint.as_str(), word);
            answer.causes.extend(cause.map(|cause| (endpoint.as_str(), cause)));
        }
        answer
    }
}

/// What may be told of stored credentials.
#[derive(Serialize, ToSchema)]
#[schema(as = Credentials)]
struct CredentialsView {
    /// As what the API server's were given; null where there are none for it.
    auth_type: Option<String>,
    /// When the first token or client certificate ends, where any tells.
    expires_at: Option<DateTime<Utc>>,
    /// One for every endpoint that they open.
    endpoints: Vec<EndpointCredentials>,
}

/// What may be told of the credentials of one endpoint.
#[derive(Serialize, ToSchema)]
struct EndpointCredentials {
    /// Which endpoint.
    #[schema(schema_with = schema::endpoint)]
    endpoint: &'static str,
    /// Is there a bearer token?
    token: bool,
    /// Is there a client certificate?
    client_certificate: bool,
    /// Are there authorities of its own?
    ca: bool,
    /// When each of these ends, as far as they tell.
    #[schema(value_type = BTreeMap<String, DateTime<Utc>>)]
    expires: BTreeMap<&'static str, DateTime<Utc>>,
}

impl CredentialsView {
    fn of(credential: &Credential) -> Self {
        let auth_type = credential.part(Endpoint::ApiServer).map(|part| part.auth_type.as_str().to_owned());
        let endpoints = credential.parts().map(|(endpoint, part)| EndpointCredentials::of(endpoint, part));
        Self { auth_type, expires_at: credential.expires_at(), endpoints: endpoints.collect() }
    }
}

impl EndpointCredentials {
    fn of(endpoint: Endpoint, part: &Part) -> Self {
        Self {
            endpoint: endpoint.as_str(),
            token: part.token.is_some(),
            client_certificate: part.certificate.is_some(),
            ca: part.ca_pem.is_some(),
            expires: part.expiries().iter().map(|expiry| (expiry.kind.as_str(), expiry.at)).collect(),
        }
    }
}

/// What may be told of a cluster's credentials: which there are and when they end.
#[utoipa::path(get, path = "/api/v1/clusters/{id}/credentials", tag = "credentials", params(
    ("id" = uuid::Uuid, Path, description = "Cluster id")), responses(
    (status = 200, description = "Which there are", body = CredentialsView), Always, OneCluster, NeedsStore))]
async fn get_credentials(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
) -> Result<Json<CredentialsView>, ApiError> {
    seen.get(id)?;
    Ok(Json(CredentialsView::of(&*api.registration.stored(id)?)))
}

/// Stores credentials in place of all there were, after trying them on the cluster.
#[utoipa::path(post, path = "/api/v1/clusters/{id}/credentials", tag = "credentials", request_body = CredentialUpload,
    params(("id" = uuid::Uuid, Path, description = "Cluster id"), UploadTerms), responses(
    (status = 200, description = "Stored", body = CredentialStatus), Always, OneCluster, WithBody, NeedsStore))]
async fn upload_credentials(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    Params(query): Params<UploadTerms>,
    JsonObject(body): JsonObject,
) -> Result<Json<CredentialStatus>, ApiError> {
    seen.get(id)?;
    let given = Given::read(body, false).map_err(ApiError::credentials_invalid)?;
    let [force, dry_run] = [query.force, query.dry_run].map(Option::unwrap_or_default);
    put(&api, &seen, id, given, Upload::Whole, Terms { force, dry_run, if_changed: false }).await
}

/// Replaces the credentials that the body carries. The new ones are proven first; until then, and when they are refused,
/// the old ones stay in use.
#[utoipa::path(post, path = "/api/v1/clusters/{id}/credentials/rotate", tag = "credentials",
    request_body = CredentialUpload,
    params(("id" = uuid::Uuid, Path, description = "Cluster id"), RotationTerms), responses(
    (status = 200, description = "Replaced", body = CredentialStatus), Always, OneCluster, WithBody, NeedsStore))]
async fn rotate_credentials(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    Params(query): Params<RotationTerms>,
    JsonObject(body): JsonObject,
) -> Result<Json<CredentialStatus>, ApiError> {
    seen.get(id)?;
    let given = Given::read(body, true).map_err(ApiError::credentials_invalid)?;
    let [force, dry_run, if_changed] = [query.force, query.dry_run, query.if_changed].map(Option::unwrap_or_default);
    put(&api, &seen, id, given, Upload::Rotation, Terms { force, dry_run, if_changed }).await
}

/// Tries and stores what was given, and says what became of it.
async fn put(
    api: &ApiState,
    seen: &Seen,
    id: ClusterId,
    given: Given,
    upload: Upload,
    terms: Terms,
) -> Result<Json<CredentialStatus>, ApiError> {
    let (proven, became) = api.registration.upload(id, given, upload, terms, seen.author()).await?;
    let status = match (became, upload) {
        (Became::Stored, Upload::Whole) => "stored",
        (Became::Stored, Upload::Rotation) => "rotated",
        (Became::Same, _) => "unchanged",
        (Became::Older, _) => "kept",
    };
    if !terms.dry_run {
        return Ok(Json(CredentialStatus::reviewed(api, status, &proven).await));
    }
    let answer = CredentialStatus::of(status, &proven);
    let entry = api.journal.entry(&seen.origin, Action::CredentialsValidate).of_cluster(id);
    let entry = entry.with("dry_run", json!(status)).with("validation", json!(answer.validation));
    api.journal.tell(entry.of_object(&proven.entry.cluster.name)).await.map_err(ApiError::of_reading)?;
    Ok(Json(answer))
}

/// Tries the stored credentials on the cluster, over new connections.
#[utoipa::path(post, path = "/api/v1/clusters/{id}/credentials/validate", tag = "credentials", params(
    ("id" = uuid::Uuid, Path, description = "Cluster id")), responses(
    (status = 200, description = "What was found, good or bad", body = CredentialStatus),
    Always, OneCluster, NeedsStore))]
async fn validate_credentials(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
) -> Result<Json<CredentialStatus>, ApiError> {
    seen.get(id)?;
    let proven = api.registration.validate_credentials(id).await?;
    let silent = proven.verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::NotRun(_)));
    let status = match (proven.holds(), silent) {
        (true, _) => "valid",
        (false, true) => "unknown",
        (false, false) => "invalid",
    };
    let answer = CredentialStatus::reviewed(&api, status, &proven).await;
    let entry = api.journal.entry(&seen.origin, Action::CredentialsValidate).of_cluster(id);
    let entry = entry.with("status", json!(status)).with("validation", json!(answer.validation));
    api.journal.tell(entry.of_object(&proven.entry.cluster.name)).await.map_err(ApiError::of_reading)?;
    Ok(Json(answer))
}

/// Removes a cluster's credentials. It is checked without any from then on.
#[utoipa::path(delete, path = "/api/v1/clusters/{id}/credentials", tag = "credentials", params(
    ("id" = uuid::Uuid, Path, description = "Cluster id")), responses(
    (status = 204, description = "Removed"), Always, OneCluster, NeedsStore))]
async fn delete_credentials(
    State(api): State<ApiState>,
    seen: Seen,
    Id(id): Id,
    _query: NoQuery,
) -> Result<StatusCode, ApiError> {
    seen.get(id)?;
    api.registration.delete_credentials(id, seen.author()).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<CredentialError> for ApiError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Write(WriteError::Changed) => {
                let message = "The cluster or its credentials were changed while these were tried; try again";
                Self::unreachable(message)
            }
            CredentialError::Write(error) => error.into(),
            CredentialError::Unusable(invalid) => Self::credentials_invalid(invalid),
            CredentialError::Refused(refused) => Self::credentials_refused(refused),
            CredentialError::Unreachable(verdicts) => {
                let cause = |(endpoint, verdict): &(Endpoint, Verdict)| match verdict {
                    Verdict::Failed(failure) => Some(format!("{}: {failure}", endpoint.title())),
                    Verdict::NotRun(reason) => Some(format!("{}: not asked ({reason})", endpoint.title())),
                    Verdict::Success | Verdict::Skipped => None,
                };
                let causes: Vec<String> = verdicts.iter().filter_map(cause).collect();
                let message = format!("The credentials could not be tried; nothing was stored. {}", causes.join("; "));
                Self::unreachable(message)
            }
            CredentialError::NotFound(id) => Self::credentials_not_found(id),
        }
    }
}
