//! Access to the real binary: the first token, tokens from the command line, and an address that others can reach.
#![cfg(test)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use support::{Postgres, Product, eventually};

fn written(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_token_lies_in_a_private_file_and_makes_others() {
    let mut product = Product::new().set("auth.tokens.enabled", true).started().await;
    let file = product.data_dir().join("admin-token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(product.logs().contains("admin-token"), "{}", product.logs());
    let first = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(!product.logs().contains(&first));
    assert_eq!(String::from_utf8_lossy(&product.run(&["tokens", "first"]).stdout).trim(), first);
    product.client().get("/api/v1/clusters").await.expect(401);
    let admin = product.admin();
    admin.get("/api/v1/clusters").await.expect(200);

    let (url, path) = (product.url(), file.display().to_string());
    let flags = ["--server", url.as_str(), "--token-file", path.as_str()];
    let create = [&["tokens", "create", "ci", "--role", "viewer", "--days", "1"][..], &flags].concat();
    let token = written(&product.run(&create));
    let viewer = product.bearing(&token);
    let who = viewer.get("/api/v1/whoami").await.expect(200).json();
    assert_eq!((&who["name"], &who["role"]), (&json!("ci"), &json!("viewer")));
    let id = who["id"].as_str().unwrap().strip_prefix("token:").unwrap().to_owned();
    written(&product.run(&[&["tokens", "revoke", &id][..], &flags].concat()));
    viewer.get("/api/v1/whoami").await.expect(401);

    product.terminate(Duration::from_secs(10)).await;
    product.start().await;
    admin.get("/api/v1/clusters").await.expect(200);
    viewer.get("/api/v1/clusters").await.expect(401);
    product.terminate(Duration::from_secs(10)).await;
    let rescued = written(&product.run(&["tokens", "create", "rescue", "--role", "admin", "--local"]));
    product.start().await;
    let rescuer = product.bearing(&rescued);
    assert_eq!(rescuer.get("/api/v1/tokens").await.expect(200).json()["items"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scoped_caller_without_news_asks_the_database_once() {
    const SOON: Duration = Duration::from_secs(60);
    let mut postgres = Postgres::start_new().await;
    let mut product = Product::new()
        .set("database_url", postgres.database().await)
        .set("auth.tokens.enabled", true)
        .set("health_check.enabled", false)
        .started()
        .await;
    let admin = product.admin();
    let mut ids = Vec::new();
    for name in ["mine", "theirs"] {
        let body = json!({ "name": name, "api_server_url": "https://127.0.0.1:9" });
        ids.push(admin.post("/api/v1/clusters", &body).await.expect(201).json()["id"].as_str().unwrap().to_owned());
    }
    let wish = json!({ "name": "some", "role": "viewer", "scope": { "cluster_ids": [ids[0]] } });
    let some = admin.post("/api/v1/tokens", &wish).await.expect(201).json()["token"].as_str().unwrap().to_owned();
    // Memory begins anew where the log ends.
    product.terminate(SOON).await;
    product.start().await;
    let (admin, some) = (product.admin(), product.bearing(&some));
    let page = some.get("/api/v1/events").await.expect(200).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    let (position, after) = (page["items"][0]["position"].clone(), page["next_after"].clone());
    assert_eq!(after, position);
    let (poll, nothing) =
        (format!("/api/v1/events?after={after}"), json!({ "items": [], "next_after": after, "has_more": false }));
    assert_eq!(some.get(&poll).await.expect(200).json(), nothing);
    let path = |id: &str| format!("/api/v1/clusters/{id}");
    admin.patch(&path(&ids[1]), &json!({ "display_name": "changed" })).await.expect(200);

    postgres.kill();
    for _ in 0..3 {
        assert_eq!(some.get(&poll).await.expect(200).json(), nothing, "nothing of others' events is told");
    }
    some.get(&format!("/api/v1/events?after={}", after.as_i64().unwrap() - 1)).await.expect(503);
    admin.get("/api/v1/events").await.expect(503);
    postgres.start().await;
    let change = json!({ "display_name": "changed" });
    eventually(SOON, async || admin.patch(&path(&ids[0]), &change).await.status == 200).await;
    let page = some.get(&poll).await.expect(200).json();
    assert_eq!(page["items"][0]["event_type"], "CLUSTER_UPDATED", "{page}");
    assert!(page["items"].as_array().unwrap().iter().all(|event| event["cluster_id"] == *ids[0]), "{page}");
}
