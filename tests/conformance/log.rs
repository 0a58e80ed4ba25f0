//! The event log: read in order, published up to one cursor.

use std::sync::Arc;

use fleetbeat::store::{Among, EventFilter};
use fleetbeat_actors::{
    event::{Event, EventType},
    ports::Batch,
    roll::ClusterId,
};

use super::{
    Backend,
    sample::{event, event_of, register},
};

fn positions(events: &[Arc<Event>]) -> Vec<i64> {
    events.iter().map(|event| event.position).collect()
}

pub async fn events_come_back_as_they_were_in_order(backend: Backend) {
    let store = backend.store().await;
    let id = ClusterId::generate();
    let huge = 1_750_000_000_123_456;
    let events: Vec<_> = [(20, 1), (21, 2), (500, 3), (huge, 4)].map(|(p, s)| event(id, p, s)).to_vec();
    store.append(&events[..2], &[]).await.unwrap();
    store.append(&events[2..], &[]).await.unwrap();
    assert_eq!(store.events_after(0, 100).await.unwrap(), events);
    assert_eq!(positions(&store.events_after(20, 2).await.unwrap()), [21, 500]);
    assert!(store.events_after(huge, 100).await.unwrap().is_empty());
    assert_eq!(store.head().await.unwrap(), huge);
}

pub async fn a_known_event_is_not_stored_again(backend: Backend) {
    let store = backend.store().await;
    let known = event(ClusterId::FLEET, 20, 1);
    store.append(&[Arc::clone(&known)], &[]).await.unwrap();
    store.append(&[Arc::clone(&known), event(ClusterId::FLEET, 21, 2)], &[]).await.unwrap();
    assert_eq!(positions(&store.events_after(0, 10).await.unwrap()), [20, 21]);
}

pub async fn a_known_event_moves_to_its_new_position(backend: Backend) {
    let store = backend.store().await;
    let [known, other] = [event(ClusterId::FLEET, 20, 1), event(ClusterId::FLEET, 21, 2)];
    store.append(&[Arc::clone(&known), Arc::clone(&other)], &[]).await.unwrap();
    let moved = Event::clone(&known);
    let moved = Arc::new(Event::stored(
        30,
        moved.event_id,
        moved.event_type,
        moved.cluster_id,
        moved.sequence,
        moved.timestamp,
        &moved.payload,
    ));
    store.record(&Batch { events: vec![Arc::clone(&moved)], ..Batch::default() }).await.unwrap();
    assert_eq!(store.events_after(0, 10).await.unwrap(), [other, moved]);
}

pub async fn it_is_known_which_events_are_stored(backend: Backend) {
    let store = backend.store().await;
    let [stored, other] = [event(ClusterId::FLEET, 20, 1), event(ClusterId::FLEET, 21, 2)];
    store.append(&[Arc::clone(&stored)], &[]).await.unwrap();
    assert_eq!(store.stored(&[stored.event_id, other.event_id]).await.unwrap(), [stored.event_id]);
    assert!(store.stored(&[]).await.unwrap().is_empty());
}

pub async fn events_are_filtered_by_cluster_and_type(backend: Backend) {
    let store = backend.store().await;
    let (one, two) = (ClusterId::generate(), ClusterId::generate());
    let events = [
        event_of(EventType::ClusterRegistered, one, 1, 1),
        event_of(EventType::ClusterRegistered, two, 2, 1),
        event_of(EventType::ClusterStatusChanged, one, 3, 2),
        event_of(EventType::ClusterStatusChanged, two, 4, 2),
        event_of(EventType::ClusterDeleted, one, 5, 3),
    ];
    store.append(&events, &[]).await.unwrap();
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    let of = |cluster_id, event_types: &[EventType]| EventFilter {
        cluster_id,
        event_types: event_types.to_vec(),
        ..all.clone()
    };
    let changed = EventType::ClusterStatusChanged;
    let cases = [
        (all.clone(), vec![1, 2, 3, 4, 5]),
        (EventFilter { after: 2, limit: 2, ..all.clone() }, vec![3, 4]),
        (of(Some(one), &[]), vec![1, 3, 5]),
        (EventFilter { after: 1, limit: 1, ..of(Some(one), &[]) }, vec![3]),
        (of(None, &[changed]), vec![3, 4]),
        (of(Some(two), &[changed, EventType::ClusterDeleted]), vec![4]),
        (of(Some(ClusterId::generate()), &[]), vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(positions(&store.events(&filter).await.unwrap()), expected, "{filter:?}");
    }
}

pub async fn events_of_some_clusters_and_of_removed_ones_are_read(backend: Backend) {
    let store = backend.store().await;
    let clusters = register(&*store, &["one", "two", "gone"], 10).await;
    let [one, two, gone] = [clusters[0].id, clusters[1].id, clusters[2].id];
    store.delete(gone, None, &event_of(EventType::ClusterDeleted, gone, 20, 2), &[]).await.unwrap();
    store.append(&[event(ClusterId::FLEET, 30, 1), event(one, 40, 2)], &[]).await.unwrap();
    let among = |cluster_ids: &[ClusterId], removed| EventFilter {
        among: Some(Among { cluster_ids: cluster_ids.to_vec(), removed }),
        limit: 100,
        ..EventFilter::default()
    };
    let cases = [
        (among(&[one], false), vec![10, 40]),
        (among(&[one, two], false), vec![10, 11, 40]),
        (among(&[], false), vec![]),
        (among(&[gone], false), vec![12, 20]),
        (among(&[two], true), vec![11, 12, 20, 30]),
        (EventFilter { after: 10, limit: 1, ..among(&[one], true) }, vec![12]),
        (EventFilter { event_types: vec![EventType::ClusterDeleted], ..among(&[one], true) }, vec![20]),
        (EventFilter { cluster_id: Some(two), ..among(&[one], false) }, vec![11]),
    ];
    for (filter, expected) in cases {
        assert_eq!(positions(&store.events(&filter).await.unwrap()), expected, "{filter:?}");
    }
}

pub async fn the_cursor_never_moves_back(backend: Backend) {
    let store = backend.store().await;
    let events: Vec<_> = (1..=5).map(|n| event(ClusterId::FLEET, n * 10, n)).collect();
    store.append(&events, &[]).await.unwrap();
    assert_eq!(store.waiting(store.published().await.unwrap()).await.unwrap(), 5);
    for (mark, published, waiting) in [(20, 20, 3), (10, 20, 3), (50, 50, 0), (0, 50, 0)] {
        store.mark_published(mark).await.unwrap();
        assert_eq!(store.published().await.unwrap(), published);
        assert_eq!(store.waiting(published).await.unwrap(), waiting);
    }
}

pub async fn a_reader_that_follows_the_head_misses_nothing(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["spoke"], 10).await[0].id;
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..200 {
                let events = vec![event(id, 11 + n, 2 + n)];
                store.record(&Batch { events, ..Batch::default() }).await.unwrap();
            }
        })
    };
    let (mut seen, mut position) = (Vec::new(), 0);
    while seen.len() < 201 {
        let ended = writer.is_finished();
        let events = store.events_after(position, 17).await.unwrap();
        assert!(!ended || !events.is_empty(), "the writer failed");
        position = events.last().map_or(position, |event| event.position);
        seen.extend(positions(&events));
    }
    writer.await.unwrap();
    assert_eq!(seen, Vec::from_iter(10..211));
}
