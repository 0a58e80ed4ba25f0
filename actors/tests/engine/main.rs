//! The engine as a whole, on a paused clock, over a fake fleet and a store in memory.
#![cfg(test)]

mod outages;

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{
    board::Entry,
    doubt::DoubtRules,
    engine::{CheckNowError, Engine, EngineParts},
    event::EventType,
    health::{Outcome, State},
    outbox::Outbox,
    ports::{Clock, Marker},
    recorder::RecorderRules,
    roll::{Cluster, ClusterId, Endpoints},
    target::Policy,
    testing::{Behaviour, FakeFleet, MemoryPublisher, MemoryStore, TestClock, cluster, clusters},
};

struct House {
    engine: Engine,
    fleet: FakeFleet,
    store: Arc<MemoryStore>,
    publisher: Arc<MemoryPublisher>,
    clock: Arc<TestClock>,
    mark: Arc<Mark>,
}

/// When events were to be marked as unsaved: since when, and the newest event that anybody had seen by then.
#[derive(Default)]
struct Mark {
    outbox: OnceLock<Arc<Outbox>>,
    raised: Mutex<Vec<(DateTime<Utc>, i64)>>,
}

#[async_trait]
impl Marker for Mark {
    async fn raise(&self, since: DateTime<Utc>) {
        let seen = *self.outbox.get().unwrap().head().borrow();
        self.raised.lock().unwrap().push((since, seen));
    }
}

impl House {
    async fn of(clusters: &[Arc<Cluster>]) -> Self {
        Self::over(MemoryStore::with(clusters), FakeFleet::default()).await
    }

    async fn over(store: Arc<MemoryStore>, fleet: FakeFleet) -> Self {
        let (clock, publisher) = (Arc::new(TestClock::default()), Arc::new(MemoryPublisher::default()));
        let mark = Arc::<Mark>::default();
        let engine = Engine::start(EngineParts {
            policy: Policy::default(),
            doubt: DoubtRules::default(),
            recorder: RecorderRules::default(),
            reconcile_every: Duration::from_secs(60),
            enabled: true,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            prober: Arc::new(fleet.clone()),
            roll: Arc::clone(&store) as _,
            ledger: Arc::clone(&store) as _,
            log: Arc::clone(&store) as _,
            publisher: Some(Arc::clone(&publisher) as _),
            canaries: None,
            marker: Some(Arc::clone(&mark) as _),
        })
        .await
        .unwrap();
        let _ = mark.outbox.set(Arc::clone(engine.outbox()));
        Self { engine, fleet, store, publisher, clock, mark }
    }

    fn entry(&self, id: ClusterId) -> Entry {
        self.engine.board().get(id).unwrap()
    }

    fn state(&self, id: ClusterId) -> State {
        self.entry(id).status.state
    }

    fn states(&self, id: ClusterId) -> Vec<State> {
        self.store.transitions_of(id).iter().map(|transition| transition.new_state).collect()
    }

    fn is_stale(&self, id: ClusterId) -> bool {
        self.entry(id).is_stale(self.clock.now())
    }

    fn monitor_events(&self) -> Vec<EventType> {
        let events = self.store.log();
        events.iter().filter(|event| event.cluster_id == ClusterId::FLEET).map(|event| event.event_type).collect()
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

fn count(house: &House, ids: &[Arc<Cluster>], state: State) -> usize {
    ids.iter().filter(|cluster| house.state(cluster.id) == state).count()
}

#[tokio::test(start_paused = true)]
async fn every_cluster_is_checked_within_one_period_and_then_once_a_period() {
    let fleet = clusters(100);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    assert_eq!(count(&house, &fleet, State::Online), 100);
    house.pass(300).await;
    for cluster in &fleet {
        let checks = house.fleet.checks(cluster.id);
        assert!((11..=12).contains(&checks), "{checks}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_checks_are_spread_over_the_period() {
    let fleet = clusters(300);
    let house = House::of(&fleet).await;
    house.pass(10).await;
    let third = fleet.iter().filter(|cluster| house.fleet.checks(cluster.id) > 0).count();
    assert!((70..=130).contains(&third), "{third}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_cluster_is_offline_after_a_recheck_and_online_again_when_it_returns() {
    let fleet = clusters(20);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    let dead = fleet[3].id;
    house.fleet.set(dead, Behaviour::Refuses);
    house.fleet.close(dead);
    house.pass(1).await;
    assert_eq!(house.state(dead), State::Online);
    house.pass(3).await;
    assert_eq!(house.state(dead), State::Offline);
    house.fleet.set(dead, Behaviour::Healthy);
    house.pass(31).await;
    assert_eq!(house.state(dead), State::Online);
    assert_eq!(house.states(dead), [State::Online, State::Offline, State::Online]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_degrades_and_costs_its_points() {
    let mut metered = cluster("metered");
    metered.endpoints = Endpoints { prometheus_url: Some("https://prometheus.example".into()), ..Endpoints::default() };
    let metered = Arc::new(metered);
    let house = House::of(&[Arc::clone(&metered)]).await;
    house.pass(31).await;
    assert_eq!(house.state(metered.id), State::Online);
    house.fleet.set(metered.id, Behaviour::PrometheusDown);
    house.pass(33).await;
    let status = house.entry(metered.id).status;
    assert_eq!((status.state, status.health_score, status.connected), (State::Degraded, 80, true));
    assert_eq!(status.error_message().unwrap(), "Prometheus: connection refused");
}

#[tokio::test(start_paused = true)]
async fn one_hanging_cluster_delays_no_other() {
    let fleet = clusters(50);
    let house = House::of(&fleet).await;
    fleet[..15].iter().for_each(|cluster| house.fleet.set(cluster.id, Behaviour::Hangs));
    house.pass(330).await;
    for cluster in &fleet[15..] {
        assert!(house.fleet.checks(cluster.id) >= 10);
        assert_eq!(house.states(cluster.id), [State::Online]);
    }
}

#[tokio::test(start_paused = true)]
async fn sequences_have_no_gaps_and_the_publisher_sees_the_log_in_order() {
    let fleet = clusters(30);
    let house = House::of(&fleet).await;
    for round in 0..10 {
        let behaviour = if round % 2 == 0 { Behaviour::Failing } else { Behaviour::Healthy };
        fleet[..9].iter().for_each(|cluster| house.fleet.set(cluster.id, behaviour));
        house.pass(40).await;
    }
    let log = house.store.log();
    assert!(log.len() > 100);
    for cluster in &fleet {
        let sequences: Vec<_> = log.iter().filter(|e| e.cluster_id == cluster.id).map(|e| e.sequence).collect();
        assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>());
        let transitions = house.store.transitions_of(cluster.id);
        assert!(transitions.windows(2).all(|pair| pair[0].new_state == pair[1].old_state));
    }
    assert!(log.windows(2).all(|pair| pair[0].position < pair[1].position));
    assert_eq!(house.publisher.published(), log);
}

#[tokio::test(start_paused = true)]
async fn a_registered_cluster_is_checked_at_once_and_a_deleted_one_no_more() {
    let house = House::of(&[]).await;
    let new = Arc::new(cluster("new"));
    house.store.put(Arc::clone(&new));
    house.engine.poke(new.id);
    house.pass(1).await;
    assert_eq!(house.state(new.id), State::Online);
    house.store.remove(new.id);
    house.engine.poke(new.id);
    house.pass(1).await;
    assert!(house.engine.board().get(new.id).is_none());
    let checks = house.fleet.checks(new.id);
    house.pass(120).await;
    assert_eq!(house.fleet.checks(new.id), checks);
    assert_eq!(house.engine.check_now(new.id, Duration::from_secs(1)).await, Err(CheckNowError::NotWatched));
}

#[tokio::test(start_paused = true)]
async fn a_lost_poke_is_mended_by_the_periodic_comparison() {
    let house = House::of(&[]).await;
    let new = Arc::new(cluster("new"));
    house.store.put(Arc::clone(&new));
    house.pass(61).await;
    assert_eq!(house.state(new.id), State::Online);
    house.store.remove(new.id);
    house.pass(61).await;
    assert!(house.engine.board().get(new.id).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_is_followed_at_once() {
    let old = Arc::new(cluster("moving"));
    let house = House::of(&[Arc::clone(&old)]).await;
    house.pass(31).await;
    let before = house.fleet.checks(old.id);
    let mut moved = (*old).clone();
    moved.generation = 2;
    moved.api_server_url = "https://elsewhere.example:6443".into();
    house.store.put(Arc::new(moved));
    house.engine.poke(old.id);
    house.pass(1).await;
    assert!(house.fleet.checks(old.id) > before);
    assert_eq!(house.entry(old.id).status.observed_generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_on_demand_answers_with_its_result() {
    let fleet = clusters(1);
    let house = House::of(&fleet).await;
    let report = house.engine.check_now(fleet[0].id, Duration::from_secs(10)).await.unwrap();
    assert!(matches!(report.api_server, Outcome::Healthy { .. }));
    assert_eq!(house.state(fleet[0].id), State::Online);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_actor_is_restarted_alone_and_announces_nothing_twice() {
    let fleet = clusters(20);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    let (down, panicking) = (fleet[0].id, fleet[1].id);
    house.fleet.set(down, Behaviour::Failing);
    house.fleet.set(panicking, Behaviour::PanicsInCheck);
    house.pass(65).await;
    house.fleet.set(panicking, Behaviour::PanicsInActor);
    house.pass(65).await;
    house.fleet.set(panicking, Behaviour::Healthy);
    house.pass(90).await;
    assert_eq!(house.states(panicking), [State::Online]);
    assert_eq!(house.states(down), [State::Online, State::Offline]);
    fleet[2..].iter().for_each(|cluster| assert_eq!(house.states(cluster.id), [State::Online]));
    assert!(!house.is_stale(panicking));
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_process_is_silent() {
    let fleet = clusters(20);
    let house = House::of(&fleet).await;
    house.fleet.set(fleet[0].id, Behaviour::Failing);
    house.pass(62).await;
    assert!(house.engine.stop(Duration::from_secs(10)).await);
    let (before, statuses) = (house.store.log(), house.store.status_of(fleet[0].id));
    let house = House::over(Arc::clone(&house.store), house.fleet.clone()).await;
    assert_eq!(house.state(fleet[0].id), State::Offline);
    house.pass(62).await;
    assert_eq!(house.store.log(), before);
    assert_eq!(house.store.status_of(fleet[0].id).unwrap().since, statuses.unwrap().since);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_run_changes_nothing_but_becomes_stale() {
    let fleet = clusters(12);
    let house = House::of(&fleet).await;
    house.pass(31).await;
    fleet.iter().for_each(|cluster| house.fleet.set(cluster.id, Behaviour::NotRun));
    house.pass(30).await;
    assert!(!house.is_stale(fleet[0].id));
    house.pass(300).await;
    assert_eq!(count(&house, &fleet, State::Online), 12);
    assert!(house.is_stale(fleet[0].id));
}

#[tokio::test(start_paused = true)]
async fn when_the_monitors_own_network_is_gone_states_are_held_and_said_to_be_stale() {
    for (behaviour, within) in [(Behaviour::Refuses, 10), (Behaviour::Hangs, 9)] {
        let fleet = clusters(200);
        let house = House::of(&fleet).await;
        house.pass(60).await;
        fleet.iter().for_each(|cluster| house.fleet.set(cluster.id, behaviour));
        house.pass(within).await;
        assert_eq!(house.monitor_events(), [EventType::MonitorDegraded], "{behaviour:?}");
        house.pass(600).await;
        assert_eq!(count(&house, &fleet, State::Online), 200, "{behaviour:?}");
        assert!(fleet.iter().all(|cluster| house.is_stale(cluster.id)));
        fleet.iter().for_each(|cluster| house.fleet.set(cluster.id, Behaviour::Healthy));
        house.pass(60).await;
        assert_eq!(house.monitor_events(), [EventType::MonitorDegraded, EventType::MonitorRecovered]);
        assert_eq!(count(&house, &fleet, State::Online), 200);
        assert!(fleet.iter().all(|cluster| house.states(cluster.id) == [State::Online]));
        assert!(!fleet.iter().any(|cluster| house.is_stale(cluster.id)));
    }
}

#[tokio::test(start_paused = true)]
async fn that_its_own_network_is_gone_is_noticed_within_ten_seconds_whatever_the_fleet_is_like() {
    for (size, slow, behaviour) in [
        (50, 0, Behaviour::Refuses),
        (50, 0, Behaviour::Hangs),
        (50, 50, Behaviour::Hangs),
        (400, 100, Behaviour::Hangs),
        (1_000, 0, Behaviour::Refuses),
    ] {
        let fleet = clusters(size);
        let house = House::of(&fleet).await;
        let slowly = Behaviour::Slow(Duration::from_millis(1_500));
        fleet[..slow].iter().for_each(|cluster| house.fleet.set(cluster.id, slowly));
        house.pass(120).await;
        // A fleet that is slow all at once is doubted for a moment.
        assert_ne!(house.monitor_events().last(), Some(&EventType::MonitorDegraded), "{size}, {slow} slow");
        fleet.iter().for_each(|cluster| house.fleet.set(cluster.id, behaviour));
        house.pass(10).await;
        let last = house.monitor_events().last().copied();
        assert_eq!(last, Some(EventType::MonitorDegraded), "{size}, {slow} slow, {behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clusters_that_die_one_by_one_cost_the_others_few_more_checks() {
    let fleet = clusters(300);
    let house = House::of(&fleet).await;
    house.pass(60).await;
    let checks = || fleet.iter().map(|cluster| house.fleet.checks(cluster.id)).sum::<u64>();
    let before = checks();
    for (n, cluster) in fleet[..100].iter().enumerate() {
        house.fleet.set(cluster.id, if n % 2 == 0 { Behaviour::Refuses } else { Behaviour::Hangs });
        house.pass(3).await;
    }
    house.pass(60).await;
    assert_eq!(count(&house, &fleet, State::Offline), 100);
    let (done, nominal) = (checks() - before, 300.0 * 360.0 / 30.0);
    println!("{done} checks where the periods make {nominal}");
    assert!((done as f64) < 1.3 * nominal, "{done} of {nominal}");
}

#[tokio::test(start_paused = true)]
async fn a_third_of_the_fleet_dying_at_once_is_reported() {
    for behaviour in [Behaviour::Refuses, Behaviour::Hangs] {
        let fleet = clusters(300);
        let house = House::of(&fleet).await;
        house.pass(60).await;
        for cluster in &fleet[..100] {
            house.fleet.set(cluster.id, behaviour);
            house.fleet.close(cluster.id);
        }
        house.pass(if behaviour == Behaviour::Refuses { 6 } else { 26 }).await;
        assert_eq!(count(&house, &fleet, State::Offline), 100, "{behaviour:?}");
        assert_eq!(house.monitor_events(), []);
        assert_eq!(count(&house, &fleet[100..], State::Online), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_the_process_changes_no_state() {
    let fleet = clusters(50);
    let house = House::of(&fleet).await;
    house.pass(60).await;
    fleet.iter().for_each(|cluster| house.fleet.set(cluster.id, Behaviour::Slow(Duration::from_secs(4))));
    house.pass(2).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    house.pass(60).await;
    assert!(fleet.iter().all(|cluster| house.states(cluster.id) == [State::Online]));
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_are_written_more_often_than_idle_statuses() {
    let house = House::of(&clusters(20)).await;
    for _ in 0..20 {
        house.pass(13).await;
        let silence = house.clock.wall() - house.store.last_alive().unwrap();
        assert!(silence <= TimeDelta::seconds(11), "{silence}");
    }
}

#[tokio::test(start_paused = true)]
async fn checks_are_rolled_up_and_idle_statuses_written_in_batches() {
    let fleet = clusters(20);
    let house = House::of(&fleet).await;
    house.pass(700).await;
    let rollups = house.store.rollups();
    let of_first: Vec<_> = rollups.iter().filter(|rollup| rollup.cluster_id == fleet[0].id).collect();
    assert!(of_first.iter().any(|rollup| rollup.checks == 10 && rollup.failures == 0 && rollup.latency_p95_ms == 1));
    assert!(house.store.writes() < 120, "{}", house.store.writes());
}
