//! What the outside costs: the text of `/metrics` for 10,000 clusters, and the store's batches and reads.
//!
//! SQLite, and PostgreSQL: the empty database that `FLEETBEAT_BENCH_DATABASE_URL` names, else one of a server that is started for it, as
//! Debian sets one up (user `postgres` when run by root); without its programs it is left out.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, Criterion};
use fleetbeat::{
    exposition::Collector,
    store::{Place, Store, StoreOptions, open},
};
use fleetbeat_actors::{
    board::{Board, Entry},
    event::{Event, EventDraft, EventType},
    health::{Finding, State, Status},
    ports::Batch,
    roll::{Cluster, ClusterId},
    rollup::{Rollup, window_start},
    testing::{clusters, instant},
};
use fleetbeat_loadtest::stage::{Disk, Postgres, Scratch};
use tokio::runtime::Runtime;

const BATCH: usize = 1_000;
/// What a large fleet changes at once.
const FLUSH: usize = 10_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    metrics(&mut criterion);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    stores(&mut criterion, &runtime, Place::File(directory.path().join("bench.db")));
    match std::env::var("FLEETBEAT_BENCH_DATABASE_URL") {
        Ok(url) => stores(&mut criterion, &runtime, Place::Server(url.into())),
        Err(_) => own_server(&mut criterion, &runtime),
    }
    criterion.final_summary();
}

/// Measures a server of its own, which waits for its disk.
fn own_server(criterion: &mut Criterion, runtime: &Runtime) {
    let scratch = Scratch::new().expect("a temporary directory");
    match runtime.block_on(Postgres::start(&scratch, Disk::Synced)) {
        Ok(server) => stores(criterion, runtime, Place::Server(server.url().into())),
        Err(error) => println!("postgresql: SKIPPED: {error:#}"),
    }
}

fn wall(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(1_800_000_000_000_000_000) + TimeDelta::seconds(second)
}

fn status(version: i64) -> Status {
    let at = wall(version);
    let mut status =
        Status { version, state: State::Online, health_score: 100, connected: true, ..Status::unknown(at) };
    status.findings.api_server = Some(Finding { healthy: true, failure: None, latency_ms: 3 });
    status.last_check_at = Some(at);
    status.last_success_at = Some(at);
    status.latency_ms = Some(3);
    status
}

fn metrics(criterion: &mut Criterion) {
    let board = Board::default();
    for cluster in clusters(10_000) {
        let fresh_for = Duration::from_secs(70);
        board.put(Entry { cluster, status: Arc::new(status(1)), checked: instant(), fresh_for });
    }
    let collector = Collector::default();
    let collect = || collector.collect(&board, |_| true, None, None, instant());
    criterion.bench_function("exposition/10,000 clusters collected", |bench| bench.iter_with_large_drop(collect));
    criterion.bench_function("exposition/10,000 clusters", |bench| {
        bench.iter(|| collect().map(|chunk| chunk.len()).sum::<usize>());
    });
}

fn stores(criterion: &mut Criterion, runtime: &Runtime, place: Place) {
    let store = runtime.block_on(open(&StoreOptions::new(place))).expect("an empty database");
    let all = clusters(FLUSH);
    all.chunks(BATCH)
        .zip((1..).step_by(BATCH))
        .for_each(|(some, from)| runtime.block_on(register(&*store, some, from)));
    let fleet = &all[..BATCH];
    let name = store.backend();
    let mut version = 1;
    criterion.bench_function(&format!("{name}/batch of 1,000 statuses and rollups"), |bench| {
        bench.iter(|| {
            version += 1;
            runtime.block_on(store.record(&batch(fleet, version))).expect("written");
        });
    });
    criterion.bench_function(&format!("{name}/one flush of 10,000 statuses"), |bench| {
        bench.iter_batched(
            || {
                version += 1;
                Batch { rollups: Vec::new(), ..batch(&all, version) }
            },
            |flush| runtime.block_on(store.record(&flush)).expect("written"),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function(&format!("{name}/1,000 events of the outbox"), |bench| {
        bench.iter(|| runtime.block_on(store.events_after(0, 1_000)).expect("read").len());
    });
    criterion.bench_function(&format!("{name}/the fleet of 10,000 fetched"), |bench| {
        bench.iter(|| runtime.block_on(store.fetch(None)).expect("read").len());
    });
    runtime.block_on(store.close());
}

async fn register(store: &dyn Store, fleet: &[Arc<Cluster>], from: i64) {
    let rows: Vec<_> = fleet.iter().map(|cluster| (Arc::clone(cluster), Status::unknown(wall(0)))).collect();
    let event = |(cluster, position): (&Arc<Cluster>, i64)| {
        let payload = serde_json::json!({"cluster_id": cluster.id, "name": cluster.name});
        let draft = EventDraft::new(EventType::ClusterRegistered, cluster.id, wall(0), payload);
        Arc::new(Event::place(draft, position, 1))
    };
    let events: Vec<_> = fleet.iter().zip(from..).map(event).collect();
    store.insert(&rows, &events, &[]).await.expect("registered");
}

fn batch(fleet: &[Arc<Cluster>], version: i64) -> Batch {
    let statuses = fleet.iter().map(|cluster| (cluster.id, Arc::new(status(version)))).collect();
    let rollups = fleet.iter().map(|cluster| rollup(cluster.id, version)).collect();
    Batch { statuses, rollups, alive_at: Some(wall(version)), ..Batch::default() }
}

fn rollup(cluster_id: ClusterId, second: i64) -> Rollup {
    Rollup {
        cluster_id,
        start: window_start(wall(second)),
        run: 1,
        checks: 10,
        failures: 0,
        latency_min_ms: 2,
        latency_mean_ms: 3.5,
        latency_max_ms: 9,
        latency_p95_ms: 8,
    }
}
