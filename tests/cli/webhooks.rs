//! `fleetbeat webhooks`: from making one to trying what it gave up.

use super::desk::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_shown_tried_and_removed() {
    let desk = Desk::open().await;
    let secret =
        desk.ask(&["webhooks", "add", "ops", "http://127.0.0.1:1/in?key=s3cret", "--event", "CLUSTER_DELETED"]);
    let secret = secret.expect(0).out;
    assert!(secret.starts_with("whsec_"), "{secret}");
    let table = desk.ask(&["webhooks", "list"]).expect(0).out;
    assert!(table.contains("ops") && table.contains("CLUSTER_DELETED") && table.contains("delivering"), "{table}");
    assert!(!table.contains("s3cret") && !table.contains(secret.trim()), "{table}");
    let refused = desk.ask(&["webhooks", "test", "ops"]).expect(1);
    assert!(refused.err.contains("refused"), "{}", refused.err);
    let tries = desk.ask(&["webhooks", "deliveries", "ops"]).expect(0).out;
    assert!(tries.contains("WEBHOOK_TEST") && tries.contains("failed"), "{tries}");
    desk.ask(&["webhooks", "set", "ops", "--labels", "env=prod", "--unsigned"]).expect(0);
    desk.ask(&["webhooks", "pause", "ops"]).expect(0);
    let shown = desk.ask(&["webhooks", "list", "-o", "json"]).expect(0).json();
    let hook = &shown["items"][0];
    assert_eq!(
        (&hook["label_selector"], &hook["signed"], &hook["enabled"]),
        (&"env=prod".into(), &false.into(), &false.into())
    );
    desk.ask(&["webhooks", "dead-letters", "ops"]).expect(0);
    desk.ask(&["webhooks", "retry", "ops"]).expect(0);
    desk.ask(&["webhooks", "set", "ops"]).expect(2);
    desk.ask(&["webhooks", "test", "nobody"]).expect(3);
    let wrong = desk.ask(&["webhooks", "add", "inward", "https://169.254.169.254/"]).expect(1);
    assert!(wrong.err.contains("url: "), "{}", wrong.err);
    desk.ask(&["webhooks", "rm", "ops"]).expect(0);
    assert_eq!(desk.ask(&["webhooks", "list", "-o", "json"]).expect(0).json()["items"], serde_json::json!([]));
}
