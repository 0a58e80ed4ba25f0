//! Tokens that a real kube-apiserver does not accept any more: expired, and bound to an object that is gone.

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
