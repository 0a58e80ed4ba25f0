//! What is remembered of Secrets on the hub.

use fleetbeat::store::{AuditEntry, AuditFilter, AuditOrder, BegunWrite, SecretMark};
use fleetbeat_actors::{event::EventType, ports::StoreError, roll::ClusterId};
use serde_json::json;

use super::{
    Backend,
    sample::{at, event_of, register},
};

fn begun(by: &str) -> BegunWrite {
    let entry = AuditEntry { actor: by.to_owned(), ..AuditEntry::new(at(20), "credentials.upload") };
    BegunWrite { payload: json!({ "action": "uploaded" }), audit: vec![entry.with("set", json!(["api_server"]))] }
}

fn mark(id: ClusterId, version: Option<&str>, begun: Option<BegunWrite>) -> SecretMark {
    SecretMark { cluster_id: id, version: version.map(str::to_owned), begun }
}

pub async fn a_write_of_a_secret_is_begun_and_told_of_at_once(backend: Backend) {
    let store = backend.store().await;
    let one = register(&*store, &["one", "two"], 10).await[0].id;
    assert_eq!(store.secret_marks(None).await.unwrap(), []);
    store.begin_secret(one, Some(&begun("alice"))).await.unwrap();
    assert_eq!(store.secret_marks(None).await.unwrap(), [mark(one, None, Some(begun("alice")))]);

    let told = event_of(EventType::ClusterCredentialsUpdated, one, 100, 2);
    store.settle_secret(one, Some("7"), std::slice::from_ref(&told), &begun("alice").audit).await.unwrap();
    assert_eq!(store.secret_marks(Some(one)).await.unwrap(), [mark(one, Some("7"), None)]);
    assert_eq!(store.events_after(99, 10).await.unwrap(), [told]);
    let filter = AuditFilter { order: AuditOrder::OldestFirst, limit: 10, ..AuditFilter::default() };
    let rows = store.audit(&filter).await.unwrap();
    assert_eq!(rows.last().map(|row| row.entry.clone()), Some(begun("alice").audit.remove(0)));

    store.begin_secret(one, Some(&begun("bob"))).await.unwrap();
    assert_eq!(store.secret_marks(Some(one)).await.unwrap(), [mark(one, Some("7"), Some(begun("bob")))]);
    store.begin_secret(one, None).await.unwrap();
    store.settle_secret(one, None, &[], &[]).await.unwrap();
    assert_eq!(store.secret_marks(Some(one)).await.unwrap(), [mark(one, None, None)]);
}

pub async fn a_cluster_that_is_gone_has_no_mark(backend: Backend) {
    let store = backend.store().await;
    let one = register(&*store, &["one"], 10).await[0].id;
    store.begin_secret(one, Some(&begun("alice"))).await.unwrap();
    store.delete(one, None, &event_of(EventType::ClusterDeleted, one, 100, 2), &[]).await.unwrap();
    assert_eq!(store.secret_marks(None).await.unwrap(), []);
    assert!(matches!(store.begin_secret(one, None).await, Err(StoreError::NotFound)));
    let told = event_of(EventType::ClusterCredentialsUpdated, one, 200, 3);
    assert!(matches!(store.settle_secret(one, None, &[told], &[]).await, Err(StoreError::NotFound)));
    assert_eq!(store.events_after(101, 10).await.unwrap(), []);
}
