//! Restarts: killed or asked to stop, it continues where it was, and says nothing new because of it.

use std::time::Duration;

use fleetbeat_loadtest::spokes::Behaviour;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::house::{House, stories};
use crate::support::{Postgres, Product, Redis, stream_entries};

/// What must be as before: everything but the stamps of the last check.
fn lasting(mut cluster: Value) -> Value {
    let status = cluster["status"].as_object_mut().unwrap();
    for stamp in ["last_check_at", "last_success_at", "latency_ms", "stale", "conditions"] {
        status.remove(stamp);
    }
    cluster
}

async fn survives_kills(product: Product) {
    let mut house = House::of(20, 5, product).await;
    house.set(2, Behaviour::Dead).await;
    house.until(2, "OFFLINE").await;
    house.set(4, Behaviour::Status { code: 503 }).await;
    house.until(4, "OFFLINE").await;
    house.until_logged(22).await;
    for _ in 0..3 {
        let before: Vec<Value> = [house.cluster(0).await, house.cluster(2).await, house.cluster(4).await].to_vec();
        let log = house.log().await;
        house.product.kill9();
        let ready = house.product.start().await;
        println!("ready {:.2} s after a kill", ready.as_secs_f64());
        let after: Vec<Value> = [house.cluster(0).await, house.cluster(2).await, house.cluster(4).await].to_vec();
        assert_eq!(
            before.into_iter().map(lasting).collect::<Vec<_>>(),
            after.into_iter().map(lasting).collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(house.log().await, log, "the restart caused events");
    }
    house.set(2, Behaviour::Healthy).await;
    house.until(2, "ONLINE").await;
    house.until_logged(23).await;
    assert_eq!(stories(&house.log().await)[&house.name(2)], ["ONLINE", "OFFLINE", "ONLINE"]);
    let history = format!("/api/v1/clusters/{}/history", house.cluster(2).await["id"].as_str().unwrap());
    let history = house.client.get(&history).await.expect(200).json();
    assert_eq!(history["transitions"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_continues_where_it_was_with_sqlite() {
    survives_kills(Product::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_continues_where_it_was_with_postgresql() {
    let url = Postgres::shared().await.database().await;
    survives_kills(Product::new().set("database_url", url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_ends_well_and_soon() {
    let mut house = House::of(20, 5, Product::new()).await;
    house.set(1, Behaviour::Hang).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = house.product.terminate(Duration::from_secs(40)).await;
    assert!(status.success(), "{status}");
    assert!(house.product.logs().contains("nothing was left behind"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_in_the_middle_of_changes_it_writes_and_publishes_them_first() {
    let (redis, url) = (Redis::start_new().await, Postgres::shared().await.database().await);
    let mut house = House::of(20, 5, Product::new().set("database_url", &url).set("redis_url", redis.url())).await;
    for index in 1..=5 {
        house.set(index, Behaviour::Dead).await;
    }
    house.until(1, "OFFLINE").await;
    let status = house.product.terminate(Duration::from_secs(40)).await;
    assert!(status.success(), "{status}");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let logged = "SELECT e.event_id::text FROM clusters.events e WHERE e.event_type = 'CLUSTER_STATUS_CHANGED' ORDER BY position";
    let logged: Vec<String> = sqlx::query_scalar(logged).fetch_all(&mut connection).await.unwrap();
    let untold = "SELECT count(*) FROM clusters.transitions t FULL JOIN clusters.events e USING (event_id) \
        WHERE t.event_id IS NULL AND e.event_type = 'CLUSTER_STATUS_CHANGED' OR e.event_id IS NULL";
    let untold: i64 = sqlx::query_scalar(untold).fetch_one(&mut connection).await.unwrap();
    let torn = "SELECT count(*) FROM clusters.cluster_status s WHERE state <> \
        (SELECT new_state FROM clusters.transitions t WHERE t.cluster_id = s.cluster_id ORDER BY occurred_at DESC LIMIT 1)";
    let torn: i64 = sqlx::query_scalar(torn).fetch_one(&mut connection).await.unwrap();
    assert!(logged.len() > 20 && (untold, torn) == (0, 0), "{logged:?} {untold} {torn}");
    let entries = stream_entries(&redis, "aiops:stream:events", None).await;
    let changes =
        entries.iter().map(|(_, fields)| fields).filter(|fields| fields["event_type"] == "CLUSTER_STATUS_CHANGED");
    assert_eq!(changes.map(|fields| fields["event_id"].clone()).collect::<Vec<_>>(), logged);
}
