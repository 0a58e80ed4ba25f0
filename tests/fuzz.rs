//! The API under a fuzzer that knows its description: no answer that is not described, and no 5xx; open, as somebody known, and as
//! nobody.
#![cfg(test)]

mod support;

use support::{Client, Product, fuzz_api};

/// What does not end, and what cannot be done while checks are switched off.
const LEFT_OUT: [&str; 2] = ["/api/v1/events/stream", "/api/v1/clusters/{id}/refresh"];

/// The fuzzer registers clusters at random hosts: nothing may be probed.
async fn product(guarded: bool) -> Product {
    Product::new().set("health_check.enabled", false).set("auth.tokens.enabled", guarded).started().await
}

async fn fuzz(product: &Product, token: Option<String>) {
    let description = format!("{}/api/v1/openapi.json", product.url());
    // It finds the id of its own token in the list, and revokes it.
    let own = token.is_some().then_some("/api/v1/tokens/{id}");
    let left_out: Vec<_> = LEFT_OUT.into_iter().chain(own).collect();
    tokio::task::spawn_blocking(move || fuzz_api(&description, &left_out, token.as_deref())).await.unwrap();
}

fn first_token(product: &Product) -> String {
    std::fs::read_to_string(product.data_dir().join("admin-token")).unwrap().trim().to_owned()
}

fn bearer(product: &Product, token: &str) -> Client {
    product.client().with_header("authorization", &format!("Bearer {token}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_finds_no_undescribed_answer_and_no_error_of_the_server() {
    fuzz(&product(false).await, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_with_an_administrator_s_token_finds_nothing_either() {
    let product = product(true).await;
    let token = first_token(&product);
    fuzz(&product, Some(token.clone())).await;
    bearer(&product, &token).get("/api/v1/whoami").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_without_a_token_finds_nothing_and_changes_nothing() {
    let product = product(true).await;
    fuzz(&product, None).await;
    let admin = bearer(&product, &first_token(&product));
    assert_eq!(admin.get("/api/v1/clusters").await.expect(200).json()["total"], 0);
    assert_eq!(admin.get("/api/v1/tokens").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
}
