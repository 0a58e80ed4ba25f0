//! Credentials: they go in, are tried, stored, replaced and removed, and never come out.

use axum::http::StatusCode;
use fleetbeat::{
    credentials::{Credentials, Lookup},
    registration::Told,
};
use fleetbeat_actors::{health::Cause, roll::ClusterId};
use serde_json::{Value, json};

use crate::house::{House, steady};

const CANARY: &str = "canary-93be";

/// A kubeconfig for that server.
fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    )
}

fn token(text: &str) -> Value {
    json!({ "auth_type": "TOKEN", "token": text })
}

fn version(house: &House, id: &str) -> Option<u64> {
    match house.memory.get(id.parse::<ClusterId>().unwrap()) {
        Lookup::Some(credential) => Some(credential.version),
        Lookup::None | Lookup::Unavailable => None,
    }
}

async fn events(house: &House, id: &str) -> Vec<Value> {
    let path = format!("/api/v1/events?cluster_id={id}&event_type=CLUSTER_CREDENTIALS_UPDATED");
    house.get(&path).await.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_upload_is_tried_stored_told_and_never_shown() {
    let house = House::build().await;
    let id = house
        .register_with(json!({
            "name": "alpha", "api_server_url": "https://alpha.example:6443",
            "endpoints": {"prometheus_url": "https://metrics.alpha.example", "loki_url": "https://logs.alpha.example"},
        }))
        .await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    assert_eq!(house.get(&path).await.code(), "CREDENTIALS_NOT_FOUND");
    let text = kubeconfig("https://alpha.example:6443", &format!("token: {CANARY}"));
    let upload = json!({ "auth_type": "KUBECONFIG", "kubeconfig": text, "prometheus_token": CANARY });
    let answer = house.json("POST", &path, upload).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let expected = json!({ "status": "stored", "causes": {}, "expires_at": null, "lacking_permissions": null,
        "validation": { "api_server": "success", "prometheus": "success", "loki": "skipped" } });
    assert_eq!(answer.json(), expected);
    let shown = house.get(&path).await;
    assert_eq!(shown.json()["auth_type"], "KUBECONFIG");
    assert_eq!(shown.json()["endpoints"].as_array().unwrap().len(), 2);
    let told = events(&house, &id).await;
    let payload = json!({ "action": "uploaded", "auth_type": "KUBECONFIG", "cluster_id": "[uuid]", "cluster_name": "alpha",
        "endpoints": ["api_server", "prometheus"], "expires_at": null });
    assert_eq!(steady(told[0]["payload"].clone()), payload);
    let base64 = base64(&kubeconfig("https://alpha.example:6443", &format!("token: {CANARY}")));
    let again = house.json("POST", &path, json!({ "auth_type": "KUBECONFIG", "kubeconfig": base64 })).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    let everything = [
        answer.text(),
        shown.text(),
        house.get(&format!("/api/v1/clusters/{id}")).await.text(),
        house.get("/api/v1/events").await.text(),
        house.get("/metrics").await.text(),
    ];
    assert!(everything.iter().all(|text| !text.contains(CANARY)), "{everything:?}");
    for file in std::fs::read_dir(house.database().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(text)
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_by_field_without_its_value() {
    let house = House::build().await;
    let id = house.register("alpha").await;
    let plain = house.register_with(json!({ "name": "plain", "api_server_url": "http://plain.example" })).await;
    let server = "https://alpha.example:6443";
    let given = |user: &str| json!({ "auth_type": "KUBECONFIG", "kubeconfig": kubeconfig(server, user) });
    for (id, body, field) in [
        (&id, json!({}), "auth_type"),
        (&id, json!({ "auth_type": CANARY }), "auth_type"),
        (&id, json!({ "auth_type": "TOKEN" }), "token"),
        (&id, json!({ "auth_type": "TOKEN", "token": format!("{CANARY}\n x") }), "token"),
        (&id, json!({ "auth_type": "TOKEN", "token": 5 }), "token"),
        (&id, json!({ "auth_type": "TOKEN", "token": "a", "kubeconfig": CANARY }), "kubeconfig"),
        (&id, json!({ "auth_type": "TOKEN", "token": "a", "passphrase": CANARY }), "passphrase"),
        (
            &id,
            json!({ "auth_type": "CERTIFICATE", "client_certificate": CANARY, "client_key": "k" }),
            "client_certificate",
        ),
        (&id, json!({ "auth_type": "TOKEN", "token": "a", "ca": CANARY }), "ca"),
        (&id, json!({ "auth_type": "TOKEN", "token": "a", "loki_token": CANARY }), "loki_token"),
        (&id, json!({ "auth_type": "TOKEN", "token": "a", "loki_ca": CANARY }), "loki_ca"),
        (&id, given(&format!("exec: {{command: {CANARY}}}")), "kubeconfig.users[0].user.exec"),
        (&id, given(&format!("tokenFile: /{CANARY}")), "kubeconfig.users[0].user.tokenFile"),
        (
            &id,
            json!({ "auth_type": "KUBECONFIG", "kubeconfig": kubeconfig("https://evil.example:6443", "token: t") }),
            "kubeconfig.clusters[0].cluster.server",
        ),
        (&plain, token(CANARY), "token"),
    ] {
        let answer = house.json("POST", &format!("/api/v1/clusters/{id}/credentials"), body.clone()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "CREDENTIALS_INVALID"), "{body}");
        assert!(answer.fields().iter().any(|named| named == field), "{field}: {}", answer.text());
        assert!(!answer.text().contains(CANARY), "{}", answer.text());
    }
    assert_eq!(version(&house, &id), None);
}

#[tokio::test]
async fn what_the_cluster_refuses_is_stored_with_force_only() {
    let house = House::build().await;
    let id = house.register("alpha").await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    *house.judge.0.lock().unwrap() = Some(Cause::Unauthorized);
    let refused = house.json("POST", &path, token("wrong")).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "CREDENTIALS_INVALID"));
    assert_eq!(refused.fields(), ["api_server"]);
    *house.judge.0.lock().unwrap() = Some(Cause::Refused);
    let away = house.json("POST", &path, token("fine")).await;
    assert_eq!((away.status, away.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "CLUSTER_UNREACHABLE"));
    assert_eq!(version(&house, &id), None);
    let forced = house.json("POST", &format!("{path}?force=true"), token("fine")).await;
    assert_eq!(forced.status, StatusCode::OK, "{}", forced.text());
    assert_eq!(forced.json()["validation"]["api_server"], "failed");
    assert_eq!(forced.json()["causes"]["api_server"], "refused");
    assert!(version(&house, &id).is_some());
    let validated = house.json("POST", &format!("{path}/validate"), json!({})).await;
    assert_eq!((validated.status, validated.json()["status"].as_str()), (StatusCode::OK, Some("invalid")));
}

#[tokio::test]
async fn a_rotation_replaces_what_it_carries_and_a_refused_one_nothing() {
    let house = House::build().await;
    let urls = json!({"loki_url": "https://logs.alpha.example"});
    let id = house
        .register_with(json!({ "name": "alpha", "api_server_url": "https://alpha.example", "endpoints": urls }))
        .await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    let rotate = format!("{path}/rotate");
    assert_eq!(house.json("POST", &rotate, token("b")).await.code(), "CREDENTIALS_NOT_FOUND");
    house.json("POST", &path, json!({ "auth_type": "TOKEN", "token": "a", "loki_token": "l" })).await;
    let before = version(&house, &id);
    *house.judge.0.lock().unwrap() = Some(Cause::Unauthorized);
    assert_eq!(house.json("POST", &rotate, token("b")).await.code(), "CREDENTIALS_INVALID");
    assert_eq!(version(&house, &id), before);
    *house.judge.0.lock().unwrap() = None;
    let answer = house.json("POST", &rotate, token("b")).await;
    assert_eq!(answer.json()["status"], "rotated", "{}", answer.text());
    assert_eq!(answer.json()["validation"], json!({ "api_server": "success", "loki": "skipped" }));
    assert!(version(&house, &id) > before);
    assert_eq!(house.get(&path).await.json()["endpoints"].as_array().unwrap().len(), 2, "Loki keeps its token");
    assert_eq!(house.json("POST", &rotate, json!({ "loki_token": "m" })).await.status, StatusCode::OK);
    assert_eq!(house.json("POST", &rotate, json!({})).await.code(), "CREDENTIALS_INVALID");
    let actions: Vec<_> = events(&house, &id).await.iter().map(|event| event["payload"]["action"].clone()).collect();
    assert_eq!(actions, ["uploaded", "rotated", "rotated"]);
}

#[tokio::test]
async fn what_is_stored_already_stays_untried_and_a_rehearsal_stores_nothing() {
    let house = House::build().await;
    let id = house.register_with(json!({ "name": "alpha", "api_server_url": "https://alpha.example" })).await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    let (if_changed, dry) = (format!("{path}/rotate?if_changed=true"), format!("{path}/rotate?dry_run=true"));
    let rehearsed = house.json("POST", &format!("{path}?dry_run=true"), token("a")).await;
    assert_eq!(rehearsed.json()["status"], "stored", "{}", rehearsed.text());
    assert_eq!(house.get(&path).await.code(), "CREDENTIALS_NOT_FOUND");
    house.json("POST", &path, token("a")).await;
    let before = version(&house, &id);

    *house.judge.0.lock().unwrap() = Some(Cause::Unauthorized);
    let same = house.json("POST", &if_changed, token("a")).await.json();
    assert_eq!((&same["status"], &same["validation"]["api_server"]), (&json!("unchanged"), &json!("skipped")));
    for refused in [&if_changed, &dry] {
        assert_eq!(house.json("POST", refused, token("b")).await.code(), "CREDENTIALS_INVALID");
    }
    *house.judge.0.lock().unwrap() = None;
    assert_eq!(house.json("POST", &dry, token("b")).await.json()["status"], "rotated");
    assert_eq!(version(&house, &id), before);
    assert_eq!(house.json("POST", &if_changed, token("b")).await.json()["status"], "rotated");
    assert!(version(&house, &id) > before);
    let actions: Vec<_> = events(&house, &id).await.iter().map(|event| event["payload"]["action"].clone()).collect();
    assert_eq!(actions, ["uploaded", "rotated"]);
}

#[tokio::test]
async fn a_moved_cluster_loses_what_was_bound_to_its_old_place() {
    let house = House::build().await;
    let urls = json!({"loki_url": "https://logs.alpha.example", "tempo_url": "https://traces.alpha.example"});
    let id = house
        .register_with(json!({ "name": "alpha", "api_server_url": "https://alpha.example:6443", "endpoints": urls }))
        .await;
    let (cluster, path) = (format!("/api/v1/clusters/{id}"), format!("/api/v1/clusters/{id}/credentials"));
    let both = json!({ "auth_type": "TOKEN", "token": "a", "loki_token": "l", "tempo_token": "t" });
    house.json("POST", &path, both).await;
    let same = house.json("PUT", &cluster, json!({ "api_server_url": "https://alpha.example:6443/path" })).await;
    assert_eq!((same.status, same.header("warning")), (StatusCode::OK, ""));
    let patch = json!({ "endpoints": {"loki_url": "https://logs.alpha.example:8443"} });
    let moved = house.json("PATCH", &cluster, patch).await;
    assert!(moved.header("warning").contains("credentials of loki "), "{:?}", moved.headers);
    let left = house.get(&path).await.json();
    assert_eq!(left["endpoints"].as_array().unwrap().len(), 2);
    let moved = house.json("PUT", &cluster, json!({ "api_server_url": "https://beta.example:6443" })).await;
    assert!(moved.header("warning").contains("api_server"));
    let told = events(&house, &id).await;
    assert_eq!(told.last().unwrap()["payload"]["invalidated"], json!(["api_server"]));
    let rows = house.store.sealed_credentials(None, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["tempo"]);
}

#[tokio::test]
async fn removed_credentials_are_gone_and_a_removed_cluster_takes_its_own_along() {
    let house = House::build().await;
    let id = house.register("alpha").await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    for missing in
        [house.json("DELETE", &path, json!({})).await, house.json("POST", &format!("{path}/validate"), json!({})).await]
    {
        assert_eq!((missing.status, missing.code().as_str()), (StatusCode::NOT_FOUND, "CREDENTIALS_NOT_FOUND"));
    }
    let unknown = format!("/api/v1/clusters/{}/credentials", uuid::Uuid::nil());
    assert_eq!(house.json("POST", &unknown, token("a")).await.code(), "CLUSTER_NOT_FOUND");
    house.json("POST", &path, token("a")).await;
    assert_eq!(house.json("DELETE", &path, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(version(&house, &id), None);
    house.json("POST", &path, token("a")).await;
    house.json("DELETE", &format!("/api/v1/clusters/{id}"), json!({})).await;
    assert_eq!(version(&house, &id), None);
    assert!(house.store.sealed_credentials(None, 10).await.unwrap().is_empty());
}

/// A token that ends so many hours after the house's clock began.
fn token_for(hours: i64) -> Value {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let claims = json!({ "exp": 1_800_000_000 + hours * 3_600 }).to_string();
    token(&format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims)))
}

#[tokio::test]
async fn what_ends_is_ranked_shown_and_told_once_for_each_warning() {
    let house = House::build().await;
    let mut ids = Vec::new();
    for (name, hours) in [("later", 24 * 30), ("soon", 24 * 5), ("today", 5), ("past", -1)] {
        let id = house.register(name).await;
        let answer = house.json("POST", &format!("/api/v1/clusters/{id}/credentials"), token_for(hours)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        ids.push(id);
    }
    house.register("none").await;
    let fleet = house.get("/api/v1/fleet/credentials?limit=3").await.json();
    let ranked: Vec<_> = fleet["items"].as_array().unwrap().iter().map(|item| item["cluster_name"].clone()).collect();
    assert_eq!(ranked, ["past", "today", "soon"]);
    let counts =
        ["total_clusters", "with_credentials", "expired", "expiring", "without_end"].map(|key| fleet[key].clone());
    assert_eq!(counts, [5, 4, 1, 2, 1]);
    assert_eq!(fleet["items"][0]["status"], "expired");
    let condition = async |id: &str| {
        let status = house.get(&format!("/api/v1/clusters/{id}/status")).await.json();
        let conditions = status["conditions"].as_array().unwrap().clone();
        let found = conditions.into_iter().find(|condition| condition["type"] == "CredentialsExpiring").unwrap();
        (found["status"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(condition(&ids[0]).await, ("False".to_owned(), "Valid".to_owned()));
    assert_eq!(condition(&ids[1]).await, ("True".to_owned(), "Expiring".to_owned()));
    assert_eq!(condition(&ids[3]).await, ("True".to_owned(), "Expired".to_owned()));
    let metrics = house.get("/metrics").await.text();
    let sample = "fleetbeat_credentials_expiry_timestamp_seconds{cluster=\"soon\",";
    let line = metrics.lines().find(|line| line.starts_with(sample)).unwrap();
    assert!(line.ends_with("endpoint=\"api_server\",kind=\"token\"} 1800432000"), "{line}");

    let tell = async |told: &mut Told| house.registration.tell_of_ends(&house.foresight, told).await.unwrap();
    let mut told = Told::default();
    assert_eq!(tell(&mut told).await, 3);
    assert_eq!(tell(&mut told).await, 0);
    assert_eq!(tell(&mut Told::default()).await, 0, "another run of the process reads what was told");
    let log = house.get("/api/v1/events?event_type=CLUSTER_CREDENTIALS_EXPIRING").await.json();
    assert_eq!(log["items"].as_array().unwrap().len(), 3);
    assert_eq!(log["items"][0]["payload"]["kind"], "token");
    // A replaced token has warnings of its own.
    house.json("POST", &format!("/api/v1/clusters/{}/credentials/rotate", ids[1]), token_for(24 * 6)).await;
    assert_eq!(tell(&mut told).await, 1);
}
