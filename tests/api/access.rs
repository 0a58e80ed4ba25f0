//! Who may do what: every route of the OpenAPI document × role × scope × object, and what scoped callers see.

use std::{collections::BTreeSet, time::Duration};

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

use crate::house::{Answer, House};

/// What a route needs. Written by hand: the document must agree, and a new route must be entered here.
const TABLE: [(&str, &str, &str); 37] = [
    ("GET", "/health", "none"),
    ("GET", "/ready", "none"),
    ("GET", "/api/v1/version", "none"),
    ("GET", "/health/detailed", "viewer"),
    ("GET", "/metrics", "viewer"),
    ("GET", "/api/v1/whoami", "viewer"),
    ("GET", "/api/v1/auth/methods", "none"),
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
    ("GET", "/api/v1/tokens", "fleet-admin"),
    ("POST", "/api/v1/tokens", "fleet-admin"),
    ("DELETE", "/api/v1/tokens/{id}", "fleet-admin"),
    ("GET", "/api/v1/audit", "fleet-admin"),
    ("GET", "/api/v1/audit/verification", "fleet-admin"),
    ("GET", "/api/v1/openapi.json", "none"),
];
const LIVE: &str = "/api/v1/events/stream";

/// Whose cluster a request is about.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Object {
    Mine,
    Theirs,
}

/// How a caller's scope is said.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Sight {
    Everything,
    Labels,
    Ids,
}

struct Fleet {
    house: House,
    mine: String,
    theirs: String,
}

impl Fleet {
    async fn new() -> Self {
        let house = House::guarded().await;
        let mut fleet = Self { house, mine: String::new(), theirs: String::new() };
        fleet.restock().await;
        fleet
    }

    /// Registers what a case removed.
    async fn restock(&mut self) {
        let admin = self.house.token(Role::Admin, Scope::Everything).await;
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
        path.replace("{id}", id).replace("{name}", name)
    }

    /// The status and the error's code.
    async fn ask(&self, token: Option<&str>, method: &str, path: &str) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body_of(method, path)).unwrap();
        let response = self.house.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        if status.is_success() {
            // Live streams do not end.
            return (status, String::new());
        }
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let error: Value = serde_json::from_slice(&body).unwrap();
        (status, error["error"]["code"].as_str().unwrap().to_owned())
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
        ("POST", "/api/v1/tokens") => json!({ "name": "another", "role": "viewer" }),
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
    let forged = format!("fbt_{}_{}", uuid::Uuid::now_v7().simple(), "0".repeat(64));
    for (method, path, need) in TABLE {
        let path = fleet.path(path, Object::Mine);
        for token in [None, Some(forged.as_str()), Some(""), Some("eyJhbGciOiJub25lIn0.e30.")] {
            let (status, _) = fleet.ask(token, method, &path).await;
            assert_eq!(status == StatusCode::UNAUTHORIZED, need != "none", "{method} {path} {token:?}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_obeys_role_and_scope() {
    let mut fleet = Fleet::new().await;
    for (method, path, need) in TABLE {
        for role in Role::ALL {
            for sight in [Sight::Everything, Sight::Labels, Sight::Ids] {
                for object in [Object::Theirs, Object::Mine] {
                    fleet.restock().await;
                    let token = fleet.house.token(role, fleet.scope(sight)).await;
                    let (status, code) = fleet.ask(Some(&token), method, &fleet.path(path, object)).await;
                    let case = format!("{method} {path} as {role} seeing {sight:?} about {object:?}: {status}");
                    let hidden = object == Object::Theirs && sight != Sight::Everything;
                    let about_a_cluster = path.starts_with("/api/v1/clusters/{") || path.contains("{name}");
                    if !enough(need, role, sight) {
                        assert_eq!(status, StatusCode::FORBIDDEN, "{case}");
                    } else if (method, path, sight) == ("POST", "/api/v1/clusters", Sight::Ids) {
                        assert_eq!(status, StatusCode::FORBIDDEN, "a new cluster is in nobody's list of ids: {case}");
                    } else if about_a_cluster && hidden {
                        assert_eq!((status, code.as_str()), (StatusCode::NOT_FOUND, "CLUSTER_NOT_FOUND"), "{case}");
                    } else if path == "/api/v1/tokens/{id}" {
                        assert_eq!((status, code.as_str()), (StatusCode::NOT_FOUND, "NOT_FOUND"), "{case}");
                    } else if about_a_cluster && path.contains("/credentials") {
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
    let all = fleet.house.token(Role::Viewer, Scope::Everything).await;
    for sight in [Sight::Labels, Sight::Ids] {
        let token = fleet.house.token(Role::Viewer, fleet.scope(sight)).await;
        for (_, path, _) in TABLE.iter().filter(|(method, path, _)| *method == "GET" && *path != LIVE) {
            let path = fleet.path(path, Object::Mine);
            let text = fleet.read(&token, &path).await.text();
            assert!(!text.contains("theirs") && !text.contains(&fleet.theirs), "{path} as {sight:?}: {text}");
        }
        for path in
            ["/api/v1/fleet/summary", "/api/v1/fleet/health", "/api/v1/fleet/credentials", "/api/v1/fleet/tiles"]
        {
            assert_eq!(fleet.read(&token, path).await.json()["total_clusters"], 1, "{path}");
            assert_eq!(fleet.read(&all, path).await.json()["total_clusters"], 2, "{path}");
        }
        assert_eq!(fleet.read(&token, "/api/v1/clusters").await.json()["total"], 1);
        assert_eq!(fleet.read(&token, "/health/detailed").await.json()["engine"]["clusters"], 1);
        let about = format!("/api/v1/events?cluster_id={}", fleet.theirs);
        assert_eq!(fleet.read(&token, &about).await.json()["items"], json!([]));
        assert_ne!(fleet.read(&all, &about).await.json()["items"], json!([]));
        assert!(fleet.read(&token, "/metrics").await.text().contains("cluster=\"mine-1\""));
    }
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
