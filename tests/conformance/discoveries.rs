//! What clusters can do, and when they were asked.

use fleetbeat::store::{Store, StoredDiscovery};
use fleetbeat_actors::{event::EventType, ports::StoreError, roll::ClusterId};
use serde_json::json;

use super::{
    Backend,
    sample::{at, event_of, register},
};

fn attempt(id: ClusterId, seconds: i64, outcome: &str) -> StoredDiscovery {
    StoredDiscovery { cluster_id: id, attempted_at: at(seconds), outcome: outcome.to_owned() }
}

async fn capabilities(store: &dyn Store, id: ClusterId) -> Option<serde_json::Value> {
    store.fetch(Some(&[id])).await.unwrap()[0].cluster.capabilities.clone()
}

pub async fn what_was_found_comes_back_with_the_cluster(backend: Backend) {
    let store = backend.store().await;
    let one = register(&*store, &["one", "two"], 10).await[0].id;
    assert_eq!(store.discoveries().await.unwrap(), []);
    let found =
        json!({ "has_gpu_nodes": null, "gpu_types": { "A100": 8 }, "unknown": { "nodes": { "reason": "forbidden" } } });
    let told = event_of(EventType::ClusterCapabilitiesChanged, one, 100, 2);
    store.write_discovery(&attempt(one, 20, "partial"), Some(&found), std::slice::from_ref(&told)).await.unwrap();
    assert_eq!(capabilities(&*store, one).await, Some(found));
    assert_eq!(store.discoveries().await.unwrap(), [attempt(one, 20, "partial")]);
    assert_eq!(store.events_after(99, 10).await.unwrap(), [told]);
    let generations = store.revisions().await.unwrap();
    assert!(generations.iter().all(|(_, generation)| *generation == 1), "a finding is no new spec");
}

pub async fn an_attempt_that_found_nothing_leaves_what_was_known(backend: Backend) {
    let store = backend.store().await;
    let one = register(&*store, &["one"], 10).await[0].id;
    store.write_discovery(&attempt(one, 20, "complete"), Some(&json!({ "gpu_count": 8 })), &[]).await.unwrap();
    store.write_discovery(&attempt(one, 30, "timeout"), None, &[]).await.unwrap();
    assert_eq!(capabilities(&*store, one).await, Some(json!({ "gpu_count": 8 })));
    assert_eq!(store.discoveries().await.unwrap(), [attempt(one, 30, "timeout")]);
}

pub async fn a_cluster_that_is_gone_is_not_written(backend: Backend) {
    let store = backend.store().await;
    let gone = ClusterId::generate();
    let told = event_of(EventType::ClusterCapabilitiesChanged, gone, 100, 1);
    let refused = store.write_discovery(&attempt(gone, 20, "complete"), Some(&json!({})), &[told]).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    assert_eq!(store.events_after(0, 10).await.unwrap(), []);
    assert_eq!(store.discoveries().await.unwrap(), []);
}

pub async fn a_deleted_cluster_takes_its_attempts_along(backend: Backend) {
    let store = backend.store().await;
    let one = register(&*store, &["one"], 10).await[0].id;
    store.write_discovery(&attempt(one, 20, "complete"), Some(&json!({})), &[]).await.unwrap();
    store.delete(one, None, &event_of(EventType::ClusterDeleted, one, 100, 2), &[]).await.unwrap();
    assert_eq!(store.discoveries().await.unwrap(), []);
}
