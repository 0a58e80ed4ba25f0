//! A whole house without sockets: the router over a real engine, a real SQLite store and a fleet that does as it is told.

use std::{
    convert::identity,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::doors::Entrance;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use chrono::TimeDelta;
use fleetbeat::{
    api::{ApiParts, Dependency, GateRules, StatusPage, StreamingRules, Vitals, router},
    audit::{Journal, JournalRules, Origin},
    credentials::{Credential, Foresight, InMemoryCredentials, KeySource, Prover, SealedStore, Sealer, Vault},
    discovery::{Budget, Conversation, Discoverer, Habits, Inquirer, Manner, Question, Reply, Silence},
    identity::{Identity, Keyring, Role, Scope, TokenDraft},
    limits::{Limiter, Rate, Rates},
    registration::{Registration, Watch},
    silences::{Calendar, Silences},
    store::{Place, Store, StoreOptions, open},
    webhooks::{Courier, Delivery, Letter, Parts, Patience, Rules, Webhooks},
};
use fleetbeat_actors::{
    engine::{Engine, EngineParts},
    health::{Cause, CheckReport, Failure, Outcome},
    ports::Clock,
    roll::ClusterId,
    target::{Cadence, Policy, Target},
    testing::{FakeFleet, TestClock},
};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, time::Instant};
use tower::ServiceExt;

/// Nobody is limited.
const RATES: Rates =
    Rates { known: Rate { per_second: 0.0, burst: 1.0 }, unknown: Rate { per_second: 0.0, burst: 1.0 } };

/// What a disk may take that stalls, where it is not the limits that are tested.
const PATIENCE: Duration = Duration::from_secs(30);

fn patient(options: StoreOptions) -> StoreOptions {
    StoreOptions { acquire_timeout: PATIENCE, statement_timeout: PATIENCE, call_timeout: PATIENCE, ..options }
}

/// The house.
pub struct House {
    /// The API.
    pub router: Router,
    /// The clusters out there.
    pub fleet: FakeFleet,
    /// The engine.
    pub engine: Arc<Engine>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The credentials in memory.
    pub memory: Arc<InMemoryCredentials>,
    /// What credentials are tried on.
    pub judge: Arc<FakeProver>,
    /// The writing side.
    pub registration: Arc<Registration>,
    /// What ends when.
    pub foresight: Arc<Foresight>,
    /// Who is silenced when.
    pub silences: Arc<Silences>,
    /// What API servers answer to discovery.
    pub answers: Arc<FakeInquirer>,
    discoverer: Arc<Discoverer>,
    /// Who is told what happens.
    pub webhooks: Arc<Webhooks>,
    /// Tells event streams to end.
    pub stop: watch::Sender<bool>,
    /// Who did what.
    pub journal: Arc<Journal>,
    /// The tokens.
    pub keyring: Arc<Keyring>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    vitals: Arc<Vitals>,
    directory: TempDir,
}

/// What the clusters say to credentials: success, unless told otherwise.
#[derive(Default)]
pub struct FakeProver(pub Mutex<Option<Cause>>);

impl Prover for FakeProver {
    fn prove(&self, target: Arc<Target>, _: Arc<Credential>) -> BoxFuture<'static, CheckReport> {
        let outcome = match *self.0.lock().unwrap() {
            None => Outcome::Healthy { latency: Duration::from_millis(1) },
            Some(cause) => Outcome::failed(Failure::of(cause), Duration::from_millis(1)),
        };
        let has = |url: &Option<String>| url.is_some().then_some(outcome);
        let urls = &target.cluster.endpoints;
        let report = CheckReport {
            api_server: outcome,
            prometheus: has(&urls.prometheus_url),
            tempo: has(&urls.tempo_url),
            loki: has(&urls.loki_url),
            authenticated: true,
            fresh: true,
        };
        Box::pin(std::future::ready(report))
    }
}

/// What API servers answer to discovery: by the beginning of the path, 404 otherwise; nobody answers while empty.
#[derive(Default)]
pub struct FakeInquirer(pub Mutex<Vec<(&'static str, u16, String)>>);

impl Inquirer for FakeInquirer {
    fn converse(
        &self,
        _: Arc<Target>,
        _: Arc<Credential>,
    ) -> BoxFuture<'static, Result<Box<dyn Conversation>, Silence>> {
        let answers = FakeConversation(self.0.lock().unwrap().clone());
        Box::pin(std::future::ready(Ok(Box::new(answers) as Box<dyn Conversation>)))
    }
}

struct FakeConversation(Vec<(&'static str, u16, String)>);

#[async_trait::async_trait]
impl Conversation for FakeConversation {
    async fn ask(&mut self, question: Question) -> Result<Reply, Silence> {
        if self.0.is_empty() {
            return Err(Silence::Failed(Cause::Timeout));
        }
        let known = self.0.iter().find(|(path, _, _)| question.path.starts_with(path));
        let (status, body) = known.map_or((404, String::new()), |(_, status, body)| (*status, body.clone()));
        Ok(Reply { status, overflows: false, body: body.into_bytes().into() })
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The error's code.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields that the error names.
    pub fn fields(&self) -> Vec<String> {
        let details = self.json()["error"]["details"].as_array().cloned().unwrap_or_default();
        details.iter().map(|detail| detail["field"].as_str().unwrap().to_owned()).collect()
    }
}

struct StorePulse(Arc<dyn Store>);

#[async_trait::async_trait]
impl Dependency for StorePulse {
    fn name(&self) -> &'static str {
        self.0.backend()
    }
    fn required(&self) -> bool {
        true
    }
    async fn ping(&self) -> Result<(), String> {
        self.0.ping().await.map_err(|error| error.to_string())
    }
}

impl House {
    /// A house with an empty roll.
    pub async fn build() -> Self {
        Self::build_with(None).await
    }

    /// A house with the engine's metrics.
    pub async fn build_with(metrics: Option<PrometheusHandle>) -> Self {
        Self::build_whole(metrics, false, patient).await
    }

    /// A house that accepts tokens only.
    pub async fn guarded() -> Self {
        Self::build_whole(None, true, patient).await
    }

    /// A house whose store keeps the limits it has by default.
    pub async fn impatient() -> Self {
        Self::build_whole(None, false, identity).await
    }

    async fn build_whole(
        metrics: Option<PrometheusHandle>,
        guarded: bool,
        limits: fn(StoreOptions) -> StoreOptions,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = limits(StoreOptions::new(Place::File(directory.path().join("fleet.db"))));
        let store = open(&options).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
        let fleet = FakeFleet::default();
        let engine = Arc::new(Engine::start(engine_parts(&store, &clock, &fleet)).await.unwrap());
        let key = KeySource::File(directory.path().join("credentials.key"));
        let keep = TimeDelta::days(90);
        let silences = Silences::load(Arc::clone(&store), Arc::clone(&clock), keep).await.unwrap();
        let silences = Arc::new(silences);
        let webhooks = webhooks(&store, &clock, &engine, key.clone(), silences.calendar()).await;
        let sealed = SealedStore::open(Arc::clone(&store), Arc::clone(&clock), key).unwrap();
        let (memory, judge) = (Arc::<InMemoryCredentials>::default(), Arc::<FakeProver>::default());
        let vault = Arc::new(Vault::new(Arc::clone(&memory), Arc::new(sealed), Arc::clone(&judge) as _));
        let registration = Registration::new(
            Arc::clone(engine.board()),
            Arc::clone(engine.outbox()),
            Arc::clone(&store),
            Arc::clone(&engine) as Arc<dyn Watch>,
            Arc::clone(&clock),
            Policy::default(),
            Arc::clone(&vault),
        );
        let registration = Arc::new(registration);
        let foresight = Arc::new(Foresight::new(Arc::clone(&vault), 7));
        let answers = Arc::<FakeInquirer>::default();
        let habits = Habits { on_registration: true, period: TimeDelta::hours(24), since: clock.wall() };
        let budget = Budget { time: Duration::from_secs(5), bytes: 1 << 20, questions: 100 };
        let manner = Manner { habits, at_once: 2, deadline: Duration::from_secs(1), budget };
        let discoverer = Arc::new(Discoverer::new(
            Arc::clone(engine.board()),
            vault,
            Arc::clone(&registration),
            Arc::clone(&answers) as _,
            Arc::clone(&clock),
            manner,
        ));
        let vitals = Vitals::new(Arc::clone(&clock), vec![Arc::new(StorePulse(Arc::clone(&store)))], None);
        vitals.set_loaded();
        let mut identity = Identity::open();
        let keyring = Arc::new(Keyring::load(Arc::clone(&store), Arc::clone(&clock)).await.unwrap());
        if guarded {
            identity = identity.with_tokens(Arc::clone(&keyring));
        }
        let journal = Arc::new(Journal::new(Arc::clone(&store), Arc::clone(&clock), JournalRules::default()));
        let stop = watch::Sender::new(false);
        let (router, vitals) = (Router::new(), Arc::new(vitals));
        let mut house = Self {
            router,
            fleet,
            engine,
            store,
            webhooks,
            stop,
            memory,
            judge,
            registration,
            foresight,
            silences,
            answers,
            discoverer,
            journal,
            keyring,
            clock,
            vitals,
            directory,
        };
        house.router = house.router_with(identity, metrics);
        house
    }

    /// The same house behind other doors.
    pub fn router_with(&self, identity: Identity, metrics: Option<PrometheusHandle>) -> Router {
        router(self.parts(identity, metrics))
    }

    /// What its router is made of.
    pub fn parts(&self, identity: Identity, metrics: Option<PrometheusHandle>) -> ApiParts {
        ApiParts {
            board: Arc::clone(self.engine.board()),
            outbox: Arc::clone(self.engine.outbox()),
            store: Arc::clone(&self.store),
            registration: Arc::clone(&self.registration),
            silences: Arc::clone(&self.silences),
            foresight: Arc::clone(&self.foresight),
            discoverer: Arc::clone(&self.discoverer),
            engine: Arc::clone(&self.engine) as Arc<dyn Watch>,
            clock: Arc::clone(&self.clock),
            identity,
            webhooks: Arc::clone(&self.webhooks),
            journal: Arc::clone(&self.journal),
            limiter: Arc::new(Limiter::new(Arc::new(TestClock::default()), RATES, None)),
            gate: GateRules::default(),
            pages: Router::new(),
            vitals: Arc::clone(&self.vitals),
            streaming: StreamingRules::default(),
            status_page: Some(StatusPage::new("Our fleet".to_owned(), "public=true".parse().unwrap())),
            metrics,
            stopping: self.stop.subscribe(),
        }
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.directory.path().join("fleet.db")
    }

    /// Any request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        answer(self.router.clone(), request).await
    }

    /// A new token of this role and scope; its text.
    pub async fn token(&self, role: Role, scope: Scope) -> String {
        let draft = TokenDraft { name: "of a test".to_owned(), role, scope, expires_at: None, created_by: None };
        self.keyring.create(draft, &Origin::console()).await.unwrap().0.expose_secret().to_owned()
    }

    /// Any request with a bearer token and, where not null, a JSON body.
    pub async fn as_bearer(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, bearer);
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()).await
    }

    /// Any request of somebody who came in through a door.
    pub async fn as_entered(&self, entrance: &Entrance, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        answer(entrance.router.clone(), entrance.dress(request, body)).await
    }

    /// The live stream, as the bearer of a token reads it.
    pub async fn stream(&self, token: &str) -> Body {
        let request = Request::get("/api/v1/events/stream").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// A request with a JSON body.
    pub async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.json_with(method, path, body, &[]).await
    }

    /// A request with a JSON body and headers.
    pub async fn json_with(&self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Registers a spoke; its id.
    pub async fn register(&self, name: &str) -> String {
        self.register_with(json!({ "name": name, "api_server_url": format!("https://{name}.example:6443") })).await
    }

    /// Registers a cluster; its id.
    pub async fn register_with(&self, body: Value) -> String {
        let answer = self.json("POST", "/api/v1/clusters", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a cluster is in a state.
    pub async fn until(&self, id: &str, state: &str) {
        let id: ClusterId = id.parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(40);
        while self.engine.board().get(id).is_none_or(|entry| entry.status.state.as_str() != state) {
            assert!(Instant::now() < deadline, "never {state}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Takes everything anywhere, and nothing to 169.254.0.0/16.
struct FakeCourier;

#[async_trait::async_trait]
impl Courier for FakeCourier {
    async fn admits(&self, url: &url::Url) -> bool {
        !url.host_str().is_some_and(|host| host.starts_with("169.254."))
    }
    async fn deliver(&self, _: Letter) -> Delivery {
        Delivery::Answered(204)
    }
}

async fn webhooks(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    engine: &Engine,
    key: KeySource,
    calendar: &Arc<Calendar>,
) -> Arc<Webhooks> {
    let second = Duration::from_secs(1);
    let max_age = TimeDelta::hours(24);
    let patience = Patience { max_attempts: 3, initial_backoff: second, max_backoff: second, max_age };
    let rules = Rules { max_webhooks: 10_000, allow_http: false, patience, max_dead_letters: 10 };
    let parts = Parts {
        store: Arc::clone(store),
        outbox: Arc::clone(engine.outbox()),
        board: Arc::clone(engine.board()),
        calendar: Arc::clone(calendar),
        courier: Arc::new(FakeCourier),
        sealer: Sealer::new(key),
        clock: Arc::clone(clock),
        rules,
    };
    Arc::new(Webhooks::load(parts).await.unwrap())
}

async fn answer(router: Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

fn engine_parts(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>, fleet: &FakeFleet) -> EngineParts {
    EngineParts {
        policy: quick_policy(),
        doubt: Default::default(),
        recorder: Default::default(),
        reconcile_every: Duration::from_secs(60),
        enabled: true,
        clock: Arc::clone(clock),
        prober: Arc::new(fleet.clone()),
        roll: Arc::clone(store) as _,
        ledger: Arc::clone(store) as _,
        log: Arc::clone(store) as _,
        publisher: None,
        canaries: None,
        marker: None,
    }
}

/// The same JSON with what differs from run to run replaced: ids, times, durations.
pub fn steady(mut value: Value) -> Value {
    blank(&mut value, "");
    value
}

fn blank(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| blank(value, key)),
        Value::Array(items) => items.iter_mut().for_each(|item| blank(item, key)),
        Value::String(text) if text.len() == 36 && text.matches('-').count() == 4 => *text = "[uuid]".to_owned(),
        Value::String(text) if text.len() >= 20 && text.ends_with('Z') && text.contains('T') => {
            *text = "[time]".to_owned()
        }
        Value::String(text) if key == "trace_id" => *text = "[trace]".to_owned(),
        Value::Number(_) if key.ends_with("latency_ms") || key == "position" || key == "next_after" => {
            *value = Value::from("[number]");
        }
        _ => {}
    }
}

/// The default rules, but for a second look that comes at once.
fn quick_policy() -> Policy {
    let quick = |cadence| Cadence { recheck_delay: Duration::from_millis(20), ..cadence };
    let Policy { hub, spoke, edge, far_edge, .. } = Policy::default();
    Policy { hub: quick(hub), spoke: quick(spoke), edge: quick(edge), far_edge: quick(far_edge), ..Policy::default() }
}
