//! The outbox: places in the order of commits, nothing visible before, nothing lost after.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use fleetbeat_actors::{
    event::{EventDraft, EventType},
    outbox::{Outbox, OutboxError, Recent},
    ports::Clock,
    roll::ClusterId,
    testing::TestClock,
};
use serde_json::json;

const PATIENCE: Duration = Duration::from_millis(50);

fn outbox(known: &[(ClusterId, i64)]) -> Outbox {
    Outbox::new(Arc::new(TestClock::default()), 0, known.iter().copied())
}

fn draft(id: ClusterId) -> EventDraft {
    EventDraft::new(EventType::ClusterUpdated, id, TestClock::default().wall(), json!({ "cluster_id": id }))
}

fn visible(outbox: &Outbox) -> Vec<(ClusterId, i64)> {
    match outbox.after(0, 1_000) {
        Recent::Events(events) => {
            assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position));
            events.iter().map(|event| (event.cluster_id, event.sequence)).collect()
        }
        Recent::ReadLog => panic!("memory reaches back to the start"),
    }
}

#[tokio::test]
async fn sequences_continue_where_the_log_ended_and_start_at_one() {
    let (old, new) = (ClusterId::generate(), ClusterId::generate());
    let outbox = outbox(&[(old, 41)]);
    let mut pen = outbox.pen(PATIENCE).await.unwrap();
    for id in [old, new, old] {
        pen.write(draft(id)).unwrap();
    }
    assert_eq!(visible(&outbox), [], "nothing is seen before the commit");
    pen.commit();
    assert_eq!(visible(&outbox), [(old, 42), (new, 1), (old, 43)]);
}

#[tokio::test]
async fn a_pen_that_is_dropped_gives_its_places_back() {
    let id = ClusterId::generate();
    let outbox = outbox(&[(id, 7)]);
    let mut pen = outbox.pen(PATIENCE).await.unwrap();
    pen.write(draft(id)).unwrap();
    pen.write(draft(id)).unwrap();
    drop(pen);
    let mut pen = outbox.pen(PATIENCE).await.unwrap();
    assert_eq!(pen.write(draft(id)).unwrap().sequence, 8);
}

#[tokio::test]
async fn one_writer_at_a_time_and_no_waiting_for_ever() {
    let outbox = outbox(&[]);
    let _pen = outbox.pen(PATIENCE).await.unwrap();
    assert_eq!(outbox.pen(PATIENCE).await.err(), Some(OutboxError::Busy));
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_leaves_its_clusters_in_doubt_and_never_reuses_its_position() {
    let (doubted, other) = (ClusterId::generate(), ClusterId::generate());
    let outbox = outbox(&[(doubted, 1), (other, 1)]);
    let mut pen = outbox.pen(PATIENCE).await.unwrap();
    let lost = pen.write(draft(doubted)).unwrap();
    pen.doubt();
    assert_eq!(visible(&outbox), []);
    let mut pen = outbox.pen(PATIENCE).await.unwrap();
    assert_eq!(pen.write(draft(doubted)).err(), Some(OutboxError::InDoubt));
    assert!(pen.write(draft(other)).unwrap().position > lost.position);
}

#[tokio::test]
async fn a_deleted_cluster_is_no_longer_known() {
    let id = ClusterId::generate();
    let outbox = outbox(&[(id, 3)]);
    let mut pen = outbox.pen(PATIENCE).await.unwrap();
    assert!(pen.knows(id));
    pen.write(draft(id)).unwrap();
    pen.commit_and_forget(id);
    assert!(!outbox.pen(PATIENCE).await.unwrap().knows(id));
    assert_eq!(visible(&outbox), [(id, 4)]);
}

#[tokio::test]
async fn a_reader_that_is_too_far_behind_is_sent_to_the_log() {
    let id = ClusterId::generate();
    let outbox = outbox(&[(id, 0)]);
    let mut head = outbox.head();
    for _ in 0..9 {
        let mut pen = outbox.pen(PATIENCE).await.unwrap();
        (0..1_000).for_each(|_| drop(pen.write(draft(id)).unwrap()));
        pen.commit();
    }
    assert!(head.has_changed().unwrap());
    assert!(matches!(outbox.after(0, 10), Recent::ReadLog));
    let newest = *head.borrow_and_update();
    assert!(matches!(outbox.after(newest, 10), Recent::Events(events) if events.is_empty()));
}
