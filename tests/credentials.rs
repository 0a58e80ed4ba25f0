//! Credentials of the real binary, against a real kube-apiserver where the machine has one, and canaries everywhere.
#![cfg(test)]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Client, KubeApiserver, Postgres, Product, eventually};

const SOON: Duration = Duration::from_secs(20);

/// A kubeconfig with inline data only.
fn kubeconfig(server: &str, ca: &str, user: &str) -> String {
    let ca = base64(ca);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters:\n- name: c\n  cluster: {{server: '{server}', certificate-authority-data: {ca}}}\nusers:\n- name: u\n  user: {{{user}}}\ncontexts:\n- name: x\n  context: {{cluster: c, user: u}}\n"
    )
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_in_files_logs_metrics_events_or_errors() {
    let product = Product::new().set("log.level", "trace").started().await;
    look_for_canaries(&product, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_in_the_data_of_postgresql() {
    let mut server = Postgres::start_new().await;
    let url = server.database().await;
    let product = Product::new().set("log.level", "trace").set("database_url", url).started().await;
    look_for_canaries(&product, Some(&mut server)).await;
}

/// Fifty canaries through every way a secret can take; none may be found anywhere afterwards.
async fn look_for_canaries(product: &Product, server: Option<&mut Postgres>) {
    let client = product.client();
    let ca = support::Authority::new().pem();
    let id = register(&client, "canary", "https://127.0.0.1:9", Some(&ca)).await;
    let endpoints = json!({ "endpoints": { "prometheus_url": "https://127.0.0.1:9", "tempo_url": "https://127.0.0.1:9",
        "loki_url": "https://127.0.0.1:9" } });
    client.put(&format!("/api/v1/clusters/{id}"), &endpoints).await.expect(200);
    let path = format!("/api/v1/clusters/{id}/credentials");
    let mut said = String::new();
    let canary = |n: usize| format!("canary{n:02}secret{:08x}", n * 0x0123_4567 % 0xffff_ffff);
    for n in 0..50 {
        let c = canary(n);
        let config = |user: &str| kubeconfig("https://127.0.0.1:9", &ca, user);
        let with = |user: String| json!({ "auth_type": "KUBECONFIG", "kubeconfig": config(&user) });
        let body = match n % 14 {
            0 => json!({ "auth_type": "TOKEN", "token": c, "prometheus_token": c, "tempo_token": c, "loki_token": c }),
            1 => with(format!("token: {c}")),
            2 => with(format!("exec: {{command: {c}}}")),
            3 => with(format!("tokenFile: /etc/{c}")),
            4 => with(format!("username: {c}, password: {c}")),
            5 => with(format!("token: [{c}]")),
            6 => with(format!("token: {c}, client-key-data: {c}")),
            7 => json!({ "auth_type": "CERTIFICATE", "client_certificate": c, "client_key": c }),
            8 => json!({ "auth_type": c, "token": c }),
            9 => json!({ "auth_type": "TOKEN", "token": [c], "ca": c }),
            10 => json!({ "auth_type": "TOKEN", "token": format!("{c}\r\nHost: evil") }),
            11 => json!({ "auth_type": "KUBECONFIG", "kubeconfig": format!("{c}: [") }),
            12 => json!({ "auth_type": "KUBECONFIG", "kubeconfig": base64(&config(&format!("token: {c}"))) }),
            _ => json!({ "auth_type": "TOKEN", "token": "a", "passphrase": c }),
        };
        for target in [path.clone(), format!("{path}?force=true"), format!("{path}/rotate"), format!("{path}/validate")]
        {
            said.push_str(&client.post(&target, &body).await.text());
        }
        client.post(&format!("/api/v1/clusters/{id}/refresh"), &json!({})).await;
    }
    for page in ["/api/v1/clusters", "/api/v1/events?limit=1000", "/metrics", "/health/detailed", &path] {
        said.push_str(&client.get(page).await.text());
    }
    said.push_str(&product.logs());
    assert!(said.contains("\"stored\""), "some were stored");
    let mut places = vec![("what it said".to_owned(), said.into_bytes())];
    read_all(&product.data_dir(), &mut places);
    match server {
        None => assert!(places.iter().any(|(name, _)| name.ends_with("fleetbeat.db"))),
        Some(server) => {
            // Everything that is still in its memory goes to its files.
            server.execute("postgres", "CHECKPOINT".to_owned()).await;
            read_all(&server.data_dir(), &mut places);
            places.push(("the server's log".to_owned(), server.log().into_bytes()));
            assert!(
                places.iter().any(|(name, bytes)| name.contains("/base/") && contains(bytes, &id)),
                "rows are seen"
            );
        }
    }
    let found: Vec<String> = (0..50)
        .flat_map(|n| places.iter().filter(move |(_, bytes)| contains(bytes, &canary(n))).map(|(name, _)| name.clone()))
        .collect();
    println!("50 canaries, {} places, {} hits", places.len(), found.len());
    assert!(found.is_empty(), "{found:?}");
}

fn read_all(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

fn contains(bytes: &[u8], canary: &str) -> bool {
    let encoded = base64(canary);
    let core = &encoded[..encoded.len() - 4];
    [canary, core].iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}
