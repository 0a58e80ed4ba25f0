//! The history: transitions, rollups and gaps are read by window and pruned by age.

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat::store::{Gap, Retention};
use fleetbeat_actors::{
    health::State,
    ports::{Batch, Ledger},
    roll::ClusterId,
};

use super::{
    Backend,
    sample::{at, event, register, rollup, transition, window_start},
};

pub async fn transitions_are_read_newest_first(backend: Backend) {
    let store = backend.store().await;
    let clusters = register(&*store, &["one", "two"], 10).await;
    let (id, other) = (clusters[0].id, clusters[1].id);
    let flip = |id, seconds| transition(id, seconds, State::Online, State::Offline);
    let transitions = vec![flip(id, 30), flip(id, 10), flip(other, 15), flip(id, 20)];
    store.record(&Batch { transitions, ..Batch::default() }).await.unwrap();
    let times = async |from, to, limit| -> Vec<DateTime<Utc>> {
        store.transitions(id, from, to, limit).await.unwrap().iter().map(|transition| transition.at).collect()
    };
    assert_eq!(times(at(0), at(100), 10).await, [at(30), at(20), at(10)]);
    assert_eq!(times(at(0), at(100), 2).await, [at(30), at(20)]);
    assert_eq!(times(at(10), at(30), 10).await, [at(20), at(10)], "from is in, to is not");
    let before = async |seconds| store.transition_before(id, at(seconds)).await.unwrap().map(|found| found.at);
    assert_eq!(before(30).await, Some(at(20)));
    assert_eq!(before(31).await, Some(at(30)));
    assert_eq!(before(10).await, None);
    let told = store.transitions(id, at(0), at(100), 1).await.unwrap().remove(0);
    assert_eq!(told.reason, "refused");
    assert_eq!(told.message.as_deref(), Some("API server: connection refused"));
}

pub async fn rollups_are_read_oldest_first(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["one"], 10).await[0].id;
    let rollups: Vec<_> = [(2, 1), (0, 1), (1, 2), (1, 1)].map(|(window, run)| rollup(id, window, run)).to_vec();
    store.record(&Batch { rollups, ..Batch::default() }).await.unwrap();
    let read = store.rollups(id, window_start(0), window_start(2)).await.unwrap();
    assert_eq!(read, [rollup(id, 0, 1), rollup(id, 1, 1), rollup(id, 1, 2)]);
    assert!(store.rollups(ClusterId::generate(), window_start(0), window_start(9)).await.unwrap().is_empty());
}

pub async fn gaps_concern_a_cluster_or_everybody(backend: Backend) {
    let store = backend.store().await;
    let clusters = register(&*store, &["one", "two"], 10).await;
    let gap =
        |cluster_id, from, to, reason: &str| Gap { cluster_id, from: at(from), to: at(to), reason: reason.to_owned() };
    let (id, other) = (clusters[0].id, clusters[1].id);
    let everybody = gap(ClusterId::FLEET, 10, 20, "stopped");
    let own = gap(id, 5, 12, "held");
    let gaps = [everybody.clone(), own.clone(), gap(other, 5, 12, "held"), gap(ClusterId::FLEET, 50, 60, "stalled")];
    store.append(&[event(ClusterId::FLEET, 20, 1)], &gaps).await.unwrap();
    store.append(&[], &gaps).await.unwrap();
    assert_eq!(store.gaps(id, at(11), at(50)).await.unwrap(), [own, everybody.clone()]);
    assert_eq!(store.gaps(id, at(19), at(21)).await.unwrap(), [everybody]);
    assert!(store.gaps(id, at(20), at(50)).await.unwrap().is_empty(), "they only touch");
    assert_eq!(store.head().await.unwrap(), 20);
}

pub async fn the_janitor_removes_what_is_old_in_small_batches(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["one"], 10).await[0].id;
    let micros = |seconds| at(seconds).timestamp_micros();
    let batch = Batch {
        transitions: (0..10).map(|n| transition(id, n, State::Online, State::Offline)).collect(),
        rollups: (0..10).map(|n| rollup(id, n, 1)).collect(),
        events: (0..10).map(|n| event(id, micros(n), n + 2)).collect(),
        ..Batch::default()
    };
    store.record(&batch).await.unwrap();
    let gap =
        |from: i64| Gap { cluster_id: id, from: window_start(from), to: window_start(from + 1), reason: "held".into() };
    store.append(&[], &Vec::from_iter((0..10).map(gap))).await.unwrap();
    let retention =
        Retention { checks_before: window_start(5), transitions_before: at(5), events_before: at(5), batch: 2 };
    let mut rounds = Vec::new();
    loop {
        match store.prune(&retention).await.unwrap() {
            0 => break,
            removed => rounds.push(removed),
        }
    }
    assert!(rounds.iter().all(|removed| *removed <= 8), "at most two of each kind: {rounds:?}");
    let kept = store.transitions(id, at(0), at(100), 100).await.unwrap();
    assert_eq!(kept.iter().map(|transition| transition.at).min(), Some(at(5)));
    let kept = store.rollups(id, window_start(0), window_start(99)).await.unwrap();
    assert_eq!(kept.iter().map(|rollup| rollup.start).min(), Some(window_start(5)), "a rollup ends with its window");
    let kept = store.gaps(id, window_start(0), window_start(99)).await.unwrap();
    assert_eq!(kept.iter().map(|gap| gap.to).min(), Some(window_start(5)));
    let kept = store.events_after(0, 100).await.unwrap();
    assert_eq!(kept.len(), 5, "the one of the registration is old, too");
    assert_eq!(kept[0].position, micros(5));
}

pub async fn a_pruned_log_keeps_its_sequences_and_its_head(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["one"], 10).await[0].id;
    store.append(&[event(id, 11, 2), event(ClusterId::FLEET, 12, 1)], &[]).await.unwrap();
    store.mark_published(12).await.unwrap();
    let all = at(0) + TimeDelta::days(1);
    let retention = Retention { checks_before: all, transitions_before: all, events_before: all, batch: 100 };
    assert_eq!(store.prune(&retention).await.unwrap(), 3);
    assert_eq!(store.head().await.unwrap(), 12);
    assert_eq!(store.fetch(None).await.unwrap()[0].sequence, 2);
    let mut sequences = Ledger::sequences(&*store, &[id]).await.unwrap();
    sequences.sort();
    assert_eq!(sequences, [(ClusterId::FLEET, 1), (id, 2)]);
}
