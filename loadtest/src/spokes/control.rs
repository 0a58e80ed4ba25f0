//! The control API of a running fleet, JSON over HTTP on loopback: see what is there, change it, read the truth.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::behaviour::Behaviour;
use super::error::FleetError;
use super::expect::Expected;
use super::fleet::{Change, FleetHandle};
use super::role::{Role, Scope};
use super::script::{Script, ScriptError, ScriptOptions};
use super::select::Selector;
use super::spoke::{Registration, RegistrationFile};
use super::stats::Served;
use super::truth::Truth;

const TRUTH_LIMIT: usize = 10_000;
/// A script for ten thousand spokes is some megabytes.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Serves the control API on a loopback address until the fleet stops; returns where (port 0 = any free one).
pub async fn serve(fleet: FleetHandle, listen: SocketAddr) -> Result<SocketAddr, FleetError> {
    if !listen.ip().is_loopback() {
        return Err(FleetError::ControlAddress(listen));
    }
    let failed = |source| FleetError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let stopping = fleet.clone();
    let router = router(fleet);
    tokio::spawn(async move {
        let stopped = async move { stopping.stopped().await };
        let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
    });
    Ok(address)
}

fn router(fleet: FleetHandle) -> Router {
    Router::new()
        .route("/spokes", get(list_spokes))
        .route("/spokes/{name}", get(get_spoke))
        .route("/spokes/{name}/behaviour", put(put_behaviour))
        .route("/behaviours", post(post_behaviours))
        .route("/registration", get(registration))
        .route("/truth", get(truth))
        .route("/script", post(post_script))
        .route("/stats", get(stats))
        .route("/pace", get(pace))
        .route("/stop", post(stop))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(fleet)
}

/// One spoke as the control API shows it: what registers it, and how it is now.
#[derive(Debug, Serialize, Deserialize)]
pub struct SpokeView {
    /// What registers it.
    #[serde(flatten)]
    pub registration: Registration,
    /// The bearer token its API server wants.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// How its roles behave now.
    pub behaviours: BTreeMap<Role, Behaviour>,
    /// What a correct monitor must show for it now.
    pub expected: Expected,
    /// What it has served.
    pub served: BTreeMap<Role, Served>,
}

/// The body of `PUT /spokes/{name}/behaviour`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetBehaviour {
    /// What of the spoke; all of it unless told otherwise.
    #[serde(default)]
    pub role: Scope,
    /// How it behaves from now on.
    pub behaviour: Behaviour,
}

/// The body of `POST /behaviours`: named changes, or one behaviour for all that a selector chooses.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SetBehaviours {
    /// Change by change.
    Changes(ChangeList),
    /// The same for many; spokes without the role are left out.
    Selected(SelectedBehaviour),
}

/// Changes made in order, as close together as possible.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeList {
    /// The changes.
    pub changes: Vec<Change>,
}

/// One behaviour for many spokes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectedBehaviour {
    /// Which spokes.
    pub select: Selector,
    /// What of them.
    #[serde(default)]
    pub role: Scope,
    /// How that behaves from now on.
    pub behaviour: Behaviour,
}

/// The body of `POST /script`: a whole script, or how to generate one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PlayScript {
    /// Play this.
    Script(Script),
    /// Generate one for this fleet and play it.
    Generate {
        /// What it is like.
        generate: ScriptOptions,
    },
    /// Let one spoke flap.
    Flap {
        /// Which one, and how.
        flap: Flap,
    },
}

/// A flapping spoke.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flap {
    /// The spoke.
    pub spoke: String,
    /// What of it.
    #[serde(default)]
    pub role: Scope,
    /// Decides the times.
    #[serde(default)]
    pub seed: u64,
    /// Mean time up.
    pub up_ms: u64,
    /// Mean time down.
    pub down_ms: u64,
    /// How long it goes on.
    pub duration_ms: u64,
}

async fn list_spokes(State(fleet): State<FleetHandle>, Query(page): Query<Page>) -> Json<Value> {
    let limit = page.limit.unwrap_or(usize::MAX);
    let all = fleet.spokes();
    let items: Vec<SpokeView> =
        all.iter().skip(page.offset).take(limit).filter_map(|spoke| view(&fleet, &spoke.name)).collect();
    Json(json!({ "items": items, "total": all.len() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

async fn get_spoke(State(fleet): State<FleetHandle>, Path(name): Path<String>) -> Result<Json<SpokeView>, Refusal> {
    view(&fleet, &name).map(Json).ok_or_else(|| FleetError::NoSuchSpoke(name).into())
}

fn view(fleet: &FleetHandle, name: &str) -> Option<SpokeView> {
    let spoke = fleet.spoke(name)?;
    Some(SpokeView {
        registration: spoke.registration(fleet.ca_pem()),
        token: spoke.token.clone(),
        behaviours: fleet.behaviours(name)?,
        expected: fleet.expected(name)?,
        served: fleet.served_by(name)?,
    })
}

async fn put_behaviour(
    State(fleet): State<FleetHandle>,
    Path(name): Path<String>,
    Json(body): Json<SetBehaviour>,
) -> Result<Json<SpokeView>, Refusal> {
    fleet.set(&name, body.role, body.behaviour).await?;
    view(&fleet, &name).map(Json).ok_or_else(|| FleetError::Stopped.into())
}

async fn post_behaviours(
    State(fleet): State<FleetHandle>,
    Json(body): Json<SetBehaviours>,
) -> Result<Json<Value>, Refusal> {
    let changes = match body {
        SetBehaviours::Changes(list) => list.changes,
        SetBehaviours::Selected(selected) => fleet.selected(&selected.select, selected.role, selected.behaviour),
    };
    fleet.apply(&changes).await?;
    Ok(Json(json!({ "changed": changes.len(), "spokes": names(&changes) })))
}

fn names(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.spoke.as_str()).collect()
}

async fn registration(State(fleet): State<FleetHandle>) -> Json<RegistrationFile> {
    Json(fleet.registrations())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TruthQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    /// Wait so long for something new.
    #[serde(default)]
    wait_ms: u64,
}

/// Truth entries, and the number to ask with next time.
#[derive(Debug, Serialize, Deserialize)]
pub struct TruthPage {
    /// The entries.
    pub items: Vec<Truth>,
    /// The number of the last of them.
    pub last_seq: u64,
}

async fn truth(State(fleet): State<FleetHandle>, Query(query): Query<TruthQuery>) -> Json<TruthPage> {
    let patience = Duration::from_millis(query.wait_ms).min(LONGEST_WAIT);
    if !patience.is_zero() {
        let mut last = fleet.last_truth();
        let news = last.wait_for(|seq| *seq > query.after);
        let _ = tokio::time::timeout(patience, news).await;
    }
    let items = fleet.truth_after(query.after, query.limit.unwrap_or(TRUTH_LIMIT).min(TRUTH_LIMIT));
    let last_seq = items.last().map_or(query.after, |entry| entry.seq);
    Json(TruthPage { items, last_seq })
}

async fn post_script(State(fleet): State<FleetHandle>, Json(body): Json<PlayScript>) -> Result<Response, Refusal> {
    let script = match body {
        PlayScript::Script(mut script) => {
            script.changes.sort_by_key(|change| change.at_ms);
            script
        }
        PlayScript::Generate { generate } => Script::generate(fleet.spokes(), &generate),
        PlayScript::Flap { flap: Flap { spoke, role, seed, up_ms, down_ms, duration_ms } } => {
            Script::flapping(&spoke, role, seed, up_ms.max(1), down_ms.max(1), duration_ms)
        }
    };
    let playback = fleet.play(script)?;
    let begun = json!({ "changes": playback.total(), "duration_ms": playback.duration().as_millis() as u64 });
    Ok((StatusCode::ACCEPTED, Json(begun)).into_response())
}

async fn stats(State(fleet): State<FleetHandle>) -> Json<Value> {
    let last: BTreeMap<&str, Option<u64>> = fleet
        .spokes()
        .iter()
        .map(|spoke| (spoke.name.as_str(), fleet.served_in_all(&spoke.name).and_then(|served| served.last_request_ms)))
        .collect();
    Json(json!({
        "uptime_ms": fleet.uptime_ms(),
        "spokes": fleet.spokes().len(),
        "served": fleet.served(),
        "last_request_ms": last,
    }))
}

async fn pace(State(fleet): State<FleetHandle>) -> Json<BTreeMap<i64, u64>> {
    Json(fleet.pace())
}

async fn stop(State(fleet): State<FleetHandle>) -> Json<Value> {
    fleet.stop();
    Json(json!({ "stopped": true }))
}

/// A refused request: a status code and a sentence.
struct Refusal(StatusCode, String);

impl From<FleetError> for Refusal {
    fn from(error: FleetError) -> Self {
        let status = match error {
            FleetError::NoSuchSpoke(_) => StatusCode::NOT_FOUND,
            FleetError::NoSuchRole { .. } => StatusCode::BAD_REQUEST,
            FleetError::Stopped => StatusCode::CONFLICT,
            FleetError::Descriptors { .. }
            | FleetError::Addresses { .. }
            | FleetError::Empty
            | FleetError::Listen { .. }
            | FleetError::Certificates(_)
            | FleetError::Truth(_)
            | FleetError::Runtime(_)
            | FleetError::ControlAddress(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<ScriptError> for Refusal {
    fn from(error: ScriptError) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
