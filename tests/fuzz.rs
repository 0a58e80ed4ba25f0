//! The API under a fuzzer that knows its description: no answer that is not described, and no 5xx; open, as somebody known, and as
//! nobody.
#![cfg(test)]

mod support;

use support::{Product, fuzz_api};

/// What does not end, and what cannot be done while checks are switched off.
const LEFT_OUT: [&str; 4] =
    ["--exclude-path", "/api/v1/events/stream", "--exclude-path", "/api/v1/clusters/{id}/refresh"];
/// The same, and what a fuzzer would revoke its own token with, whose id it finds in the list.
const LEFT_OUT_WITH_A_TOKEN: [&str; 6] = [
    "--exclude-path",
    "/api/v1/events/stream",
    "--exclude-path",
    "/api/v1/clusters/{id}/refresh",
    "--exclude-path",
    "/api/v1/tokens/{id}",
];
/// So tokens are made and revoked by one that does not read the list.
const TOKENS_BUT_THE_LIST: [&str; 6] = [
    "--include-path",
    "/api/v1/tokens",
    "--include-path",
    "/api/v1/tokens/{id}",
    "--exclude-operation-id",
    "list_tokens",
];

/// The fuzzer registers clusters at random hosts: nothing may be probed.
async fn product(guarded: bool) -> Product {
    Product::new().set("health_check.enabled", false).set("auth.tokens.enabled", guarded).started().await
}

async fn fuzz(product: &Product, narrowed: &'static [&'static str], token: Option<String>) {
    let description = format!("{}/api/v1/openapi.json", product.url());
    tokio::task::spawn_blocking(move || fuzz_api(&description, narrowed, token.as_deref())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_finds_no_undescribed_answer_and_no_error_of_the_server() {
    fuzz(&product(false).await, &LEFT_OUT, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_with_an_administrator_s_token_finds_nothing_either() {
    let product = product(true).await;
    let token = product.first_token();
    fuzz(&product, &LEFT_OUT_WITH_A_TOKEN, Some(token.clone())).await;
    fuzz(&product, &TOKENS_BUT_THE_LIST, Some(token.clone())).await;
    product.bearing(&token).get("/api/v1/whoami").await.expect(200);
    let tokens = product.bearing(&token).get("/api/v1/tokens").await.expect(200).json();
    let revoked = tokens["items"].as_array().unwrap().iter().filter(|token| !token["revoked_at"].is_null()).count();
    println!("{revoked} tokens were revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_without_a_token_finds_nothing_and_changes_nothing() {
    let product = product(true).await;
    fuzz(&product, &LEFT_OUT, None).await;
    let admin = product.admin();
    assert_eq!(admin.get("/api/v1/clusters").await.expect(200).json()["total"], 0);
    assert_eq!(admin.get("/api/v1/tokens").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
}
