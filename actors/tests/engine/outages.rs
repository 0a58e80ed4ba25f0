//! The store or the publisher away: what goes on, what waits, and what is there afterwards.

use std::{sync::Arc, time::Duration};

use fleetbeat_actors::{
    event::{Event, EventDraft, EventType},
    health::State,
    ports::{Batch, Clock, Ledger},
    roll::ClusterId,
    testing::{Behaviour, clusters},
};
use serde_json::json;

use crate::House;

#[tokio::test(start_paused = true)]
async fn without_the_store_everything_goes_on_and_is_written_when_it_returns() {
    let fleet = clusters(40);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    house.store.set_away(true);
    house.fleet.set(fleet[0].id, Behaviour::Failing);
    house.pass(40).await;
    house.fleet.set(fleet[0].id, Behaviour::Healthy);
    house.pass(40).await;
    assert_eq!(house.state(fleet[0].id), State::Online);
    assert_eq!(house.states(fleet[0].id), [State::Online]);
    let told = house.publisher.published();
    assert_eq!(told.iter().filter(|event| event.cluster_id == fleet[0].id).count(), 3);
    assert_eq!(house.engine.outbox().unsaved(), 2);
    house.store.set_away(false);
    house.pass(3).await;
    assert_eq!(house.engine.outbox().unsaved(), 0);
    assert_eq!(house.states(fleet[0].id), [State::Online, State::Offline, State::Online]);
    assert_eq!(house.publisher.published(), house.store.log());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_changed_while_the_store_was_away_is_watched_as_soon_as_it_is_back() {
    let fleet = clusters(2);
    let house = House::of(&fleet[..1]).await;
    house.store.put(Arc::clone(&fleet[1]));
    house.store.set_away(true);
    house.engine.poke(fleet[1].id);
    house.pass(5).await;
    assert!(house.engine.board().get(fleet[1].id).is_none());
    house.store.set_away(false);
    house.pass(3).await;
    assert!(house.engine.board().get(fleet[1].id).is_some(), "the comparison with the roll comes once a minute only");
}

#[tokio::test(start_paused = true)]
async fn however_many_clusters_changed_a_store_that_is_away_is_asked_for_them_every_two_seconds_only() {
    let fleet = clusters(100);
    let house = House::of(&fleet).await;
    house.store.set_away(true);
    let before = house.store.look_ups();
    for cluster in &fleet {
        house.engine.poke(cluster.id);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    house.pass(10).await;
    let look_ups = house.store.look_ups() - before;
    assert!((9..=11).contains(&look_ups), "{look_ups} in 20 s");
}

#[tokio::test(start_paused = true)]
async fn before_anybody_hears_of_an_event_that_is_not_stored_it_is_marked() {
    let fleet = clusters(20);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    let heard = house.publisher.published().last().unwrap().position;
    house.store.set_away(true);
    fleet[..2].iter().for_each(|cluster| house.fleet.set(cluster.id, Behaviour::Failing));
    house.pass(40).await;
    let first = &house.store.log().len();
    let told = house.publisher.published()[*first].clone();
    assert_eq!(*house.mark.raised.lock().unwrap(), [(told.timestamp, heard)], "once, before the first was told");
    house.store.set_away(false);
    house.pass(3).await;
    house.store.set_away(true);
    doubtful_write(&house, fleet[2].id).await;
    house.fleet.set(fleet[2].id, Behaviour::Failing);
    house.pass(40).await;
    assert_eq!(house.engine.outbox().unsaved(), 0, "its place is not known");
    assert!(house.mark.raised.lock().unwrap().len() > 1, "what only waits may be lost as well");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_a_backlog_is_written_resumes_where_its_log_ends() {
    let fleet = clusters(400);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    house.store.set_away(true);
    for behaviour in [Behaviour::Failing, Behaviour::Healthy, Behaviour::Failing] {
        fleet.iter().step_by(4).for_each(|cluster| house.fleet.set(cluster.id, behaviour));
        house.pass(40).await;
    }
    assert_eq!(house.engine.outbox().unsaved(), 300);
    let before = house.store.writes();
    house.store.set_away(false);
    house.pass(3).await;
    assert!(house.store.writes() - before > 3, "more than one write can hold");
    assert_eq!((house.engine.outbox().unsaved(), house.store.torn()), (0, 0));
    assert_eq!(house.store.transitions_of(fleet[0].id).len(), 4);
}

/// A write of a user whose outcome nobody heard of. Returns its event.
async fn doubtful_write(house: &House, id: ClusterId) -> Arc<Event> {
    let mut pen = house.engine.outbox().pen(Duration::from_secs(1)).await.unwrap();
    let draft = EventDraft::new(EventType::ClusterUpdated, id, house.clock.wall(), json!({}));
    let event = pen.write(draft).unwrap();
    pen.doubt();
    event
}

fn sequences_of(events: &[Arc<Event>], id: ClusterId) -> Vec<i64> {
    events.iter().filter(|event| event.cluster_id == id).map(|event| event.sequence).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_in_doubt_keeps_nobody_else_from_being_told_of() {
    let fleet = clusters(20);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    house.store.set_away(true);
    doubtful_write(&house, fleet[0].id).await;
    fleet[..2].iter().for_each(|cluster| house.fleet.set(cluster.id, Behaviour::Failing));
    house.pass(60).await;
    assert_eq!(sequences_of(&house.publisher.published(), fleet[1].id), [1, 2]);
    assert_eq!(sequences_of(&house.publisher.published(), fleet[0].id), [1], "its place is not known yet");
    house.store.set_away(false);
    house.pass(3).await;
    assert_eq!(house.engine.outbox().unsaved(), 0);
    for cluster in &fleet[..2] {
        assert_eq!(house.states(cluster.id), [State::Online, State::Offline]);
        assert_eq!(sequences_of(&house.publisher.published(), cluster.id), [1, 2]);
    }
    assert_eq!(house.publisher.published(), house.store.log());
}

#[tokio::test(start_paused = true)]
async fn a_write_in_doubt_that_happened_is_told_when_the_store_is_back() {
    let fleet = clusters(20);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    let written = doubtful_write(&house, fleet[0].id).await;
    house.store.record(&Batch { events: vec![Arc::clone(&written)], ..Batch::default() }).await.unwrap();
    house.store.set_away(true);
    fleet[..2].iter().for_each(|cluster| house.fleet.set(cluster.id, Behaviour::Failing));
    house.pass(60).await;
    house.store.set_away(false);
    house.pass(3).await;
    let told = house.publisher.published();
    assert_eq!(told.iter().filter(|event| event.event_id == written.event_id).count(), 1);
    assert_eq!(sequences_of(&told, fleet[0].id), [1, 2, 3]);
    assert!(told.windows(2).all(|pair| pair[0].position < pair[1].position));
    assert_eq!(told, house.store.log());
}

#[tokio::test(start_paused = true)]
async fn without_the_publisher_events_wait_in_the_log() {
    let fleet = clusters(40);
    let house = House::of(&fleet).await;
    house.publisher.set_away(true);
    house.pass(62).await;
    assert_eq!(house.publisher.published(), []);
    assert_eq!(house.store.log().len(), 40);
    house.publisher.set_away(false);
    house.pass(3).await;
    assert_eq!(house.publisher.published(), house.store.log());
}

#[tokio::test(start_paused = true)]
async fn what_the_publisher_has_forgotten_is_published_again_in_order() {
    let fleet = clusters(40);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    let log = house.store.log();
    house.publisher.forget_after(log[25].position);
    house.fleet.set(fleet[0].id, Behaviour::Failing);
    house.pass(40).await;
    assert_eq!(house.store.log().len(), 41);
    assert_eq!(house.publisher.published(), house.store.log());
}
