//! The API under a fuzzer that knows its description: no answer that is not described, and no 5xx.
#![cfg(test)]

mod support;

use support::{Product, fuzz_api};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_finds_no_undescribed_answer_and_no_error_of_the_server() {
    // The fuzzer registers clusters at random hosts: nothing may be probed.
    let product = Product::new().set("health_check.enabled", false).started().await;
    let description = format!("{}/api/v1/openapi.json", product.url());
    // The stream does not end, and nothing can be checked on demand while checks are switched off.
    tokio::task::spawn_blocking(move || {
        fuzz_api(&description, &["/api/v1/events/stream", "/api/v1/clusters/{id}/refresh"]);
    })
    .await
    .unwrap();
}
