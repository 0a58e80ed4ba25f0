//! What a crowd of listeners of the live stream gets, held against the log: is anything lost, there twice or out of order, and how
//! far behind is it? `cargo run --release -p fleetbeat-loadtest --example listeners -- --help` tells the flags.
//!
//! Without `--rate` they listen to what the fleet does by itself. With it, the clusters that are registered are renamed so often.

mod calls;
mod door;
mod judge;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use fleetbeat_loadtest::clock::wall_ms;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use calls::Api;
use door::{Door, Heard, Line};
use judge::Figures;

/// How long the last events may take to everybody.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Arguments {
    /// Where fleetbeat listens, such as 127.0.0.1:8080; FLEETBEAT_TOKEN holds a token where it wants one
    address: String,
    /// Listeners of server-sent events
    #[arg(long, default_value_t = 500)]
    sse: usize,
    /// Listeners over WebSocket
    #[arg(long, default_value_t = 500)]
    ws: usize,
    /// Clusters renamed a second; 0: listen to what happens anyway
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// How long
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// WebSockets beside those, that read nothing for most of the time
    #[arg(long, default_value_t = 0)]
    slow: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let api = Api::new(&arguments.address);
    let before = api.newest(0).await?;
    let mut reading = JoinSet::new();
    let mut crowds = Vec::new();
    for (door, count) in [(Door::Sse, arguments.sse), (Door::WebSocket, arguments.ws)] {
        let mut crowd = Vec::new();
        for _ in 0..count {
            let (line, heard) = (Line::open(door, &arguments.address).await?, Arc::<Heard>::default());
            reading.spawn(door::follow(line, Arc::clone(&heard)));
            crowd.push(heard);
        }
        crowds.push((door, crowd));
    }
    let mut slow = JoinSet::new();
    for _ in 0..arguments.slow {
        let line = Line::open_narrow(Door::WebSocket, &arguments.address).await?;
        slow.spawn(door::sleep_then_read(line, Duration::from_secs(arguments.seconds * 2 / 3)));
    }
    let begin = api.newest(before).await?;
    let span = Duration::from_secs(arguments.seconds);
    let (began, began_ms) = (Instant::now(), wall_ms());
    let calls = if arguments.rate > 0 {
        calls::rename(&api, arguments.rate, span).await?
    } else {
        sleep(span).await;
        Vec::new()
    };
    let took = began.elapsed().as_secs_f64();
    let log = api.log(begin).await?;
    ensure!(!log.is_empty(), "nothing happened");
    println!("{} events in {took:.1} s ({:.1}/s) since {began_ms}", log.len(), log.len() as f64 / took);
    judge::told_of_calls(&calls);
    wait_for_the_last(&log, &crowds).await;
    println!("{}", Figures::head());
    for (door, crowd) in &crowds {
        if !crowd.is_empty() {
            println!("{}", Figures::of(&log, &calls, crowd).line(door.name()));
        }
    }
    let (count, mut told) = (slow.len(), 0);
    while let Some(end) = slow.join_next().await {
        told += usize::from(end??);
    }
    if count > 0 {
        println!("{told} of {count} slow ones were dropped and told (SLOW_CONSUMER)");
    }
    Ok(())
}

/// Until everybody has the last event, or patience ends.
async fn wait_for_the_last(log: &[calls::Logged], crowds: &[(Door, Vec<Arc<Heard>>)]) {
    let Some(last) = log.last() else { return };
    let end = Instant::now() + PATIENCE;
    let all = || crowds.iter().flat_map(|(_, crowd)| crowd).all(|heard| heard.has(last.event_id));
    while !all() && Instant::now() < end {
        sleep(Duration::from_millis(100)).await;
    }
}
