//! `fleetbeat demo`: the real monitor in front of simulated clusters, in one process, with a seeded script of troubles. The only
//! place that uses the load harness. `stage` sets it up, `show` tells what happens, `tally` compares it with the truth.

mod gauges;
mod show;
mod stage;
mod tally;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use fleetbeat_loadtest::spokes::Fleet;

use super::error::CliError;
use super::paint::Paint;
use super::shutdown::Shutdown;
use show::Show;
use stage::Stage;

/// Threads that serve the simulated clusters, beside those of the monitor.
const SPOKE_THREADS: usize = 1;

/// Watch 200 simulated clusters get into trouble and out of it, in this terminal
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  fleetbeat demo
  fleetbeat demo --spokes 1000 --seed 7
  fleetbeat demo --minutes 5                    ends by itself

Everything runs in this process: the monitor with an embedded store in a temporary directory, and simulated clusters that
answer over real TLS on addresses of their own (127.20.0.1 and up). Nothing stays behind. While it runs, look at it with
the other commands (`fleetbeat clusters list`, `fleetbeat watch`), with curl, or at http://127.0.0.1:8080/docs.")]
pub struct DemoArguments {
    /// How many simulated clusters
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=4000), value_name = "COUNT")]
    spokes: u16,
    /// Decides the fleet and its troubles: the same seed gives the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the API is served [default: 127.0.0.1:8080, or any free port when that one is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// End by itself after so many minutes; without, troubles go on for a day
    #[arg(long, value_parser = minutes)]
    minutes: Option<f64>,
}

impl DemoArguments {
    fn duration(&self) -> Duration {
        const DAY_MINUTES: f64 = 1_440.0;
        Duration::from_secs_f64(self.minutes.unwrap_or(DAY_MINUTES) * 60.0)
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.1..=10_000.0).contains(&minutes) { Ok(minutes) } else { Err("must be from 0.1 to 10000".to_owned()) }
}

/// Runs until Ctrl-C, or until the script is over.
///
/// # Errors
/// When the stage cannot be set up.
pub fn run(arguments: &DemoArguments, paint: Paint) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CliError::failed("cannot start a runtime"))?;
    let fleet = stage::start_fleet(arguments)?;
    let ended = runtime.block_on(perform(fleet, arguments, paint));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn perform(fleet: Fleet, arguments: &DemoArguments, paint: Paint) -> Result<(), CliError> {
    let mut shutdown = Shutdown::listen()?;
    let stage = tokio::select! {
        stage = Stage::set_up(fleet, arguments) => stage?,
        () = shutdown.asked() => return Ok(()),
    };
    let show = Show::new(&stage, paint);
    let shown = tokio::select! {
        shown = show.run(arguments) => shown,
        () = shutdown.asked() => Ok(()),
    };
    shutdown.insist();
    let closing = show.closing();
    stage.tear_down().await;
    shown.and(closing)
}
