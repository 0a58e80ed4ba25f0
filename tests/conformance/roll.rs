//! The roll: clusters are registered, changed and removed, each with the event that tells of it.

use std::{collections::BTreeMap, sync::Arc};

use fleetbeat::store::{EventFilter, Gap};
use fleetbeat_actors::{
    event::EventType,
    health::{State, Status},
    ports::{Batch, StoreError},
    roll::{Cluster, ClusterId, ClusterType},
};

use super::{
    Backend,
    sample::{at, bare_cluster, cluster, event, event_of, register, rollup, status, timed, transition, window_start},
};

pub async fn a_new_store_is_empty(backend: Backend) {
    let store = backend.store().await;
    assert!(store.revisions().await.unwrap().is_empty());
    assert!(store.fetch(None).await.unwrap().is_empty());
    assert_eq!(store.head().await.unwrap(), 0);
    assert_eq!(store.published().await.unwrap(), 0);
    assert_eq!(store.waiting(0).await.unwrap(), 0);
    assert_eq!(store.last_alive().await.unwrap(), None);
    assert!(store.events_after(0, 10).await.unwrap().is_empty());
    store.ping().await.unwrap();
}

pub async fn a_cluster_comes_back_as_it_was_stored(backend: Backend) {
    let store = backend.store().await;
    let (full, bare) = (cluster("full"), bare_cluster("bare"));
    let rows = [(Arc::clone(&full), status(4, State::Degraded)), (Arc::clone(&bare), Status::unknown(at(0)))];
    store.insert(&rows, &[event(full.id, 10, 1), event(bare.id, 11, 1)], &[]).await.unwrap();
    let mut stored = store.fetch(None).await.unwrap();
    stored.sort_by_key(|enrolled| enrolled.cluster.id);
    assert_eq!(stored.len(), 2);
    for (enrolled, (cluster, status)) in stored.iter().zip(&rows) {
        assert_eq!(enrolled.cluster, *cluster);
        assert_eq!(enrolled.status, *status);
        assert_eq!(enrolled.sequence, 1);
    }
    let mut revisions = store.revisions().await.unwrap();
    revisions.sort();
    assert_eq!(revisions, [(full.id, 1), (bare.id, 1)]);
}

pub async fn strange_texts_come_back_unharmed(backend: Backend) {
    const STRANGE: [&str; 7] = [
        "'; DROP TABLE clusters; --",
        "\"}, {\"$ne\": null",
        "日本語 \u{202e}gnp.exe \u{1F4A5} e\u{301}",
        "tab\there, line\nthere, return\r, bell\u{7}",
        "%_\\ \\u0000 \\\\ $1 ?1 {} :name",
        "NULL",
        "",
    ];
    let store = backend.store().await;
    let clusters: Vec<_> = STRANGE
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let text = (*text).to_owned();
            Arc::new(Cluster {
                display_name: Some(text.clone()),
                region: Some(text.clone()),
                labels: BTreeMap::from([(format!("k{text}"), text.clone())]),
                capabilities: Some(serde_json::json!({ "text": text, "list": [text, null, 1.5, -3] })),
                created_by: Some(text.clone()),
                ca_bundle: Some(text),
                ..(*bare_cluster(&format!("strange-{n}"))).clone()
            })
        })
        .collect();
    let rows: Vec<_> = clusters.iter().map(|cluster| (Arc::clone(cluster), Status::unknown(at(0)))).collect();
    store.insert(&rows, &[], &[]).await.unwrap();
    for cluster in &clusters {
        assert_eq!(store.fetch(Some(&[cluster.id])).await.unwrap()[0].cluster, *cluster);
    }
}

pub async fn only_registered_clusters_are_fetched_by_id(backend: Backend) {
    let store = backend.store().await;
    let clusters = register(&*store, &["one", "two", "three"], 10).await;
    let ids = [clusters[2].id, ClusterId::generate(), clusters[0].id];
    let mut names: Vec<_> = store.fetch(Some(&ids)).await.unwrap().iter().map(|e| e.cluster.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["one", "three"]);
    assert!(store.fetch(Some(&[])).await.unwrap().is_empty());
}

pub async fn a_name_is_registered_once(backend: Backend) {
    let store = backend.store().await;
    register(&*store, &["taken"], 10).await;
    let rows = ["fresh", "taken", "other"].map(|name| (cluster(name), Status::unknown(at(0))));
    let events: Vec<_> = rows.iter().zip(20..).map(|((cluster, _), at)| event(cluster.id, at, 1)).collect();
    let refused = store.insert(&rows, &events, &[]).await;
    assert!(matches!(&refused, Err(StoreError::NameTaken(name)) if name == "taken"), "{refused:?}");
    assert_eq!(store.revisions().await.unwrap().len(), 1, "nothing of it was written");
    assert_eq!(store.head().await.unwrap(), 10);

    let twice = ["same", "same"].map(|name| (cluster(name), Status::unknown(at(0))));
    let refused = store.insert(&twice, &[], &[]).await;
    assert!(matches!(&refused, Err(StoreError::NameTaken(name)) if name == "same"), "{refused:?}");
    assert_eq!(store.revisions().await.unwrap().len(), 1);
}

pub async fn of_two_at_once_one_gets_the_name(backend: Backend) {
    let store = backend.store().await;
    for round in 0..20 {
        let name = format!("contested-{round}");
        let attempts: Vec<_> = (0..4)
            .map(|n| {
                let (store, cluster) = (Arc::clone(&store), cluster(&name));
                let event = event(cluster.id, 100 + round * 10 + n, 1);
                tokio::spawn(async move { store.insert(&[(cluster, Status::unknown(at(0)))], &[event], &[]).await })
            })
            .collect();
        let mut won = 0;
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(()) => won += 1,
                Err(StoreError::NameTaken(taken)) => assert_eq!(taken, name),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 1);
    }
    assert_eq!(store.waiting(0).await.unwrap(), 20);
}

pub async fn an_update_replaces_the_metadata_and_tells_of_it(backend: Backend) {
    let store = backend.store().await;
    let old = register(&*store, &["spoke"], 10).await.remove(0);
    let changed = Cluster {
        id: old.id,
        generation: 2,
        updated_at: at(60),
        cluster_type: ClusterType::Hub,
        created_at: old.created_at,
        created_by: old.created_by.clone(),
        ..(*bare_cluster("spoke")).clone()
    };
    store.update(&changed, 1, &[event(old.id, 11, 2)], &[], &[]).await.unwrap();
    let stored = store.fetch(Some(&[old.id])).await.unwrap().remove(0);
    assert_eq!(*stored.cluster, changed);
    assert_eq!(stored.sequence, 2);
    assert_eq!(store.head().await.unwrap(), 11);
}

pub async fn a_stale_generation_is_refused(backend: Backend) {
    let store = backend.store().await;
    let cluster = register(&*store, &["spoke"], 10).await.remove(0);
    let second = Cluster { generation: 2, ..(*cluster).clone() };
    store.update(&second, 1, &[event(cluster.id, 11, 2)], &[], &[]).await.unwrap();
    let late = Cluster { generation: 2, region: None, ..(*cluster).clone() };
    let refused = store.update(&late, 1, &[event(cluster.id, 12, 3)], &[], &[]).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    let refused = store.delete(cluster.id, Some(1), &event(cluster.id, 12, 3), &[]).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    assert_eq!(*store.fetch(None).await.unwrap()[0].cluster, second);
    assert_eq!(store.head().await.unwrap(), 11, "a refused change leaves no event");
}

pub async fn an_unknown_cluster_cannot_be_changed(backend: Backend) {
    let store = backend.store().await;
    let stranger = cluster("stranger");
    let refused = store.update(&stranger, 1, &[event(stranger.id, 10, 1)], &[], &[]).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    for expected in [None, Some(1)] {
        let refused = store.delete(stranger.id, expected, &event(stranger.id, 10, 1), &[]).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    }
    assert_eq!(store.head().await.unwrap(), 0);
}

pub async fn a_deleted_cluster_leaves_only_its_events(backend: Backend) {
    let store = backend.store().await;
    let clusters = register(&*store, &["doomed", "spared"], 10).await;
    let (doomed, spared) = (clusters[0].id, clusters[1].id);
    let batch = Batch {
        transitions: [doomed, spared].map(|id| transition(id, 5, State::Unknown, State::Offline)).to_vec(),
        rollups: [doomed, spared].map(|id| rollup(id, 0, 1)).to_vec(),
        ..Batch::default()
    };
    store.record(&batch).await.unwrap();
    let gap = |id| Gap { cluster_id: id, from: at(0), to: at(5), reason: "held".to_owned() };
    store.append(&[], &[gap(doomed), gap(spared)]).await.unwrap();

    store.delete(doomed, Some(1), &event_of(EventType::ClusterDeleted, doomed, 20, 2), &[]).await.unwrap();
    assert_eq!(store.revisions().await.unwrap(), [(spared, 1)]);
    for (id, kept) in [(doomed, 0), (spared, 1)] {
        assert_eq!(store.transitions(id, at(0), at(100), 10).await.unwrap().len(), kept);
        assert_eq!(store.rollups(id, window_start(0), window_start(9)).await.unwrap().len(), kept);
        assert_eq!(store.gaps(id, at(0), at(100)).await.unwrap().len(), kept);
    }
    let filter = EventFilter { cluster_id: Some(doomed), limit: 10, ..EventFilter::default() };
    assert_eq!(store.events(&filter).await.unwrap().len(), 2);
}

pub async fn a_deleted_name_can_be_taken_again(backend: Backend) {
    let store = backend.store().await;
    let first = register(&*store, &["phoenix"], 10).await.remove(0);
    store.delete(first.id, None, &event(first.id, 11, 2), &[]).await.unwrap();
    let second = register(&*store, &["phoenix"], 12).await.remove(0);
    assert_eq!(store.revisions().await.unwrap(), [(second.id, 1)]);
}

pub async fn a_fleet_of_ten_thousand_loads(backend: Backend) {
    let store = backend.store().await;
    let rows: Vec<_> = (0..10_000).map(|n| (cluster(&format!("spoke-{n:05}")), status(1, State::Online))).collect();
    let events: Vec<_> = rows.iter().zip(10..).map(|((cluster, _), at)| event(cluster.id, at, 1)).collect();
    for (rows, events) in rows.chunks(1_000).zip(events.chunks(1_000)) {
        timed("insert of 1,000 clusters", store.backend(), store.insert(rows, events, &[])).await.unwrap();
    }
    let loaded = timed("fetch of 10,000 clusters", store.backend(), store.fetch(None)).await.unwrap();
    assert_eq!(loaded.len(), 10_000);
    let revisions = timed("10,000 revisions", store.backend(), store.revisions()).await.unwrap();
    assert_eq!(revisions.len(), 10_000);
}
