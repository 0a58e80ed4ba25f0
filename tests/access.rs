//! Access to the real binary: the first token, tokens from the command line, and an address that others can reach.
#![cfg(test)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use support::Product;

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
    let admin = product.client().with_header("authorization", &format!("Bearer {first}"));
    admin.get("/api/v1/clusters").await.expect(200);

    let (url, path) = (product.url(), file.display().to_string());
    let flags = ["--server", url.as_str(), "--token-file", path.as_str()];
    let create = [&["tokens", "create", "ci", "--role", "viewer", "--days", "1"][..], &flags].concat();
    let token = written(&product.run(&create));
    let viewer = product.client().with_header("authorization", &format!("Bearer {token}"));
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
    let rescuer = product.client().with_header("authorization", &format!("Bearer {rescued}"));
    assert_eq!(rescuer.get("/api/v1/tokens").await.expect(200).json()["items"].as_array().unwrap().len(), 3);
}
