//! Credentials of the real binary, against a real kube-apiserver where the machine has one, and canaries everywhere.
#![cfg(test)]

mod canaries;
#[path = "../traces/collector.rs"]
#[allow(dead_code, reason = "the tests of traces use the rest")]
mod collector;
#[path = "../../fuzz/fuzz_targets/entry.rs"]
mod entry;
mod hostile;
mod revoked;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Client, KubeApiserver, Product, eventually, kubeconfig};

const SOON: Duration = Duration::from_secs(20);

fn base64(text: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(text)
}

async fn register(client: &Client, name: &str, url: &str, ca: Option<&str>) -> String {
    let body = json!({ "name": name, "api_server_url": url, "ca_bundle": ca, "platform": "KUBERNETES" });
    client.post("/api/v1/clusters", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned()
}

/// Waits until a cluster is in a state for a reason.
async fn until(client: &Client, id: &str, state: &str, reason: &str) -> Value {
    eventually(SOON, async || {
        client.post(&format!("/api/v1/clusters/{id}/refresh"), &json!({})).await;
        let status = client.get(&format!("/api/v1/clusters/{id}/status")).await.json();
        if status["state"] == state && status["reason"] == reason { Ok(status) } else { Err(status.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_takes_certificates_and_tokens_and_refuses_as_it_should() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    let mut product = Product::new().started().await;
    let client = product.client();
    let id = register(&client, "real", &server.url(), None).await;
    let path = format!("/api/v1/clusters/{id}/credentials");

    let (chain, key) = server.client_certificate("fleetbeat", "system:masters");
    let user = format!("client-certificate-data: {}, client-key-data: {}", base64(&chain), base64(&key));
    let upload = json!({ "auth_type": "KUBECONFIG", "kubeconfig": kubeconfig(&server.url(), &server.ca_pem(), &user) });
    let stored = client.post(&path, &upload).await.expect(200).json();
    assert_eq!(stored["validation"]["api_server"], "success", "{stored}");
    assert_eq!(stored["expires_at"], "2040-01-01T00:00:00Z");
    until(&client, &id, "ONLINE", "healthy").await;

    // The same in base64; then the certificate and its key by themselves.
    let given = json!({ "auth_type": "KUBECONFIG", "kubeconfig": base64(upload["kubeconfig"].as_str().unwrap()) });
    client.post(&path, &given).await.expect(200);
    let given =
        json!({ "auth_type": "CERTIFICATE", "client_certificate": chain, "client_key": key, "ca": server.ca_pem() });
    let rotated = client.post(&format!("{path}/rotate"), &given).await.expect(200).json();
    assert_eq!((&rotated["status"], &rotated["validation"]["api_server"]), (&json!("rotated"), &json!("success")));
    let shown = client.get(&path).await.expect(200).json();
    assert_eq!(shown["auth_type"], "CERTIFICATE");
    let part = &shown["endpoints"][0];
    assert_eq!((&part["client_certificate"], &part["token"], &part["ca"]), (&json!(true), &json!(false), &json!(true)));
    until(&client, &id, "ONLINE", "healthy").await;

    // A service account with the rights of deploy/rbac, then one that may do nothing.
    let token = server.spoke_token(3_600).await;
    let given = |token: &str| json!({ "auth_type": "SERVICE_ACCOUNT", "token": token, "ca": server.ca_pem() });
    let rotated = eventually(SOON, async || {
        let answer = client.post(&format!("{path}/rotate"), &given(&token)).await;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!(rotated["status"], "rotated");
    assert!(rotated["expires_at"].is_string(), "a service account's token tells its end: {rotated}");
    until(&client, &id, "ONLINE", "healthy").await;

    let nobody = server.service_account("nobody").await;
    for (wrong, word) in [("wrong", "401"), (nobody.as_str(), "403")] {
        let refused = client.post(&format!("{path}/rotate"), &given(wrong)).await.expect(400).json();
        assert_eq!(refused["error"]["code"], "CREDENTIALS_INVALID");
        assert!(refused["error"]["details"][0]["message"].as_str().unwrap().contains(word), "{refused}");
    }
    until(&client, &id, "ONLINE", "healthy").await;

    // What is stored opens after a restart.
    product.terminate(Duration::from_secs(20)).await;
    product.start().await;
    until(&client, &id, "ONLINE", "healthy").await;
    assert_eq!(client.post(&format!("{path}/validate"), &json!({})).await.expect(200).json()["status"], "valid");

    // Revoked.
    server.command("DELETE", "/api/v1/namespaces/fleetbeat/serviceaccounts/fleetbeat", &json!({})).await;
    until(&client, &id, "DEGRADED", "unauthorized").await;
    client.delete(&path).await.expect(204);
    assert_eq!(client.get(&path).await.expect(404).json()["error"]["code"], "CREDENTIALS_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_keeps_what_is_stored() {
    let mut product = Product::new().started().await;
    let client = product.client();
    let id = register(&client, "one", "https://127.0.0.1:9", None).await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    let upload = json!({ "auth_type": "TOKEN", "token": "something" });
    client.post(&format!("{path}?force=true"), &upload).await.expect(200);
    let key = product.data_dir().join("credentials.key");
    let before = std::fs::read_to_string(&key).unwrap();
    product.terminate(Duration::from_secs(20)).await;
    let done = product.run(&["keys", "rotate"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("of 1 endpoints"), "{done:?}");
    assert_ne!(std::fs::read_to_string(&key).unwrap(), before);
    product.start().await;
    eventually(SOON, async || {
        let answer = client.get(&path).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}
