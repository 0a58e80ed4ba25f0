//! `fleetbeat-loadtest run` and `scenarios`.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use fleetbeat_loadtest::report::How;
use fleetbeat_loadtest::run::{Attached, Programs, RunOptions, run as run_scenario};
use fleetbeat_loadtest::scenario::{LIBRARY, Scenario, find};
use fleetbeat_loadtest::stage::can_keep_awake;
use tokio::signal::unix::{SignalKind, signal};

/// Flags of `run`.
#[derive(Args)]
pub struct RunArguments {
    /// A scenario of the library (see `scenarios`) or a YAML file
    scenario: String,
    /// Decides the fleet, the troubles and the outages; the scenario's when left out
    #[arg(long)]
    seed: Option<u64>,
    /// Where the report is written
    #[arg(long)]
    out: Option<PathBuf>,
    /// The fleetbeat to start; by default the one beside this program
    #[arg(long)]
    fleetbeat: Option<PathBuf>,
    /// Use the fleetbeat that answers at this URL; it must have been started with the scenario's settings
    #[arg(long)]
    attach: Option<String>,
    /// With --attach: a file with the token it wants
    #[arg(long, requires = "attach")]
    token_file: Option<PathBuf>,
    /// With --attach: the Redis it publishes to, such as 127.0.0.1:6379; without it nothing of that is judged
    #[arg(long, requires = "attach")]
    redis: Option<SocketAddr>,
    /// With --attach: its process on this machine; without it there are no figures of CPU time and memory
    #[arg(long, requires = "attach")]
    pid: Option<u32>,
    /// So many times as many clusters and callers
    #[arg(long, value_parser = positive)]
    scale: Option<f64>,
    /// Play for so many minutes; outages and troubles keep their place in the play, random outages their pace
    #[arg(long, value_parser = positive)]
    minutes: Option<f64>,
    /// The short form of the scenario
    #[arg(long)]
    short: bool,
    /// Change a setting of the monitor, such as health_check.hub_interval_seconds=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Let processors sleep, as they do in service: on a virtual machine times then tell how busy its host is
    #[arg(long)]
    let_sleep: bool,
    /// Show no bars
    #[arg(long)]
    quiet: bool,
}

/// A number above 0.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("`{text}` is no number above 0"))
}

/// Flags of `scenarios`.
#[derive(Args)]
pub struct ListArguments {
    /// Only the names, one a line
    #[arg(long)]
    names: bool,
}

/// Lists the library.
pub fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    for named in LIBRARY {
        if arguments.names {
            println!("{}", named.name);
            continue;
        }
        let scenario = Scenario::parse(named.yaml, false)?;
        let short = if scenario.short.is_some() { "short" } else { "" };
        let promise = scenario.promise.unwrap_or_default();
        println!("{:<20} {promise:<4} {short:<6} {}", named.name, scenario.description);
    }
    Ok(())
}

/// Runs a scenario; an error when it cannot be run or a limit was missed.
pub fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let options = options(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let report = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            report = run_scenario(&options) => report,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })?;
    if let Some(folder) = &arguments.out {
        report.write(folder).with_context(|| format!("cannot write the report into {}", folder.display()))?;
    }
    print!("{}", report.summary());
    if let Some(why) = &report.broken_off {
        bail!("`{}` was broken off: {why}", options.name);
    }
    if report.passed() { Ok(()) } else { bail!("limits of `{}` were missed", options.name) }
}

fn options(arguments: &RunArguments) -> anyhow::Result<RunOptions> {
    let (name, text) = match find(&arguments.scenario) {
        Some(named) => (named.name.to_owned(), named.yaml.to_owned()),
        None => {
            let path = PathBuf::from(&arguments.scenario);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("`{}` is no scenario of the library and no file", arguments.scenario))?;
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            (stem.unwrap_or_default(), text)
        }
    };
    let mut scenario = Scenario::parse(&text, arguments.short)?;
    if arguments.short && scenario.short.is_none() {
        bail!("`{name}` has no short form; --scale and --minutes make it smaller");
    }
    if let Some(factor) = arguments.scale {
        scenario.scale(factor);
    }
    scenario.fleet.seed = arguments.seed.unwrap_or(scenario.fleet.seed);
    if let Some(minutes) = arguments.minutes {
        scenario.stretch(minutes * 60.0);
    }
    for setting in &arguments.settings {
        let (key, value) = setting.split_once('=').with_context(|| format!("`{setting}` is not KEY=VALUE"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        scenario.monitor.settings.insert(key.to_owned(), value);
    }
    let attach = attached(arguments, &scenario)?;
    let own = std::env::current_exe().context("cannot find this program")?;
    let fleetbeat = arguments.fleetbeat.clone().unwrap_or_else(|| own.with_file_name("fleetbeat"));
    if arguments.attach.is_none() && !fleetbeat.exists() {
        bail!("there is no {}; build it or name one with --fleetbeat", fleetbeat.display());
    }
    let programs = Programs { fleetbeat: fs::canonicalize(&fleetbeat).unwrap_or(fleetbeat), own, attach };
    let own_fleetbeat = programs.attach.is_none().then_some(programs.fleetbeat.as_path());
    let how = How {
        short: arguments.short,
        scale: arguments.scale,
        minutes: arguments.minutes,
        set: arguments.settings.clone(),
        attached: programs.attach.is_some(),
        kept_awake: !arguments.let_sleep && can_keep_awake(),
        unmeasurable: programs.attach.as_ref().map(unmeasurable).unwrap_or_default(),
        ..How::here(&scenario, own_fleetbeat)
    };
    let progress = !arguments.quiet && stderr().is_terminal();
    Ok(RunOptions { name, scenario, programs, how, logs: arguments.out.clone(), progress })
}

/// What is known of a fleetbeat that runs already. It cannot be harmed, so that scenarios with outages are refused.
fn attached(arguments: &RunArguments, scenario: &Scenario) -> anyhow::Result<Option<Attached>> {
    let Some(url) = arguments.attach.clone() else { return Ok(None) };
    if !url.starts_with("http://") {
        bail!("--attach {url}: only http:// is spoken");
    }
    if !scenario.outages.is_empty() || scenario.cycles.is_some() {
        bail!("`{}` harms servers, and those of --attach are none of this run's", arguments.scenario);
    }
    let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let token = arguments.token_file.as_ref().map(read).transpose()?.map(|token| token.trim().to_owned());
    Ok(Some(Attached { url, token, redis: arguments.redis, pid: arguments.pid }))
}

/// How the names of those figures begin that nobody can measure of this fleetbeat.
fn unmeasurable(attached: &Attached) -> Vec<&'static str> {
    let process = ["cpu_", "rss_", "descriptors", "threads"];
    let redis = ["stream_", "channel_", "detection_redis_", "writes_lost_on_stream"];
    let (no_pid, no_redis) = (attached.pid.is_none(), attached.redis.is_none());
    process.into_iter().filter(|_| no_pid).chain(redis.into_iter().filter(|_| no_redis)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_what_is_not_known_of_a_running_fleetbeat_are_skipped() {
        let attached = Attached { url: String::new(), token: None, redis: None, pid: Some(1) };
        let how = How { unmeasurable: unmeasurable(&attached), ..How::default() };
        assert!(how.cannot_measure("stream_lost") && how.cannot_measure("detection_redis_p99_seconds"));
        assert!(!how.cannot_measure("cpu_ms_per_1000_checks") && !how.cannot_measure("lost"));
    }

    #[test]
    fn nothing_or_less_is_no_scale() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "half"] {
            assert!(positive(text).is_err(), "{text}");
        }
    }
}
