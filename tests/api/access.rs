//! Who may do what: every route of the OpenAPI document × role × scope × object, and what scoped callers see.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes, to_bytes},
    http::{Request, StatusCode},
};
use fleetbeat::{
    audit::Origin,
    identity::{Role, Scope},
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    doors::{Door, Doors, Entrance, SESSION},
    house::{Answer, House},
};

/// What a route needs. Written by hand: the document must agree, and a new route must be entered here.
const TABLE: [(&str, &str, &str); 64] = [
    ("GET", "/health", "none"),
    ("GET", "/ready", "none"),
    ("GET", "/api/v1/version", "none"),
    ("GET", "/api/v1/status-page", "none"),
    ("GET", "/health/detailed", "viewer"),
    ("GET", "/metrics", "viewer"),
    ("GET", "/api/v1/whoami", "viewer"),
    ("GET", "/api/v1/auth/methods", "none"),
    ("GET", "/auth/login", "none"),
    ("GET", "/auth/callback", "none"),
    ("POST", "/auth/logout", "viewer"),
    ("GET", "/api/v1/clusters", "viewer"),
    ("POST", "/api/v1/clusters", "operator"),
    ("POST", "/api/v1/clusters:import", "operator"),
    ("GET", "/api/v1/clusters/by-name/{name}", "viewer"),
    ("GET", "/api/v1/clusters/{id}", "viewer"),
    ("PUT", "/api/v1/clusters/{id}", "operator"),
    ("PATCH", "/api/v1/clusters/{id}", "operator"),
    ("DELETE", "/api/v1/clusters/{id}", "admin"),
    ("GET", "/api/v1/clusters/{id}/status", "viewer"),
    ("POST", "/api/v1/clusters/{id}/refresh", "operator"),
    ("POST", "/api/v1/clusters/{id}/discover", "operator"),
    ("GET", "/api/v1/clusters/{id}/credentials", "admin"),
    ("POST", "/api/v1/clusters/{id}/credentials", "admin"),
    ("DELETE", "/api/v1/clusters/{id}/credentials", "admin"),
    ("POST", "/api/v1/clusters/{id}/credentials/rotate", "admin"),
    ("POST", "/api/v1/clusters/{id}/credentials/validate", "admin"),
    ("GET", "/api/v1/clusters/{id}/history", "viewer"),
    ("GET", "/api/v1/clusters/{id}/uptime", "viewer"),
    ("GET", "/api/v1/fleet/summary", "viewer"),
    ("GET", "/api/v1/fleet/health", "viewer"),
    ("GET", "/api/v1/fleet/tiles", "viewer"),
    ("GET", "/api/v1/fleet/capabilities", "viewer"),
    ("GET", "/api/v1/fleet/credentials", "viewer"),
    ("GET", "/api/v1/events", "viewer"),
    ("GET", "/api/v1/events/stream", "viewer"),
    ("GET", "/api/v1/silences", "viewer"),
    ("POST", "/api/v1/silences", "operator"),
    ("GET", "/api/v1/silences/{id}", "viewer"),
    ("POST", "/api/v1/silences/{id}/end", "operator"),
    ("GET", "/api/v1/tokens", "fleet-admin"),
    ("POST", "/api/v1/tokens", "fleet-admin"),
    ("DELETE", "/api/v1/tokens/{id}", "fleet-admin"),
    ("GET", "/api/v1/sessions", "fleet-admin"),
    ("DELETE", "/api/v1/sessions/{id}", "fleet-admin"),
    ("GET", "/api/v1/whoami/sessions", "viewer"),
    ("DELETE", "/api/v1/whoami/sessions/{id}", "viewer"),
    ("GET", "/api/v1/webhooks", "operator"),
    ("POST", "/api/v1/webhooks", "admin"),
    ("GET", "/api/v1/webhooks/{id}", "operator"),
    ("PUT", "/api/v1/webhooks/{id}", "admin"),
    ("DELETE", "/api/v1/webhooks/{id}", "admin"),
    ("POST", "/api/v1/webhooks/{id}/test", "admin"),
    ("GET", "/api/v1/webhooks/{id}/deliveries", "operator"),
    ("GET", "/api/v1/webhooks/{id}/dead-letters", "operator"),
    ("POST", "/api/v1/webhooks/{id}/dead-letters/{event_id}/retry", "admin"),
    ("DELETE", "/api/v1/webhooks/{id}/dead-letters/{event_id}", "admin"),
    ("GET", "/ws", "none"),
    ("GET", "/api/v1/streaming/status", "fleet-admin"),
    ("GET", "/api/v1/streaming/clients", "fleet-admin"),
    ("GET", "/api/v1/streaming/subscriptions", "fleet-admin"),
    ("GET", "/api/v1/audit", "fleet-admin"),
    ("GET", "/api/v1/audit/verification", "fleet-admin"),
    ("GET", "/api/v1/openapi.json", "none"),
];
const SOON: &str = "2027-02-01T00:00:00Z";
const LIVE: &str = "/api/v1/events/stream";

/// Whose cluster a request is about.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Object {
    Mine,
    Theirs,
}

/// How a caller's scope is said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Sight {
    Everything,
    Labels,
    Ids,
}

impl Sight {
    /// Those that a door can say: a gateway knows ids only.
    fn known_to(door: Door) -> Vec<Self> {
        let all = [Self::Everything, Self::Labels, Self::Ids];
        all.into_iter().filter(|sight| door != Door::Gateway || *sight != Self::Labels).collect()
    }
}

struct Fleet {
    house: House,
    doors: Doors,
    admin: String,
    mine: String,
    theirs: String,
}

impl Fleet {
    async fn new() -> Self {
        let house = House::guarded().await;
        let doors = Doors::new(&house.clock).await;
        let admin = house.token(Role::Admin, Scope::Everything).await;
        let mut fleet = Self { house, doors, admin, mine: String::new(), theirs: String::new() };
        fleet.restock().await;
        fleet
    }

    /// Registers what a case removed.
    async fn restock(&mut self) {
        let admin = self.admin.clone();
        for (team, name) in [("blue", "mine-1"), ("red", "theirs-1")] {
            let found =
                self.house.as_bearer(&admin, "GET", &format!("/api/v1/clusters/by-name/{name}"), Value::Null).await;
            let answer = match found.status {
                StatusCode::OK => found,
                _ => self.house.as_bearer(&admin, "POST", "/api/v1/clusters", cluster(name, team)).await,
            };
            let id = answer.json()["id"].as_str().unwrap().to_owned();
            if team == "blue" { self.mine = id } else { self.theirs = id }
        }
    }

    fn scope(&self, sight: Sight) -> Scope {
        match sight {
            Sight::Everything => Scope::Everything,
            Sight::Labels => Scope::labels("team=blue".to_owned()).unwrap(),
            Sight::Ids => Scope::clusters(&[&self.mine]).unwrap(),
        }
    }

    fn path(&self, path: &str, object: Object) -> String {
        let (id, name) = match object {
            Object::Mine => (&self.mine, "mine-1"),
            Object::Theirs => (&self.theirs, "theirs-1"),
        };
        path.replace("{id}", id).replace("{event_id}", id).replace("{name}", name)
    }

    /// The status and the error's code.
    async fn ask(&self, entrance: &Entrance, method: &str, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = entrance.dress(request, body_of(method, path));
        let response = entrance.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            // Live streams do not end.
            return (status, String::new());
        }
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let error: Value = serde_json::from_slice(&body).unwrap();
        (status, error["error"]["code"].as_str().unwrap().to_owned())
    }

    async fn enter(&self, door: Door, role: Role, sight: Sight) -> Entrance {
        self.doors.enter(&self.house, door, role, self.scope(sight)).await
    }

    async fn look(&self, entrance: &Entrance, path: &str) -> Answer {
        self.house.as_entered(entrance, "GET", path, Value::Null).await
    }

    async fn read(&self, token: &str, path: &str) -> Answer {
        self.house.as_bearer(token, "GET", path, Value::Null).await
    }
}

fn cluster(name: &str, team: &str) -> Value {
    json!({ "name": name, "api_server_url": format!("https://{name}.example:6443"), "labels": { "team": team } })
}

fn body_of(method: &str, path: &str) -> Body {
    let body = match (method, path) {
        ("POST", "/api/v1/clusters") => cluster(&format!("new-{}", uuid::Uuid::now_v7().simple()), "blue"),
        ("POST", "/api/v1/clusters:import") => json!({ "clusters": [cluster("mine-1", "blue")] }),
        ("POST", "/api/v1/silences") => json!({ "comment": "x", "label_selector": "a", "ends_at": SOON }),
        ("POST", "/api/v1/tokens") => json!({ "name": "another", "role": "viewer" }),
        ("POST", "/api/v1/webhooks") => {
            json!({ "name": format!("w-{}", uuid::Uuid::now_v7().simple()), "url": "https://hooks.example/in" })
        }
        ("POST", path) if path.contains("/credentials") => json!({}),
        ("PUT" | "PATCH", _) => json!({ "display_name": "changed" }),
        _ => return Body::empty(),
    };
    Body::from(body.to_string())
}

fn enough(need: &str, role: Role, sight: Sight) -> bool {
    match need {
        "none" => true,
        "fleet-admin" => role == Role::Admin && sight == Sight::Everything,
        need => role >= need.parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_and_the_document_name_the_same_routes_and_roles() {
    let house = House::guarded().await;
    let document = house.get("/api/v1/openapi.json").await.json();
    let mut told = BTreeSet::from([("GET".to_owned(), "/api/v1/openapi.json".to_owned(), "none".to_owned())]);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let need = operation["x-required-role"].as_str().unwrap_or("unsaid");
            told.insert((method.to_uppercase(), path.clone(), need.to_owned()));
            assert_eq!(operation["security"] == json!([]), need == "none", "{method} {path}");
        }
    }
    let table = TABLE.map(|(method, path, need)| (method.to_owned(), path.to_owned(), need.to_owned()));
    assert_eq!(told, BTreeSet::from(table));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_strangers() {
    let fleet = Fleet::new().await;
    let router = fleet.house.router_with(fleet.doors.all(&fleet.house).await, None);
    let forged = format!("fbt_{}_{}", uuid::Uuid::now_v7().simple(), "0".repeat(64));
    let bare = || Entrance::bare(router.clone());
    let mut strangers = vec![bare(), bare().showing("x-user-id", "ada").showing("x-user-groups", "team")];
    strangers.push(strangers[1].clone().showing("x-cluster-access", "*").proved_as("somebody.example"));
    strangers.push(bare().showing("cookie", &format!("{SESSION}={}", "0".repeat(64))));
    strangers.extend([&forged, "", "eyJhbGciOiJub25lIn0.e30."].map(|token| Entrance::bearing(router.clone(), token)));
    // Who comes back from the issuer without having begun is refused, too.
    for (method, path, need) in TABLE.into_iter().filter(|(_, path, _)| *path != "/auth/callback") {
        let path = fleet.path(path, Object::Mine);
        for (at, stranger) in strangers.iter().enumerate() {
            let (status, _) = fleet.ask(stranger, method, &path).await;
            assert_eq!(status == StatusCode::UNAUTHORIZED, need != "none", "{method} {path} stranger {at}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_obeys_role_and_scope() {
    for door in Door::ALL {
        every_route_obeys_behind(door).await;
    }
}

async fn every_route_obeys_behind(door: Door) {
    let mut fleet = Fleet::new().await;
    let mut entered: HashMap<(Role, Sight, String), Entrance> = HashMap::new();
    for (method, path, need) in TABLE {
        for role in Role::ALL {
            for sight in Sight::known_to(door) {
                for object in [Object::Theirs, Object::Mine] {
                    fleet.restock().await;
                    let entrance = match entered.entry((role, sight, fleet.mine.clone())) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(fleet.enter(door, role, sight).await),
                    };
                    let (status, code) = fleet.ask(entrance, method, &fleet.path(path, object)).await;
                    let case = format!(
                        "{method} {path} by {door:?} as {role} seeing {sight:?} about {object:?}: {status} {code}"
                    );
                    let hidden = object == Object::Theirs && sight != Sight::Everything;
                    let about_a_cluster = path.starts_with("/api/v1/clusters/{") || path.contains("{name}");
                    if !enough(need, role, sight) {
                        assert_eq!(status, StatusCode::FORBIDDEN, "{case}");
                    } else if path.starts_with("/api/v1/tokens") && door != Door::Token {
                        assert_eq!((status, code.as_str()), (StatusCode::NOT_FOUND, "NOT_FOUND"), "none here: {case}");
                    } else if (path.starts_with("/auth/") || path.contains("/sessions")) && door != Door::Session {
                        let none = (StatusCode::NOT_FOUND, "NOT_FOUND");
                        assert_eq!((status, code.as_str()), none, "no browsers: {case}");
                    } else if path.starts_with("/auth/") {
                        let expected = [("/auth/login", 302), ("/auth/callback", 401), ("/auth/logout", 204)];
                        assert!(expected.contains(&(path, status.as_u16())), "{case}");
                        // The session may be over.
                        entered.clear();
                    } else if (method, path, sight) == ("POST", "/api/v1/clusters", Sight::Ids) {
                        assert_eq!(status, StatusCode::FORBIDDEN, "a new cluster is in nobody's list of ids: {case}");
                    } else if about_a_cluster && hidden {
                        assert_eq!((status, code.as_str()), (StatusCode::NOT_FOUND, "CLUSTER_NOT_FOUND"), "{case}");
                    } else if path == "/ws" {
                        let plain = (StatusCode::BAD_REQUEST, "INVALID_REQUEST");
                        assert_eq!((status, code.as_str()), plain, "who they are is said in the socket: {case}");
                    } else if path == "/api/v1/tokens/{id}"
                        || path.ends_with("/sessions/{id}")
                        || path.starts_with("/api/v1/webhooks/{id}")
                        || path.starts_with("/api/v1/silences/{id}")
                    {
                        assert_eq!((status, code.as_str()), (StatusCode::NOT_FOUND, "NOT_FOUND"), "{case}");
                    } else if about_a_cluster && (path.contains("/credentials") || path.ends_with("/discover")) {
                        let known = ["CREDENTIALS_NOT_FOUND", "CREDENTIALS_INVALID"].contains(&code.as_str());
                        assert!(known, "there are none, and none is uploaded: {case} {code}");
                    } else {
                        assert!(status.is_success(), "{case}");
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_readable_mentions_a_cluster_out_of_scope() {
    let fleet = Fleet::new().await;
    for door in Door::ALL {
        let all = fleet.enter(door, Role::Viewer, Sight::Everything).await;
        for sight in Sight::known_to(door).into_iter().filter(|sight| *sight != Sight::Everything) {
            let some = fleet.enter(door, Role::Viewer, sight).await;
            nothing_mentions(&fleet, &all, &some, &format!("{door:?} {sight:?}")).await;
        }
    }
}

async fn nothing_mentions(fleet: &Fleet, all: &Entrance, some: &Entrance, case: &str) {
    for (_, path, _) in TABLE.iter().filter(|(method, path, _)| *method == "GET" && *path != LIVE) {
        let path = fleet.path(path, Object::Mine);
        // A browser is sent away, or refused.
        if path.starts_with("/auth/") {
            continue;
        }
        let text = fleet.look(some, &path).await.text();
        assert!(!text.contains("theirs") && !text.contains(&fleet.theirs), "{path} as {case}: {text}");
    }
    for path in ["/api/v1/fleet/summary", "/api/v1/fleet/health", "/api/v1/fleet/credentials", "/api/v1/fleet/tiles"] {
        assert_eq!(fleet.look(some, path).await.json()["total_clusters"], 1, "{path}");
        assert_eq!(fleet.look(all, path).await.json()["total_clusters"], 2, "{path}");
    }
    assert_eq!(fleet.look(some, "/api/v1/clusters").await.json()["total"], 1);
    assert_eq!(fleet.look(some, "/health/detailed").await.json()["engine"]["clusters"], 1);
    let about = format!("/api/v1/events?cluster_id={}", fleet.theirs);
    assert_eq!(fleet.look(some, &about).await.json()["items"], json!([]));
    assert_ne!(fleet.look(all, &about).await.json()["items"], json!([]));
    assert!(fleet.look(some, "/metrics").await.text().contains("cluster=\"mine-1\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_scoped_caller_cannot_move_a_cluster_out_of_sight_nor_make_one_there() {
    let fleet = Fleet::new().await;
    let token = fleet.house.token(Role::Operator, fleet.scope(Sight::Labels)).await;
    let path = format!("/api/v1/clusters/{}", fleet.mine);
    let moved = fleet.house.as_bearer(&token, "PUT", &path, json!({ "labels": { "team": "red" } })).await;
    assert_eq!((moved.status, moved.code().as_str()), (StatusCode::FORBIDDEN, "PERMISSION_DENIED"));
    let made = fleet.house.as_bearer(&token, "POST", "/api/v1/clusters", cluster("other", "red")).await;
    assert_eq!(made.status, StatusCode::FORBIDDEN);
    let import = json!({ "clusters": [cluster("other", "red"), cluster("theirs-1", "blue"), cluster("good", "blue")] });
    let report = fleet.house.as_bearer(&token, "POST", "/api/v1/clusters:import", import).await.json();
    let codes: Vec<_> = report["items"].as_array().unwrap().iter().map(|item| item["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!("PERMISSION_DENIED"), json!("CLUSTER_ALREADY_EXISTS"), Value::Null]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_makes_says_so_and_whoami_tells_the_rest() {
    let fleet = Fleet::new().await;
    let token = fleet.house.token(Role::Operator, fleet.scope(Sight::Labels)).await;
    let who = fleet.read(&token, "/api/v1/whoami").await.json();
    assert_eq!((&who["role"], &who["method"]), (&json!("operator"), &json!("token")));
    assert_eq!(who["scope"], json!({ "label_selector": "team=blue" }));
    let made = fleet.house.as_bearer(&token, "POST", "/api/v1/clusters", cluster("made", "blue")).await;
    assert_eq!(made.json()["created_by"], who["id"], "{}", made.text());
    for (door, id) in [
        (Door::Oidc, "oidc:ada"),
        (Door::Kubernetes, "kubernetes:system:serviceaccount:x:ada"),
        (Door::Gateway, "gateway:ada@example.com"),
    ] {
        let entrance = fleet.enter(door, Role::Operator, Sight::Everything).await;
        assert_eq!(fleet.look(&entrance, "/api/v1/whoami").await.json()["id"], id);
        let made = fleet
            .house
            .as_entered(&entrance, "POST", "/api/v1/clusters", cluster(&id.replace([':', '@', '.'], "-"), "x"))
            .await;
        assert_eq!(made.json()["created_by"], id, "{}", made.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_changes_nothing_for_another_site() {
    let fleet = Fleet::new().await;
    let grants = vec![crate::doors::grant("team", Role::Admin, Scope::Everything)];
    let (login, id) = fleet.doors.login(&fleet.house, grants).await;
    let router = fleet.house.router_with(fleetbeat::identity::Identity::open().with_login(login), None);
    let browser = || Entrance::bare(router.clone()).showing("cookie", &format!("{SESSION}={id}"));
    let ours = || browser().showing("x-fleetbeat-request", "1");
    for (case, entrance, expected) in [
        ("without the header", browser(), 403),
        ("without the header, from here", browser().showing("origin", "https://fleet.example"), 403),
        ("from elsewhere", ours().showing("origin", "https://evil.example"), 403),
        ("from nowhere", ours().showing("origin", "null"), 403),
        (
            "from two places",
            ours().showing("origin", "https://fleet.example").showing("origin", "https://evil.example"),
            403,
        ),
        ("cross-site", ours().showing("sec-fetch-site", "cross-site"), 403),
        ("same-site only", ours().showing("sec-fetch-site", "same-site"), 403),
        ("from here", ours().showing("origin", "https://fleet.example").showing("sec-fetch-site", "same-origin"), 200),
        ("from a tool", ours(), 200),
        ("two sessions", ours().showing("cookie", &format!("{SESSION}={id}")), 401),
        (
            "under a plain name",
            Entrance::bare(router.clone()).showing("cookie", &format!("fleetbeat-session={id}")),
            401,
        ),
    ] {
        let path = format!("/api/v1/clusters/{}", fleet.mine);
        let (status, _) = fleet.ask(&entrance, "PATCH", &path).await;
        assert_eq!(status.as_u16(), expected, "{case}");
    }
    assert_eq!(fleet.ask(&browser(), "GET", "/api/v1/clusters").await.0, StatusCode::OK, "reading needs no header");
    let who = fleet.look(&browser(), "/api/v1/whoami").await.json();
    assert_eq!((&who["id"], &who["method"]), (&json!("oidc:ada"), &json!("session")));
    let left = fleet.house.as_entered(&ours(), "POST", "/auth/logout", Value::Null).await;
    assert!(
        left.header("set-cookie")
            .starts_with(&format!("{SESSION}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"))
    );
    assert_eq!(fleet.ask(&browser(), "GET", "/api/v1/clusters").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_may_ask_how_to_sign_in() {
    let asked = |answer: Answer| (answer.json()["required"].clone(), answer.json()["methods"].clone());
    assert_eq!(asked(House::guarded().await.get("/api/v1/auth/methods").await), (json!(true), json!(["token"])));
    assert_eq!(asked(House::build().await.get("/api/v1/auth/methods").await), (json!(false), json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_dead_at_once() {
    let house = House::guarded().await;
    let admin = house.token(Role::Admin, Scope::Everything).await;
    let made = house.as_bearer(&admin, "POST", "/api/v1/tokens", json!({ "name": "short", "role": "viewer" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(house.as_bearer(&token, "GET", "/api/v1/clusters", Value::Null).await.status, StatusCode::OK);
    let path = format!("/api/v1/tokens/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(house.as_bearer(&admin, "DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    let answer = house.as_bearer(&token, "GET", "/api/v1/clusters", Value::Null).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"));
    assert_eq!(answer.code(), "AUTH_FAILED");
    let list = house.as_bearer(&admin, "GET", "/api/v1/tokens", Value::Null).await;
    assert!(!list.text().contains("hash") && !list.text().contains(token.rsplit('_').next().unwrap()));
    assert_eq!(list.json()["items"][1]["valid"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_request_for_a_token_names_every_field() {
    let house = House::guarded().await;
    let admin = house.token(Role::Admin, Scope::Everything).await;
    let body = json!({ "name": "", "role": "root", "scope": {}, "expires_in_days": 0, "extra": 1 });
    let answer = house.as_bearer(&admin, "POST", "/api/v1/tokens", body).await;
    assert_eq!(answer.fields(), ["name", "role", "scope", "expires_in_days", "extra"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_shows_only_what_is_in_scope_and_ends_when_its_token_is_revoked() {
    let fleet = Fleet::new().await;
    let admin = fleet.house.token(Role::Admin, Scope::Everything).await;
    let token = fleet.house.token(Role::Viewer, fleet.scope(Sight::Labels)).await;
    let request = Request::get(format!("{LIVE}?after=0")).header("authorization", format!("Bearer {token}"));
    let response = fleet.house.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut chunks = response.into_body().into_data_stream();
    let mut heard = String::new();
    while !heard.contains("CLUSTER_REGISTERED") {
        heard.push_str(&String::from_utf8_lossy(&next(&mut chunks).await.expect("a chunk")));
    }
    let id = fleet.house.keyring.list().last().unwrap().id;
    assert!(fleet.house.keyring.revoke(id, &Origin::console()).await.unwrap());
    let path = format!("/api/v1/clusters/{}", fleet.mine);
    let body = json!({ "display_name": "after the revocation" });
    assert_eq!(fleet.house.as_bearer(&admin, "PUT", &path, body).await.status, StatusCode::OK);
    while let Some(chunk) = next(&mut chunks).await {
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(!heard.contains("theirs") && !heard.contains("after the revocation"), "{heard}");
}

async fn next(chunks: &mut BodyDataStream) -> Option<Bytes> {
    let chunk = tokio::time::timeout(Duration::from_secs(10), chunks.next()).await.expect("in time")?;
    Some(chunk.unwrap())
}
