//! `fleetbeat-loadtest spokes`: serve a fleet, show what it does, end on Ctrl-C.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use fleetbeat_loadtest::spokes::{Endpoints, Fleet, FleetHandle, FleetOptions, Playback, Ports, Role, Script, control};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::script::GenerateArguments;

/// Flags that say what a fleet is made of.
#[derive(Args, Clone, Debug)]
pub struct FleetArguments {
    /// How many spokes
    #[arg(long, short = 'n', default_value_t = 10)]
    count: usize,
    /// Index of the first spoke: several processes with the same seed can each serve a slice of one fleet
    #[arg(long, default_value_t = 1)]
    first: usize,
    /// Decides types, regions, environments and endpoints
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Optional endpoints: seeded, none, all, or a list with shares such as prometheus,loki=0.25
    #[arg(long, default_value = "seeded")]
    endpoints: Endpoints,
    /// Address of spoke 1; the others follow
    #[arg(long, default_value_t = Ipv4Addr::new(127, 20, 0, 1))]
    base: Ipv4Addr,
    /// Ports of API server, Prometheus, Tempo and Loki, or `any` for free ones
    #[arg(long, default_value = "6443,9090,3200,3100")]
    ports: Ports,
    /// Put before every name
    #[arg(long, default_value = "")]
    prefix: String,
    /// API servers want a bearer token, each spoke its own (see GET /spokes)
    #[arg(long)]
    require_token: bool,
    /// Roles served without TLS, such as prometheus,loki
    #[arg(long, value_delimiter = ',')]
    plain: Vec<Role>,
    /// Healthy servers close connections idle for so many seconds (a kube-apiserver: 90)
    #[arg(long)]
    idle_close: Option<f64>,
    /// Connections expected at once per endpoint, for the descriptor budget
    #[arg(long, default_value_t = 1)]
    connections: usize,
}

impl FleetArguments {
    /// The options these flags mean.
    pub fn options(&self) -> FleetOptions {
        FleetOptions {
            count: self.count,
            first: self.first,
            seed: self.seed,
            base: self.base,
            ports: self.ports,
            endpoints: self.endpoints.clone(),
            prefix: self.prefix.clone(),
            require_token: self.require_token,
            plain: self.plain.clone(),
            idle_close: self.idle_close.map(Duration::from_secs_f64),
            connections_per_endpoint: self.connections,
            ..FleetOptions::default()
        }
    }
}

/// Flags of `spokes`.
#[derive(Args)]
pub struct SpokesArguments {
    #[command(flatten)]
    fleet: FleetArguments,
    #[command(flatten)]
    generate: GenerateArguments,
    /// Where the control API listens (loopback only)
    #[arg(long, default_value = "127.0.0.1:8090")]
    control: SocketAddr,
    /// Write ca.pem, fleet.json, truth.jsonl and control.addr into this directory
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the body for POST /api/v1/clusters:import here (.json or .yaml)
    #[arg(long)]
    write: Option<PathBuf>,
    /// Write the truth log here as JSON lines
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Play this script (YAML or JSON)
    #[arg(long, conflicts_with = "script_minutes")]
    script: Option<PathBuf>,
    /// Generate and play a script of so many minutes
    #[arg(long)]
    script_minutes: Option<f64>,
    /// Seconds to wait before the script begins (time to register the fleet)
    #[arg(long, default_value_t = 0.0)]
    script_after: f64,
    /// End when the script is over
    #[arg(long)]
    exit_after_script: bool,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Show progress
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Progress {
    /// On a terminal
    Auto,
    Never,
}

/// Serves until Ctrl-C, `POST /stop` or the end of the script.
pub fn run(arguments: &SpokesArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.max(1))
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &SpokesArguments) -> anyhow::Result<()> {
    let mut options = arguments.fleet.options();
    options.truth_file = truth_file(arguments)?;
    let fleet = Fleet::start(&options)?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let control = control::serve(fleet.handle(), arguments.control).await?;
    write_files(arguments, &fleet, control)?;
    introduce(&fleet, control);
    let script = script(arguments, &fleet)?;
    tokio::select! {
        () = fleet.stopped() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        done = play(arguments, &fleet, script) => done?,
        () = show(arguments, &fleet) => {}
    }
    summarize(&fleet);
    Ok(())
}

fn truth_file(arguments: &SpokesArguments) -> anyhow::Result<Option<PathBuf>> {
    if let Some(dir) = &arguments.dir {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let in_dir = || arguments.dir.as_ref().map(|dir| dir.join("truth.jsonl"));
    Ok(arguments.truth.clone().or_else(in_dir))
}

fn write_files(arguments: &SpokesArguments, fleet: &FleetHandle, control: SocketAddr) -> anyhow::Result<()> {
    if let Some(dir) = &arguments.dir {
        write(&dir.join("ca.pem"), fleet.ca_pem())?;
        write(&dir.join("control.addr"), &format!("{control}\n"))?;
        write_registration(&dir.join("fleet.json"), fleet)?;
    }
    arguments.write.as_deref().map_or(Ok(()), |path| write_registration(path, fleet))
}

fn write_registration(path: &Path, fleet: &FleetHandle) -> anyhow::Result<()> {
    let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let registrations = fleet.registrations();
    let text =
        if yaml { serde_saphyr::to_string(&registrations)? } else { serde_json::to_string_pretty(&registrations)? };
    write(path, &text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn script(arguments: &SpokesArguments, fleet: &FleetHandle) -> anyhow::Result<Option<Script>> {
    if let Some(path) = &arguments.script {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let script = Script::parse(&text)?;
        script.check(fleet.spokes())?;
        return Ok(Some(script));
    }
    let seed = arguments.fleet.options().seed;
    let generated = |minutes| Script::generate(fleet.spokes(), &arguments.generate.options(seed, minutes));
    Ok(arguments.script_minutes.map(generated))
}

/// Plays the script; returns only when the fleet should end with it.
async fn play(arguments: &SpokesArguments, fleet: &FleetHandle, script: Option<Script>) -> anyhow::Result<()> {
    if let Some(script) = script {
        tokio::time::sleep(Duration::from_secs_f64(arguments.script_after.max(0.0))).await;
        let playback = fleet.play(script)?;
        eprintln!("script: {} changes in {} s", playback.total(), playback.duration().as_secs());
        finish(playback).await?;
        eprintln!("script: over");
        if arguments.exit_after_script {
            return Ok(());
        }
    }
    std::future::pending().await
}

async fn finish(playback: Playback) -> anyhow::Result<()> {
    playback.wait().await.context("the script could not be played to its end")
}

fn introduce(fleet: &FleetHandle, control: SocketAddr) {
    let spokes = fleet.spokes();
    let endpoints: usize = spokes.iter().map(|spoke| spoke.endpoints.len()).sum();
    let (first, last) = (&spokes[0], &spokes[spokes.len() - 1]);
    println!("{} simulated spokes with {endpoints} endpoints on {} to {}", spokes.len(), first.address, last.address);
    println!("first spoke  {} {}", first.name, first.url(Role::Api).unwrap_or_default());
    println!("control API  http://{control}");
}

/// Keeps a line with figures up to date on a terminal, for ever.
async fn show(arguments: &SpokesArguments, fleet: &FleetHandle) {
    if arguments.progress == Progress::Never || !stderr().is_terminal() {
        return std::future::pending().await;
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    let mut before = fleet.served().requests;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = fleet.served();
        let changes = *fleet.last_truth().borrow();
        bar.set_message(format!(
            "{} connections, {} requests/s, {} in all, {} handshakes, {changes} changes{}",
            now.open,
            now.requests - before,
            now.requests,
            now.handshakes,
            if now.turned_away > 0 { ", OUT OF DESCRIPTORS" } else { "" },
        ));
        before = now.requests;
        bar.tick();
    }
}

fn summarize(fleet: &FleetHandle) {
    let served = fleet.served();
    let changes = *fleet.last_truth().borrow();
    println!(
        "served {} requests over {} connections ({} handshakes, {} resumed, {} given up), {changes} changes, in {} s",
        served.requests,
        served.accepted,
        served.handshakes,
        served.resumed,
        served.handshake_failures,
        fleet.uptime_ms() / 1_000
    );
    if served.turned_away > 0 {
        println!("{} connections were turned away for want of descriptors", served.turned_away);
    }
}
