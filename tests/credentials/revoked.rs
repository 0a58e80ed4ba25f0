//! Tokens that a real kube-apiserver does not accept (any more): expired, bound to an object that is gone, or of an account without
//! rights.

use serde_json::json;

use crate::support::{KubeApiserver, Product, eventually};
use crate::{SOON, register, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_is_refused_and_its_end_is_told() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    let product = Product::new().started().await;
    let client = product.client();
    let id = register(&client, "real", &server.url(), None).await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    // It may list namespaces, so that nothing but its end stands in its way.
    server.spoke_token(3_600).await;
    let uid = server.account_uid("fleetbeat", "fleetbeat").await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let token = |end: i64| server.signed_token("fleetbeat", "fleetbeat", &uid, end);
    let given = |token: &str| json!({ "auth_type": "SERVICE_ACCOUNT", "token": token, "ca": server.ca_pem() });

    let refused = client.post(&path, &given(&token(now - 60))).await.expect(400).json();
    assert_eq!(refused["error"]["code"], "CREDENTIALS_INVALID", "{refused}");
    let why = refused["error"]["details"][0]["message"].as_str().unwrap();
    assert!(why.contains("(401): they ended at 20"), "{why}");
    client.post(&format!("{path}?force=true"), &given(&token(now - 60))).await.expect(200);
    let told = client.get(&path).await.expect(200).json();
    let end = chrono::DateTime::parse_from_rfc3339(told["expires_at"].as_str().unwrap()).unwrap();
    assert_eq!(end.timestamp(), now - 60, "{told}");
    let status = until(&client, &id, "DEGRADED", "unauthorized").await;
    println!("expired: {status}");
    let fleet = client.get("/api/v1/fleet/credentials").await.expect(200).json();
    assert!(fleet.to_string().contains(&id), "{fleet}");

    // The same signature with an end to come is accepted: it was the end that counted.
    client.post(&format!("{path}/rotate"), &given(&token(now + 600))).await.expect(200);
    until(&client, &id, "ONLINE", "healthy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_whose_object_is_gone_is_revoked_while_its_account_lives_on() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    let product = Product::new().started().await;
    let client = product.client();
    let id = register(&client, "real", &server.url(), None).await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    server.spoke_token(3_600).await;
    let secrets = "/api/v1/namespaces/fleetbeat/secrets";
    let made = server.command("POST", secrets, &json!({ "metadata": { "name": "bond" } })).await;
    let bond = json!({ "kind": "Secret", "apiVersion": "v1", "name": "bond", "uid": made["metadata"]["uid"] });
    let asked = json!({ "spec": { "expirationSeconds": 3_600, "boundObjectRef": bond } });
    let account = "/api/v1/namespaces/fleetbeat/serviceaccounts/fleetbeat/token";
    let token = server.command("POST", account, &asked).await["status"]["token"].as_str().unwrap().to_owned();
    let given = json!({ "auth_type": "SERVICE_ACCOUNT", "token": token, "ca": server.ca_pem() });
    eventually(SOON, async || {
        let answer = client.post(&path, &given).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    until(&client, &id, "ONLINE", "healthy").await;
    server.command("DELETE", &format!("{secrets}/bond"), &json!({})).await;
    until(&client, &id, "DEGRADED", "unauthorized").await;
    let refused = client.post(&format!("{path}/rotate"), &given).await.expect(400).json();
    assert!(refused.to_string().contains("401"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_rights_is_told_which_it_lacks() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    let product = Product::new().started().await;
    let client = product.client();
    let id = register(&client, "real", &server.url(), None).await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    let given = json!({ "auth_type": "TOKEN", "token": server.service_account("bare").await, "ca": server.ca_pem() });
    let refused = client.post(&path, &given).await.expect(400).json();
    let why = refused["error"]["details"][0]["message"].as_str().unwrap();
    assert!(why.ends_with("(403): checks list namespaces"), "{why}");
    let forced = client.post(&format!("{path}?force=true"), &given).await.expect(200).json();
    let validated = client.post(&format!("{path}/validate"), &json!({})).await.expect(200).json();
    for answer in [&forced, &validated] {
        let lacking = answer["lacking_permissions"].as_array().unwrap();
        let wanted: Vec<_> = lacking.iter().map(|one| one["wanted_for"].as_str().unwrap()).collect();
        assert_eq!(wanted[..3], ["probe:api_server", "discovery:namespaces", "discovery:nodes"], "{answer}");
        assert_eq!(wanted.last(), Some(&"renewal"), "{answer}");
    }
    assert_eq!((&validated["status"], &validated["causes"]["api_server"]), (&json!("invalid"), &json!("forbidden")));
}
