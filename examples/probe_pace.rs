//! What the prober alone costs: opens a session per cluster of a fleet file, checks each once a period, and prints CPU
//! per 1,000 checks, resident memory per session, and the outcomes. No engine, no store.
//!
//! `cargo run --release --example probe_pace -- FLEET_JSON PERIOD_MS SECONDS`, with a fleet of
//! `fleetbeat-loadtest spokes --dir`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use fleetbeat::{
    credentials::InMemoryCredentials,
    probes::{AddressPolicy, HttpProber, ProbeOptions, Trust, descriptors_for_probes, raise_descriptor_limit},
};
use fleetbeat_actors::{
    health::{Endpoint, Outcome},
    ports::{Prober, Session},
    roll::{CheckOverrides, Cluster, ClusterId, ClusterType, Environment, Platform},
    target::{Policy, Target},
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, interval_at, sleep};

type Tally = Arc<Mutex<BTreeMap<String, usize>>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fleet, period, seconds] = &arguments[..] else { anyhow::bail!("FLEET_JSON PERIOD_MS SECONDS") };
    let (period, seconds) = (Duration::from_millis(period.parse()?), Duration::from_secs(seconds.parse()?));
    let targets = targets(fleet)?;
    let options =
        ProbeOptions { descriptors: descriptors_for_probes(raise_descriptor_limit(), 0), ..ProbeOptions::default() };
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    let prober = HttpProber::new(options, Trust::load(None)?, policy, Arc::<InMemoryCredentials>::default());
    let (pokes, tally) = (Arc::new(AtomicUsize::new(0)), Tally::default());

    let (count, before) = (targets.len(), resident_kib());
    for (index, target) in targets.into_iter().enumerate() {
        let counter = pokes.clone();
        let poke = Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let session = prober.open(Arc::new(target), poke, None);
        let offset = period.mul_f64(index as f64 / count as f64);
        tokio::spawn(watch(session, Instant::now() + offset, period, tally.clone()));
    }
    sleep(period + period / 2).await;
    println!(
        "{count} sessions, {:.1} KiB resident each, {:?}",
        (resident_kib() - before) / count as f64,
        prober.permits_in_use()
    );
    let (cpu, checks) = (cpu_ms(), total(&tally));
    sleep(seconds).await;
    let (cpu, checks) = (cpu_ms() - cpu, total(&tally) - checks);
    println!(
        "{checks} probes, {:.1} ms CPU per 1,000; {} pokes",
        cpu * 1_000.0 / checks as f64,
        pokes.load(Ordering::Relaxed)
    );
    for (outcome, times) in tally.lock().iter() {
        println!("{times:>8} {outcome}");
    }
    Ok(())
}

async fn watch(mut session: Box<dyn Session>, first: Instant, period: Duration, tally: Tally) {
    let mut ticks = interval_at(first, period);
    loop {
        ticks.tick().await;
        let report = session.check(false).await;
        let mut tally = tally.lock();
        for (endpoint, outcome) in Endpoint::ALL.into_iter().filter_map(|e| Some((e, report.outcome(e)?))) {
            let word = match outcome {
                Outcome::Healthy { .. } => "healthy".to_owned(),
                Outcome::Failed { failure, .. } => format!("{failure}"),
                Outcome::NotRun(reason) => format!("not run: {reason}"),
            };
            *tally.entry(format!("{} {word}", endpoint.as_str())).or_default() += 1;
        }
    }
}

fn total(tally: &Tally) -> usize {
    tally.lock().values().sum()
}

fn targets(fleet: &str) -> anyhow::Result<Vec<Target>> {
    let body: Value = serde_json::from_str(&std::fs::read_to_string(fleet)?)?;
    let items = body["clusters"].as_array().or_else(|| body["items"].as_array()).or_else(|| body.as_array());
    let items = items.ok_or_else(|| anyhow::anyhow!("no clusters in {fleet}"))?;
    let text = |item: &Value, key: &str| item[key].as_str().map(str::to_owned);
    let cluster = |item: &Value| Cluster {
        id: ClusterId::generate(),
        name: text(item, "name").unwrap_or_default(),
        display_name: None,
        api_server_url: text(item, "api_server_url").unwrap_or_default(),
        cluster_type: ClusterType::Spoke,
        platform: Platform::Kubernetes,
        platform_version: None,
        region: None,
        environment: Environment::Lab,
        labels: BTreeMap::new(),
        endpoints: serde_json::from_value(item["endpoints"].clone()).unwrap_or_default(),
        ca_bundle: text(item, "ca_bundle"),
        tls_server_name: text(item, "tls_server_name"),
        health_check: CheckOverrides::default(),
        source: None,
        capabilities: None,
        generation: 1,
        created_by: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    };
    Ok(items.iter().map(|item| Policy::default().target(Arc::new(cluster(item)))).collect())
}

fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// CPU time of all threads so far.
fn cpu_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let spent = |thread: std::fs::DirEntry| -> Option<f64> {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse().ok()
    };
    threads.filter_map(spent).sum::<f64>() / 1e6
}
