//! PostgreSQL stopped, killed, cut off and misconfigured: the store says so in time, and works again by itself.
#![cfg(test)]

mod support;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use fleetbeat::store::{OpenError, Place, Store, StoreOptions, open};
use fleetbeat_actors::{
    event::{Event, EventDraft, EventType},
    ports::{Batch, StoreError},
    roll::ClusterId,
};
use secrecy::SecretString;
use sqlx::{Connection, PgConnection};
use support::{Postgres, eventually, in_time};
use tokio::time::Instant;

/// What no call may exceed, with what a busy machine adds.
const PATIENCE: Duration = Duration::from_millis(2_500);
const RETURN: Duration = Duration::from_secs(60);

/// With the limits that a store has by default.
fn hasty(url: &str) -> StoreOptions {
    StoreOptions { max_connections: 4, ..StoreOptions::new(Place::Server(SecretString::from(url.to_owned()))) }
}

/// With all the time that a busy machine takes.
fn at(url: &str) -> StoreOptions {
    let long = Duration::from_secs(30);
    StoreOptions { acquire_timeout: long, statement_timeout: long, call_timeout: long, ..hasty(url) }
}

fn event(position: i64) -> Arc<Event> {
    let now = DateTime::<Utc>::UNIX_EPOCH;
    let draft = EventDraft::new(EventType::MonitorDegraded, ClusterId::FLEET, now, serde_json::json!({}));
    Arc::new(Event::place(draft, position, position))
}

/// Every kind of call answers in time that the store is unavailable, also when many ask at once.
async fn assert_unavailable_in_time(store: &Arc<dyn Store>) {
    in_time(PATIENCE, async || assert_unavailable(store).await).await;
}

async fn assert_unavailable(store: &Arc<dyn Store>) {
    let calls = (0..12).map(|n| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let began = Instant::now();
            let answer = match n % 4 {
                0 => store.ping().await,
                1 => store.fetch(None).await.map(drop),
                2 => store.append(&[event(1_000 + n)], &[]).await,
                _ => store.record(&Batch { events: vec![event(2_000 + n)], ..Batch::default() }).await,
            };
            (answer, began.elapsed())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (answer, took) = call.await.unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable { doubtful: false, .. })), "{answer:?}");
        println!("unavailable after {} ms: {}", took.as_millis(), answer.unwrap_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_hangs_nobody_and_is_used_again_when_it_goes_on() {
    let mut postgres = Postgres::start_new().await;
    let store = open(&hasty(&postgres.database().await)).await.unwrap();
    eventually(RETURN, async || store.append(&[event(1)], &[]).await).await;
    postgres.pause();
    for _ in 0..2 {
        assert_unavailable_in_time(&store).await;
    }
    postgres.resume();
    let began = Instant::now();
    eventually(RETURN, || store.ping()).await;
    println!("answers again after {} ms", began.elapsed().as_millis());
    eventually(RETURN, async || store.append(&[event(2)], &[]).await).await;
    assert_eq!(store.events_after(0, 10).await.unwrap().len(), 2, "what was refused was not written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_database_belongs_to_one_process_until_that_gives_it_up() {
    let options = at(&Postgres::shared().await.database().await);
    let first = open(&options).await.unwrap();
    assert!(matches!(open(&options).await, Err(OpenError::InUse { .. })));
    first.close().await;
    open(&options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_used_again_when_it_returns() {
    let mut postgres = Postgres::start_new().await;
    let store = open(&hasty(&postgres.database().await)).await.unwrap();
    eventually(RETURN, async || store.append(&[event(1)], &[]).await).await;
    postgres.kill();
    assert_unavailable_in_time(&store).await;
    postgres.start().await;
    let began = Instant::now();
    eventually(RETURN, || store.ping()).await;
    println!("answers again after {} ms", began.elapsed().as_millis());
    eventually(RETURN, async || store.append(&[event(2)], &[]).await).await;
    assert_eq!(store.events_after(0, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_unseen_cost_one_question() {
    let mut postgres = Postgres::start_new().await;
    let url = postgres.database().await;
    let store = open(&at(&url)).await.unwrap();
    for answer in futures_util::future::join_all((0..4).map(|_| store.ping())).await {
        answer.unwrap();
    }
    postgres.stop().await;
    postgres.start().await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    eventually(RETURN, async || {
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
        let held: i64 = sqlx::query_scalar(held).fetch_one(&mut other).await.unwrap();
        (held > 0).then_some(())
    })
    .await;
    // Longer than a connection is trusted without asking.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    store.append(&[event(1)], &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_held_by_somebody_else_is_not_waited_for() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let store = open(&hasty(&url)).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE clusters.events").execute(&mut other).await.unwrap();
    in_time(PATIENCE, async || {
        let answer = store.append(&[event(1)], &[]).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { doubtful: false, .. })), "{answer:?}");
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    eventually(RETURN, async || store.append(&[event(1)], &[]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_gets_no_answer_is_doubtful() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let store = open(&at(&url)).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    // A deferred trigger that takes its time makes the commit itself slow.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'; \
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON clusters.events DEFERRABLE INITIALLY DEFERRED \
        FOR EACH ROW EXECUTE FUNCTION slow()";
    sqlx::raw_sql(slow).execute(&mut other).await.unwrap();
    let options = StoreOptions { statement_timeout: Duration::from_secs(60), ..hasty(&url) };
    store.close().await;
    let impatient = open(&options).await.unwrap();
    let answer = impatient.append(&[event(1)], &[]).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { doubtful: true, .. })), "{answer:?}");
    impatient.close().await;
    let store = open(&StoreOptions { call_timeout: Duration::from_secs(60), ..hasty(&url) }).await.unwrap();
    let answer = store.append(&[event(2)], &[]).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { doubtful: false, .. })), "the server refused: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_doubt_is_looked_for_only_when_it_has_ended() {
    let url = Postgres::shared().await.database().await;
    let setting_up = open(&at(&url)).await.unwrap();
    setting_up.close().await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(8); RETURN NULL; END'; \
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON clusters.events DEFERRABLE INITIALLY DEFERRED \
        FOR EACH ROW EXECUTE FUNCTION slow()";
    sqlx::raw_sql(slow).execute(&mut other).await.unwrap();
    let store = open(&StoreOptions { statement_timeout: Duration::from_secs(60), ..hasty(&url) }).await.unwrap();
    let in_doubt = event(1);
    let answer = store.append(&[Arc::clone(&in_doubt)], &[]).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { doubtful: true, .. })), "{answer:?}");
    let mut asked = 0;
    let found = loop {
        match store.stored(&[in_doubt.event_id]).await {
            Ok(found) => break found,
            Err(StoreError::Unavailable { doubtful: false, .. }) if asked < 100 => asked += 1,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(found, [in_doubt.event_id]);
    assert!(asked > 0, "nobody says that it is not there while it may still come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_and_the_certificate_verified() {
    let postgres = Postgres::start_with_tls().await;
    let url = postgres.database().await;
    let verified = format!("{url}?sslmode=verify-full&sslrootcert={}", postgres.ca_file().display());
    open(&at(&verified)).await.unwrap().ping().await.unwrap();
    open(&at(&format!("{url}?sslmode=require"))).await.unwrap().ping().await.unwrap();
    let refused = open(&at(&format!("{url}?sslmode=verify-full"))).await.err().unwrap();
    assert!(matches!(refused, OpenError::Unavailable(_)), "an unknown authority: {refused:?}");
    println!("{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_the_server_does_not_speak_is_not_done_without() {
    let url = Postgres::shared().await.database().await;
    let refused = open(&at(&format!("{url}?sslmode=require"))).await.err().unwrap();
    assert!(matches!(refused, OpenError::Unavailable(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_error_tells_the_password() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let secret = "hunter2-pa%24%24";
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, (_, host)) = rest.split_once(':').map(|(user, rest)| (user, rest.split_once('@').unwrap())).unwrap();
    let wrong = format!("{scheme}://{user}:{secret}@{host}");
    let variants = [
        wrong.clone(),
        format!("{scheme}://{user}:{secret}@127.0.0.1:1/x"),
        format!("{scheme}://{user}:{secret}@no-such-host.invalid/x"),
        format!("{scheme}://{user}:{secret}@{host}?sslmode={secret}"),
        format!("{scheme}://{user}:{secret}@{host}?passwort={secret}"),
        format!("{scheme}://{user}:{secret}@[::bad/{secret}"),
        format!("mysql://{user}:{secret}@{host}"),
        format!("{scheme}://{user}:{secret}@{host}?sslmode=require&sslrootcert=/nowhere/{user}"),
    ];
    for variant in variants {
        let options = hasty(&variant);
        let mut refused = None;
        in_time(PATIENCE, async || refused = open(&options).await.err()).await;
        let refused = refused.expect("nothing of it can be used");
        let told = format!("{refused} {refused:?} {options:?}");
        println!("{refused}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_quotes_nothing_that_was_stored() {
    let store = open(&at(&Postgres::shared().await.database().await)).await.unwrap();
    store.append(&[event(1)], &[]).await.unwrap();
    let Err(StoreError::Broken(told)) = store.append(&[event(1)], &[]).await else { panic!("one position twice") };
    assert_eq!(told, "PostgreSQL: 23505, constraint events_pkey");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_rights_on_the_database_works_in_a_schema_made_for_it() {
    let postgres = Postgres::start_new().await;
    let setup = "CREATE ROLE app LOGIN PASSWORD 'app'; REVOKE CREATE ON DATABASE postgres FROM PUBLIC; \
        CREATE SCHEMA clusters AUTHORIZATION app";
    postgres.execute("postgres", setup.to_owned()).await;
    let url = format!("postgresql://app:app@127.0.0.1:{}/postgres", postgres.port());
    open(&at(&url)).await.unwrap().append(&[event(1)], &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_write_stays_in_its_page_and_touches_no_index() {
    use fleetbeat_actors::health::Status;
    // A server of its own: an open transaction, also in another database, keeps old row versions alive.
    let postgres = Postgres::start_new().await;
    let url = postgres.database().await;
    let store = open(&at(&url)).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let rows = "INSERT INTO clusters.clusters SELECT gen_random_uuid(), 'spoke-' || n, NULL, 'https://127.0.0.1', 'HUB', \
        'KUBERNETES', NULL, NULL, 'LAB', '{}', '{}', NULL, NULL, '{}', NULL, 1, NULL, now(), now() \
        FROM generate_series(1, 2000) AS n; \
        INSERT INTO clusters.cluster_status (cluster_id, version, observed_generation, since, health_score, connected, \
        flapping, held, state, findings, memory) \
        SELECT id, 0, 0, now(), 0, false, false, false, 'UNKNOWN', '{}', '{}' FROM clusters.clusters";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    let ids: Vec<_> = store.revisions().await.unwrap().into_iter().map(|(id, _)| id).collect();
    for version in 1..=6 {
        let status = Arc::new(Status { version, ..Status::unknown(DateTime::UNIX_EPOCH) });
        // A tenth at a time, as the recorder's flushes do.
        for ids in ids.chunks(200) {
            let statuses = ids.iter().map(|id| (*id, Arc::clone(&status))).collect();
            store.record(&Batch { statuses, ..Batch::default() }).await.unwrap();
        }
    }
    store.close().await;
    let statistics = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'cluster_status'";
    let (updates, in_page) = eventually(RETURN, async || {
        let answer: (i64, i64) = sqlx::query_as(statistics).fetch_one(&mut connection).await.unwrap();
        (answer.0 == 12_000).then_some(answer)
    })
    .await;
    println!("{in_page} of {updates} status writes stayed in their page");
    assert!(in_page * 100 >= updates * 90, "{in_page} of {updates}");
}
