//! The audit log: every write and every refusal is told, with who, from where and in which request; never a secret.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use fleetbeat::{
    api::{ApiParts, GateRules, router},
    audit::{Action, JournalRules, Origin, verify},
    identity::{Identity, Role, Scope},
    store::{AuditEntry, AuditOutcome},
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use tokio::time::Instant;

use crate::house::{Answer, House};

struct Office {
    house: House,
    admin: String,
}

impl Office {
    async fn open() -> Self {
        let house = House::guarded().await;
        let admin = house.token(Role::Admin, Scope::Everything).await;
        Self { house, admin }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.house.as_bearer(&self.admin, method, path, body).await
    }

    async fn register(&self, name: &str) -> String {
        let body = json!({ "name": name, "api_server_url": format!("https://{name}.example:6443") });
        self.ask("POST", "/api/v1/clusters", body).await.json()["id"].as_str().unwrap().to_owned()
    }

    /// Rows, the newest first; what was noted is written first.
    async fn rows(&self, query: &str) -> Vec<Value> {
        self.house.journal.flush().await.unwrap();
        let page = self.ask("GET", &format!("/api/v1/audit{query}"), Value::Null).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        page.json()["items"].as_array().unwrap().clone()
    }

    /// Action and outcome, the oldest first.
    async fn deeds(&self) -> Vec<String> {
        let rows = self.rows("?limit=1000").await;
        rows.iter().rev().map(|row| format!("{} {}", text(row, "action"), text(row, "outcome"))).collect()
    }
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or("-")
}

const KUBE_TOKEN: &str = "canary-token-7f31";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_is_told_with_who_and_what() {
    let office = Office::open().await;
    let id = office.register("spoke").await;
    let path = format!("/api/v1/clusters/{id}");
    office.ask("PUT", &path, json!({ "region": "eu", "labels": { "secret": "canary-label" } })).await;
    let credentials = json!({ "auth_type": "TOKEN", "token": KUBE_TOKEN });
    office.ask("POST", &format!("{path}/credentials"), credentials.clone()).await;
    office.ask("POST", &format!("{path}/credentials/rotate"), credentials.clone()).await;
    office.ask("POST", &format!("{path}/credentials/validate"), Value::Null).await;
    office.ask("PATCH", &path, json!({ "api_server_url": "https://elsewhere.example:6443" })).await;
    office.ask("POST", &format!("{path}/credentials"), credentials).await;
    office.ask("DELETE", &format!("{path}/credentials"), Value::Null).await;
    let import = json!({ "clusters": [
        { "name": "spoke", "api_server_url": "https://elsewhere.example:6443", "region": "us" },
        { "name": "other", "api_server_url": "https://other.example:6443" },
        { "name": "bad name", "api_server_url": "https://other.example:6443" },
    ] });
    office.ask("POST", "/api/v1/clusters:import", import).await;
    let made = office.ask("POST", "/api/v1/tokens", json!({ "name": "ci", "role": "viewer" })).await.json();
    let token_id = made["id"].as_str().unwrap().to_owned();
    office.ask("DELETE", &format!("/api/v1/tokens/{token_id}"), Value::Null).await;
    office.ask("DELETE", &path, Value::Null).await;
    let mut deeds = office.deeds().await;
    assert_eq!(deeds.remove(0), "token.create succeeded", "the administrator's own token");
    // What is refused is written a moment later than what is done.
    let part = deeds.iter().position(|deed| deed == "cluster.import refused").map(|at| deeds.remove(at));
    assert!(part.is_some(), "{deeds:?}");
    let done = [
        "cluster.create",
        "cluster.update",
        "credentials.upload",
        "credentials.rotate",
        "credentials.validate",
        "cluster.update",
        "credentials.invalidate",
        "credentials.upload",
        "credentials.delete",
        "cluster.import",
        "cluster.import",
        "token.create",
        "token.revoke",
        "cluster.delete",
    ];
    assert_eq!(deeds, done.map(|action| format!("{action} succeeded")));
    let rows = office.rows(&format!("?cluster_id={id}&action=cluster.update")).await;
    assert_eq!(rows[1]["details"], json!({ "fields": ["labels", "region"], "generation": 2 }));
    assert!(text(&rows[0], "actor").starts_with("token:") && rows[0]["object"] == "spoke", "{}", rows[0]);
    assert_eq!(office.rows("?action=token.revoke").await[0]["object"], token_id.as_str());
    assert_eq!(verify(&*office.house.store).await.unwrap().broken, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_told_with_its_code_and_request() {
    let office = Office::open().await;
    let id = office.register("spoke").await;
    let path = format!("/api/v1/clusters/{id}");
    let nobody = "00000000-0000-4000-8000-000000000000";
    let viewer = office.house.token(Role::Viewer, Scope::Everything).await;
    let narrow = office.house.token(Role::Admin, Scope::clusters(&[nobody]).unwrap()).await;
    let cases = [
        ("fbt_wrong", "GET", "/api/v1/clusters".to_owned(), Value::Null, "AUTH_FAILED", "api.read"),
        (&viewer, "GET", "/api/v1/audit".to_owned(), Value::Null, "PERMISSION_DENIED", "api.read"),
        (&viewer, "POST", "/api/v1/clusters".to_owned(), json!({}), "PERMISSION_DENIED", "cluster.create"),
        (&narrow, "PUT", path.clone(), json!({ "region": "x" }), "CLUSTER_NOT_FOUND", "cluster.update"),
        (&narrow, "DELETE", path.clone(), Value::Null, "CLUSTER_NOT_FOUND", "cluster.delete"),
        (&office.admin, "PUT", path.clone(), json!({ "canary-field": "x" }), "INVALID_REQUEST", "cluster.update"),
        (
            &office.admin,
            "POST",
            format!("{path}/credentials"),
            json!({ "token": KUBE_TOKEN }),
            "CREDENTIALS_INVALID",
            "credentials.upload",
        ),
        (&office.admin, "DELETE", format!("/api/v1/tokens/{nobody}"), Value::Null, "NOT_FOUND", "token.revoke"),
        (&office.admin, "POST", "/api/v1/nowhere/canary-path".to_owned(), json!({}), "NOT_FOUND", "api.write"),
    ];
    for (number, (token, method, path, body, code, action)) in cases.into_iter().enumerate() {
        let request_id = format!("request-{number}");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("x-request-id", request_id.as_str())];
        let answer = office.house.json_with(method, &path, body, &headers).await;
        let rows = office.rows(&format!("?request_id={request_id}")).await;
        assert_eq!(rows.len(), 1, "{method} {path}: {}", answer.text());
        let row = &rows[0];
        assert_eq!((text(row, "cause"), text(row, "action"), text(row, "outcome")), (code, action, "refused"), "{row}");
        assert_eq!(row["details"]["status"], answer.status.as_u16());
        let unknown = token == "fbt_wrong" || path.contains("nowhere");
        assert_eq!(text(row, "actor") == "anonymous", unknown, "who calls what is not there is not asked: {row}");
    }
    let about = office.rows(&format!("?cluster_id={id}&outcome=refused")).await;
    assert_eq!(about.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_turned_away_at_the_gate_is_told_too() {
    let mut office = Office::open().await;
    let identity = Identity::open().with_tokens(Arc::clone(&office.house.keyring));
    let gate = GateRules { open: true, ..GateRules::default() };
    office.house.router = router(ApiParts { gate, ..office.house.parts(identity, None) });
    let long = format!("/api/v1/clusters/{}", "x".repeat(9_000));
    let cases = [
        ("POST", "/api/v1/clusters", ("host", "evil.example"), 421, "cluster.create"),
        ("POST", "/api/v1/clusters", ("origin", "https://evil.example"), 403, "cluster.create"),
        ("DELETE", long.as_str(), ("host", "127.0.0.1"), 414, "cluster.delete"),
    ];
    for (method, path, header, status, action) in cases {
        let request_id = format!("gate-{status}");
        let headers = [header, ("x-request-id", request_id.as_str())];
        let answer = office.house.json_with(method, path, json!({}), &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        let rows = office.rows(&format!("?request_id={request_id}")).await;
        assert_eq!(rows.len(), 1, "{status}");
        assert_eq!(rows[0]["details"]["status"], status, "{}", rows[0]);
        assert_eq!((text(&rows[0], "action"), text(&rows[0], "outcome")), (action, "refused"), "{}", rows[0]);
        assert_eq!((text(&rows[0], "actor"), text(&rows[0], "cause")), ("anonymous", answer.code().as_str()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_is_not_told() {
    let office = Office::open().await;
    for path in ["/api/v1/clusters", "/api/v1/whoami", "/api/v1/clusters/by-name/none", "/api/v1/events?after=x"] {
        office.ask("GET", path, Value::Null).await;
    }
    assert_eq!(office.deeds().await, ["token.create succeeded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_ever_stands_in_a_row() {
    let office = Office::open().await;
    let id = office.register("spoke").await;
    let made = office.ask("POST", "/api/v1/tokens", json!({ "name": "ci", "role": "viewer" })).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/clusters/{id}/credentials");
    let secrets = json!({ "auth_type": "TOKEN", "token": KUBE_TOKEN, "prometheus_token": KUBE_TOKEN, "canary-7f31": "canary-7f31" });
    for body in
        [secrets.clone(), json!({ "auth_type": "TOKEN", "token": KUBE_TOKEN }), json!({ "auth_type": KUBE_TOKEN })]
    {
        office.ask("POST", &format!("{path}?force=true"), body.clone()).await;
        office.ask("POST", &format!("{path}/rotate?canary-7f31=canary-7f31"), body.clone()).await;
        office.house.as_bearer(KUBE_TOKEN, "POST", &path, body).await;
        office.house.as_bearer(&token, "POST", &path, json!({ "kubeconfig": KUBE_TOKEN })).await;
    }
    office.ask("POST", &format!("/api/v1/clusters/{KUBE_TOKEN}/credentials"), secrets).await;
    let rows = Value::Array(office.rows("?limit=1000").await).to_string();
    assert!(rows.len() > 2_000);
    for secret in ["canary", token.rsplit('_').next().unwrap(), office.admin.rsplit('_').next().unwrap()] {
        assert!(!rows.contains(secret), "{secret} in {rows}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_lead_from_the_newest_row_to_the_oldest() {
    let office = Office::open().await;
    for n in 0..7 {
        office.register(&format!("spoke-{n}")).await;
    }
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = office.ask("GET", &format!("/api/v1/audit?limit=3{before}"), Value::Null).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| row["position"].as_i64().unwrap()));
        match page["next_before"].as_i64() {
            Some(position) => before = format!("&before={position}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=8).rev().collect::<Vec<_>>());
    let wrong =
        office.ask("GET", "/api/v1/audit?limit=0&outcome=well&cluster_id=x&from=now&actor=&x=1", Value::Null).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.fields(), ["actor", "outcome", "cluster_id", "from", "limit", "x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verification_tells_that_all_is_well() {
    let office = Office::open().await;
    office.register("spoke").await;
    let found = office.ask("GET", "/api/v1/audit/verification", Value::Null).await.json();
    assert_eq!((&found["whole"], &found["rows"], &found["broken"]), (&json!(true), &json!(2), &Value::Null));
    assert_eq!(found["last"]["hash"], office.rows("?limit=1").await[0]["hash"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_is_bounded_and_counted() {
    let office = Office::open().await;
    let rules = JournalRules::default();
    let flood = 5_000_u64;
    let began = Instant::now();
    for _ in 0..flood {
        office.house.journal.note(&Origin::anonymous(None, None), refused());
    }
    assert!(began.elapsed() < Duration::from_secs(30), "nobody waits");
    let rows = office.rows("?action=audit.dropped").await;
    let dropped: u64 = rows.iter().map(|row| row["details"]["dropped"].as_u64().unwrap()).sum();
    let told = office.rows("?action=cluster.create&limit=1000").await.len() as u64;
    assert_eq!(dropped + told, flood);
    assert!(told <= u64::from(rules.refusals_per_second) * 20, "{told}");
}

fn refused() -> AuditEntry {
    let entry = Origin::anonymous(None, None).did(Action::ClusterCreate, chrono::DateTime::UNIX_EPOCH);
    entry.ended(AuditOutcome::Refused, "AUTH_FAILED")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_while_the_store_was_away_waits_in_bounded_memory() {
    let office = Office::open().await;
    office.house.store.close().await;
    for _ in 0..5_000 {
        office.house.journal.note(&Origin::anonymous(None, None), refused());
    }
    assert!(office.house.journal.flush().await.is_err());
    let refusal =
        office.ask("POST", "/api/v1/clusters", json!({ "name": "spoke", "api_server_url": "https://a:1" })).await;
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(office.house.journal.waiting() <= JournalRules::default().waiting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_will_never_take_holds_the_journal_up_for_a_moment_only() {
    let office = Office::open().await;
    let options = SqliteConnectOptions::new().filename(office.house.database());
    let mut database = options.busy_timeout(Duration::from_secs(20)).connect().await.unwrap();
    sqlx::raw_sql("DROP TABLE audit").execute(&mut database).await.unwrap();
    for _ in 0..10 {
        office.house.journal.note(&Origin::anonymous(None, None), refused());
    }
    let flushed = tokio::time::timeout(Duration::from_secs(60), office.house.journal.flush()).await;
    assert!(flushed.expect("it does not try for ever").is_err());
    assert_eq!(office.house.journal.waiting(), 0);
}
