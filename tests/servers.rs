//! The tests' own servers: what `support` starts is real, dies and comes back as told, and leaves nothing behind.
#![cfg(test)]

mod support;

use std::path::Path;
use std::time::Duration;

use fred::prelude::*;
use sqlx::{Connection, PgConnection};
use support::{
    Client, KubeApiserver, Postgres, Prometheus, Redis, Subscriber, check_metrics, eventually, stream_entries,
};

const SOON: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_database_of_the_shared_postgres_is_its_own() {
    let postgres = Postgres::shared().await;
    let (one, other) = (postgres.database().await, postgres.database().await);
    for url in [one, other] {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (x int)").execute(&mut connection).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_keeps_what_was_committed() {
    let mut postgres = Postgres::start_new().await;
    postgres.execute("postgres", "CREATE TABLE t (x int); INSERT INTO t VALUES (7)".to_owned()).await;
    postgres.kill();
    assert!(PgConnection::connect(&postgres.url("postgres")).await.is_err());
    postgres.start().await;
    assert_eq!(seven(&postgres.url("postgres")).await, 7);
    postgres.stop().await;
    postgres.start().await;
    assert_eq!(seven(&postgres.url("postgres")).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_postgres_answers_nobody_until_it_is_resumed() {
    let mut postgres = Postgres::start_new().await;
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    postgres.pause();
    let silent = tokio::time::timeout(Duration::from_millis(300), connection.ping()).await;
    assert!(silent.is_err(), "an open connection of a stopped server answered");
    postgres.resume();
    eventually(SOON, || async { PgConnection::connect(&postgres.url("postgres")).await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_speaks_tls_to_those_who_trust_its_authority() {
    let postgres = Postgres::start_with_tls().await;
    let base = postgres.url("postgres");
    let trusting = format!("{base}?sslmode=verify-full&sslrootcert={}", postgres.ca_file().display());
    PgConnection::connect(&trusting).await.unwrap();
    assert!(PgConnection::connect(&format!("{base}?sslmode=verify-full")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_delivers_to_subscribers_and_keeps_its_stream_through_a_kill() {
    let mut redis = Redis::start_new().await;
    let mut subscriber = Subscriber::listen(&redis, &["plain", "many:*"]).await;
    publish(&redis, "plain", "1").await;
    publish(&redis, "many:a", "2").await;
    assert_eq!(subscriber.next(SOON).await.unwrap(), ("plain".to_owned(), "1".to_owned()));
    assert_eq!(subscriber.next(SOON).await.unwrap(), ("many:a".to_owned(), "2".to_owned()));
    redis.kill();
    redis.start().await;
    let entries = stream_entries(&redis, "stream", None).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(stream_entries(&redis, "stream", Some(&entries[0].0)).await, entries[1..]);
    eventually(SOON, async || {
        publish(&redis, "plain", "3").await;
        !subscriber.drain(Duration::from_millis(100)).await.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_lets_in_by_password_by_user_and_by_tls() {
    for redis in [
        Redis::start_with_password("s3cret").await,
        Redis::start_with_user("publisher", "s3cret").await,
        Redis::start_with_tls().await,
    ] {
        publish(&redis, "plain", "1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_redis_keeps_connections_and_is_silent() {
    let mut redis = Redis::start_new().await;
    let client = redis.client();
    client.init().await.unwrap();
    redis.pause();
    let silent = tokio::time::timeout(Duration::from_millis(300), client.ping::<String>(None)).await;
    assert!(silent.is_err());
    redis.resume();
    client.ping::<String>(None).await.unwrap();
    redis.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_is_ready_dies_and_comes_back() {
    let mut prometheus = Prometheus::start_new().await;
    assert_eq!(prometheus.query("1 + 1").await["1"], serde_json::Value::Null);
    let client = Client::new(&prometheus.url());
    prometheus.kill();
    assert!(client.try_get("/-/ready").await.is_err());
    prometheus.start().await;
    client.get("/-/ready").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_kube_apiserver_lets_in_whom_it_should() {
    let Some(mut server) = KubeApiserver::start_if_present().await else { return };
    let namespaces = "/api/v1/namespaces?limit=1";
    for (path, token, status) in [
        ("/readyz", None, 200),
        ("/readyz", Some("wrong"), 401),
        (namespaces, Some(server.token()), 200),
        (namespaces, None, 403),
    ] {
        let answer = server.ask(path, token).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} with {token:?}: {answer}");
    }
    server.kill();
    assert!(server.ask("/readyz", None).await.is_err());
    server.start().await;
}

#[test]
fn promtool_finds_what_is_wrong_with_metrics() {
    assert_eq!(check_metrics("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n"), "");
    assert!(check_metrics("# HELP a A.\n# TYPE a counter\na 1\n").contains("_total"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_server_leaves_no_process_and_no_directory() {
    let redis = Redis::start_new().await;
    let directory = redis.ca_file().parent().map(Path::to_owned).unwrap();
    let port = redis.port();
    assert!(directory.exists());
    drop(redis);
    assert!(!directory.exists());
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

async fn seven(url: &str) -> i32 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT x FROM t").fetch_one(&mut connection).await.unwrap()
}

async fn publish(redis: &Redis, channel: &str, text: &str) {
    let client = redis.client();
    client.init().await.unwrap();
    let _: i64 = client.publish(channel, text).await.unwrap();
    let _: String = client.xadd("stream", false, None, "*", ("text", text)).await.unwrap();
    client.quit().await.unwrap();
}
