//! The recorder's batches: one transaction each, idempotent, never older than what is stored.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fleetbeat_actors::{
    health::State,
    ports::{Batch, StoreError},
    roll::ClusterId,
};
use tokio::time::Instant;

use super::{
    Backend,
    sample::{at, cluster, event, register, rollup, status, timed, transition, window_start},
};

pub async fn a_batch_is_stored_whole(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["spoke"], 10).await[0].id;
    let change = transition(id, 5, State::Unknown, State::Online);
    let batch = Batch {
        statuses: vec![(id, Arc::new(status(7, State::Online)))],
        transitions: vec![Arc::clone(&change)],
        events: vec![event(id, 11, 2), event(ClusterId::FLEET, 12, 1)],
        rollups: vec![rollup(id, 0, 1)],
        alive_at: Some(at(9)),
    };
    store.record(&batch).await.unwrap();
    let stored = store.fetch(None).await.unwrap().remove(0);
    assert_eq!(stored.status, status(7, State::Online));
    assert_eq!(stored.sequence, 2);
    let kept = store.transitions(id, at(0), at(10), 10).await.unwrap().remove(0);
    assert_eq!((kept.event_id, kept.old_state, kept.new_state), (change.event_id, State::Unknown, State::Online));
    assert_eq!((kept.at, kept.health_score, kept.evidence), (at(5), 50, change.evidence));
    assert_eq!((kept.reason.as_str(), kept.message), ("recovered", None));
    assert_eq!(store.events_after(10, 10).await.unwrap(), batch.events);
    assert_eq!(store.rollups(id, window_start(0), window_start(1)).await.unwrap(), batch.rollups);
    assert_eq!(store.last_alive().await.unwrap(), Some(at(9)));
}

pub async fn the_same_batch_again_changes_nothing(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["spoke"], 10).await[0].id;
    let batch = Batch {
        statuses: vec![(id, Arc::new(status(2, State::Offline)))],
        transitions: vec![transition(id, 5, State::Unknown, State::Offline)],
        events: vec![event(id, 11, 2), event(ClusterId::FLEET, 12, 1)],
        rollups: vec![rollup(id, 0, 1)],
        alive_at: Some(at(9)),
    };
    for _ in 0..3 {
        store.record(&batch).await.unwrap();
    }
    assert_eq!(store.fetch(None).await.unwrap()[0].status, status(2, State::Offline));
    assert_eq!(store.transitions(id, at(0), at(10), 10).await.unwrap().len(), 1);
    assert_eq!(store.events_after(0, 10).await.unwrap().len(), 3);
    assert_eq!(store.rollups(id, window_start(0), window_start(1)).await.unwrap().len(), 1);
    assert_eq!(sequences(&*store, &[id]).await, BTreeMap::from([(id, 2), (ClusterId::FLEET, 1)]));
}

pub async fn an_empty_batch_is_fine(backend: Backend) {
    backend.store().await.record(&Batch::default()).await.unwrap();
}

pub async fn an_older_status_changes_nothing(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["spoke"], 10).await[0].id;
    let write = async |versions: &[(i64, State)]| {
        let statuses = versions.iter().map(|(version, state)| (id, Arc::new(status(*version, *state)))).collect();
        store.record(&Batch { statuses, ..Batch::default() }).await.unwrap();
        store.fetch(None).await.unwrap().remove(0).status
    };
    assert_eq!(write(&[(5, State::Online)]).await, status(5, State::Online));
    assert_eq!(write(&[(5, State::Offline)]).await, status(5, State::Online), "the same version");
    assert_eq!(write(&[(4, State::Offline)]).await, status(5, State::Online), "an older one");
    let newest = write(&[(6, State::Offline), (8, State::Degraded), (7, State::Online)]).await;
    assert_eq!(newest, status(8, State::Degraded), "the newest of one batch, whatever their order");
}

pub async fn what_concerns_a_deleted_cluster_is_skipped_but_for_its_events(backend: Backend) {
    let store = backend.store().await;
    let clusters = register(&*store, &["gone", "here"], 10).await;
    let (gone, here) = (clusters[0].id, clusters[1].id);
    store.delete(gone, None, &event(gone, 12, 2), &[]).await.unwrap();
    let both = [gone, here];
    let batch = Batch {
        statuses: both.map(|id| (id, Arc::new(status(3, State::Offline)))).to_vec(),
        transitions: both.map(|id| transition(id, 5, State::Unknown, State::Offline)).to_vec(),
        events: vec![event(gone, 13, 3), event(here, 14, 2)],
        rollups: both.map(|id| rollup(id, 0, 1)).to_vec(),
        alive_at: None,
    };
    store.record(&batch).await.unwrap();
    assert_eq!(store.fetch(None).await.unwrap().len(), 1);
    assert_eq!(store.fetch(None).await.unwrap()[0].status.state, State::Offline);
    for (id, kept) in [(gone, 0), (here, 1)] {
        assert_eq!(store.transitions(id, at(0), at(10), 10).await.unwrap().len(), kept);
        assert_eq!(store.rollups(id, window_start(0), window_start(1)).await.unwrap().len(), kept);
    }
    assert_eq!(store.events_after(12, 10).await.unwrap(), batch.events);
}

pub async fn an_impossible_batch_leaves_no_trace(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["spoke"], 10).await[0].id;
    let batch = Batch {
        statuses: vec![(id, Arc::new(status(3, State::Offline)))],
        transitions: vec![transition(id, 5, State::Unknown, State::Offline)],
        events: vec![event(id, 11, 2), event(id, 12, 2)],
        rollups: vec![rollup(id, 0, 1)],
        alive_at: Some(at(1)),
    };
    let refused = store.record(&batch).await;
    assert!(matches!(refused, Err(StoreError::Broken(_))), "one sequence twice: {refused:?}");
    assert_eq!(store.fetch(None).await.unwrap()[0].status.state, State::Unknown);
    assert_eq!(store.head().await.unwrap(), 10);
    assert_eq!(store.last_alive().await.unwrap(), None);
    assert!(store.transitions(id, at(0), at(10), 10).await.unwrap().is_empty());
    store.record(&Batch { events: vec![event(id, 11, 2)], ..batch }).await.unwrap();
}

pub async fn a_rollup_is_replaced_by_its_next_version(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["spoke"], 10).await[0].id;
    let first = rollup(id, 3, 1);
    let mut second = first.clone();
    (second.checks, second.failures, second.latency_mean_ms) = (11, 4, 99.5);
    let other_run = rollup(id, 3, 2);
    for rollups in [vec![first.clone()], vec![first, second.clone()], vec![other_run.clone()]] {
        store.record(&Batch { rollups, ..Batch::default() }).await.unwrap();
    }
    assert_eq!(store.rollups(id, window_start(3), window_start(4)).await.unwrap(), [second, other_run]);
}

pub async fn the_sign_of_life_never_moves_back(backend: Backend) {
    let store = backend.store().await;
    for seconds in [5, 9, 7] {
        store.record(&Batch { alive_at: Some(at(seconds)), ..Batch::default() }).await.unwrap();
    }
    assert_eq!(store.last_alive().await.unwrap(), Some(at(9)));
}

pub async fn the_last_sequence_is_known_for_all_who_are_registered(backend: Backend) {
    let store = backend.store().await;
    let clusters = register(&*store, &["one", "two", "gone"], 10).await;
    let (one, two, gone) = (clusters[0].id, clusters[1].id, clusters[2].id);
    let silent = cluster("silent");
    store.insert(&[(Arc::clone(&silent), status(0, State::Unknown))], &[], &[]).await.unwrap();
    store.delete(gone, None, &event(gone, 20, 2), &[]).await.unwrap();
    let events = vec![event(two, 21, 2), event(two, 22, 3)];
    store.record(&Batch { events, ..Batch::default() }).await.unwrap();
    let asked = [one, two, gone, silent.id, ClusterId::generate()];
    let expected = BTreeMap::from([(one, 1), (two, 3), (silent.id, 0), (ClusterId::FLEET, 0)]);
    assert_eq!(sequences(&*store, &asked).await, expected);
    assert_eq!(sequences(&*store, &[ClusterId::FLEET]).await, BTreeMap::from([(ClusterId::FLEET, 0)]));
    store.append(&[event(ClusterId::FLEET, 30, 1), event(ClusterId::FLEET, 31, 2)], &[]).await.unwrap();
    assert_eq!(sequences(&*store, &[]).await, BTreeMap::from([(ClusterId::FLEET, 2)]));
}

async fn sequences(store: &dyn fleetbeat::store::Store, ids: &[ClusterId]) -> BTreeMap<ClusterId, i64> {
    let answer = store.sequences(ids).await.unwrap();
    let count = answer.len();
    let map = BTreeMap::from_iter(answer);
    assert_eq!(map.len(), count, "everybody once");
    map
}

pub async fn ten_thousand_statuses_go_in_one_flush(backend: Backend) {
    let store = backend.store().await;
    let names: Vec<_> = (0..10_000).map(|n| format!("spoke-{n:05}")).collect();
    let mut ids = Vec::new();
    for (names, position) in names.chunks(1_000).zip((10..).step_by(1_000)) {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        ids.extend(register(&*store, &names, position).await.iter().map(|cluster| cluster.id));
    }
    let mut flush = Duration::MAX;
    for version in 1..=3 {
        let statuses = ids.iter().map(|id| (*id, Arc::new(status(version, State::Online)))).collect();
        let batch = Batch { statuses, ..Batch::default() };
        let began = Instant::now();
        timed("record of 10,000 statuses", store.backend(), store.record(&batch)).await.unwrap();
        flush = flush.min(began.elapsed());
    }
    // However slow the machine is: a server that is asked once for each status takes longer for a tenth of them.
    if store.backend() == "postgresql" {
        let began = Instant::now();
        for id in &ids[..1_000] {
            let statuses = vec![(*id, Arc::new(status(4, State::Online)))];
            store.record(&Batch { statuses, ..Batch::default() }).await.unwrap();
        }
        let single = began.elapsed();
        println!("1,000 statuses one by one: {:.1} times one flush of 10,000", single.div_duration_f64(flush));
        assert!(flush < single, "one flush of 10,000 takes {flush:?}, 1,000 one by one {single:?}");
    }
    for run in [1, 1, 2] {
        let rollups = ids.iter().map(|id| rollup(*id, 0, run)).collect();
        let batch = Batch { rollups, ..Batch::default() };
        timed("record of 10,000 rollups", store.backend(), store.record(&batch)).await.unwrap();
    }
    for (n, count) in [(0, 1), (1, 1), (2, 20), (3, 1_000)] {
        let events = ids[..count].iter().zip(20_000 + n * 1_000..).map(|(id, at)| event(*id, at, n + 2)).collect();
        let transitions = ids[..count].iter().map(|id| transition(*id, n, State::Online, State::Offline)).collect();
        let statuses = ids[..count].iter().map(|id| (*id, Arc::new(status(n + 5, State::Offline)))).collect();
        let batch = Batch { statuses, transitions, events, ..Batch::default() };
        timed(&format!("record of {count} transitions"), store.backend(), store.record(&batch)).await.unwrap();
    }
    let stored = store.fetch(None).await.unwrap();
    assert!(stored.iter().all(|enrolled| enrolled.status.version >= 3));
}
