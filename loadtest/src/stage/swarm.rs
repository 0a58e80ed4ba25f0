//! The simulated spokes of a run, in as many processes as their descriptors need.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::process::{Running, Scratch};
use crate::http::Http;
use crate::spokes::control::TruthPage;
use crate::spokes::script::Timed;
use crate::spokes::{FleetOptions, Registration, RegistrationFile, Script, Spoke, Truth};

const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// Descriptors of a process that are not for listeners and connections.
const RESERVED: usize = 600;
/// Truth entries of one answer.
const PAGE: usize = 10_000;

/// What the swarm is made of.
pub struct SwarmOptions {
    /// This program, which serves spokes when told to.
    pub program: PathBuf,
    /// How many spokes.
    pub clusters: usize,
    /// Decides them.
    pub seed: u64,
    /// Optional endpoints, as on the command line.
    pub endpoints: String,
    /// Healthy servers close connections idle for so many seconds.
    pub idle_close_seconds: Option<f64>,
    /// Descriptors one process may open.
    pub descriptors: usize,
}

/// Running spokes.
pub struct Swarm {
    spokes: Vec<Spoke>,
    slices: Vec<Slice>,
}

struct Slice {
    first: usize,
    count: usize,
    control: Http,
    _running: Running,
}

impl Swarm {
    /// Starts every process and waits until all spokes listen.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn start(options: &SwarmOptions, scratch: &Scratch) -> anyhow::Result<Self> {
        let base = base_address();
        let spokes = Spoke::plan(&FleetOptions {
            count: options.clusters,
            seed: options.seed,
            base,
            endpoints: options.endpoints.parse()?,
            ..FleetOptions::default()
        })?;
        let mut starting = Vec::new();
        for (first, count) in slices(&spokes, options.descriptors.saturating_sub(RESERVED)) {
            let folder = scratch.folder(&format!("spokes-{first}"), None)?;
            let running = spawn(options, base, (first, count), &folder)?;
            starting.push((first, count, folder, running));
        }
        let mut slices = Vec::new();
        for (first, count, folder, mut running) in starting {
            let control = control_address(&folder.join("control.addr"), &mut running).await?;
            slices.push(Slice { first, count, control, _running: running });
        }
        Ok(Self { spokes, slices })
    }

    /// Every spoke. Ports are not known here.
    pub fn spokes(&self) -> &[Spoke] {
        &self.spokes
    }

    /// How many processes serve them.
    pub fn processes(&self) -> usize {
        self.slices.len()
    }

    /// What registers them.
    ///
    /// # Errors
    /// When a process does not answer.
    pub async fn registrations(&self) -> anyhow::Result<Vec<Registration>> {
        let mut all = Vec::new();
        for slice in &self.slices {
            all.extend(slice.control.get::<RegistrationFile>("/registration").await?.clusters);
        }
        Ok(all)
    }

    /// Plays a script, each process its part, from now on.
    ///
    /// # Errors
    /// When a process refuses it.
    pub async fn play(&self, script: &Script) -> anyhow::Result<()> {
        for slice in &self.slices {
            let own = |change: &&Timed| slice.serves(&change.spoke);
            let changes: Vec<&Timed> = script.changes.iter().filter(own).collect();
            let body = json!({ "duration_ms": script.duration_ms, "changes": changes });
            let _: serde_json::Value = slice.control.json(hyper::Method::POST, "/script", Some(&body)).await?;
        }
        Ok(())
    }

    /// The whole truth so far.
    ///
    /// # Errors
    /// When a process does not answer.
    pub async fn truth(&self) -> anyhow::Result<Vec<Truth>> {
        let mut all = Vec::new();
        for slice in &self.slices {
            let mut after = 0;
            loop {
                let page: TruthPage = slice.control.get(&format!("/truth?after={after}&limit={PAGE}")).await?;
                let done = page.items.len() < PAGE;
                after = page.last_seq;
                all.extend(page.items);
                if done {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// What they have served: requests, handshakes, connections turned away.
    ///
    /// # Errors
    /// When a process does not answer.
    pub async fn served(&self) -> anyhow::Result<crate::spokes::Served> {
        let mut sum = crate::spokes::Served::default();
        for slice in &self.slices {
            let stats: serde_json::Value = slice.control.get("/stats").await?;
            sum += serde_json::from_value(stats["served"].clone())?;
        }
        Ok(sum)
    }

    /// Connections they accepted, all together, by the second of the epoch.
    ///
    /// # Errors
    /// When a process does not answer.
    pub async fn pace(&self) -> anyhow::Result<BTreeMap<i64, u64>> {
        let mut sum = BTreeMap::new();
        for slice in &self.slices {
            for (second, accepted) in slice.control.get::<BTreeMap<i64, u64>>("/pace").await? {
                *sum.entry(second).or_default() += accepted;
            }
        }
        Ok(sum)
    }
}

impl Slice {
    fn serves(&self, name: &str) -> bool {
        let index = name.rsplit('-').next().and_then(|index| index.parse::<usize>().ok());
        index.is_some_and(|index| (self.first..self.first + self.count).contains(&index))
    }
}

/// Runs of spokes `(first, count)` whose listeners and connections fit the descriptors of one process.
fn slices(spokes: &[Spoke], descriptors: usize) -> Vec<(usize, usize)> {
    let mut slices: Vec<(usize, usize)> = Vec::new();
    let mut used = usize::MAX;
    for spoke in spokes {
        // A listener and two connections for each: the one that is kept and the one that replaces it.
        let needs = 3 * spoke.endpoints.len();
        match slices.last_mut() {
            Some((_, count)) if used.saturating_add(needs) <= descriptors => {
                *count += 1;
                used += needs;
            }
            _ => {
                slices.push((spoke.index, 1));
                used = needs;
            }
        }
    }
    slices
}

/// Addresses of this run: several runs on one machine do not meet.
fn base_address() -> Ipv4Addr {
    let run = u8::try_from(std::process::id() % 100).unwrap_or(0);
    Ipv4Addr::new(127, 100 + run, 0, 1)
}

fn spawn(
    options: &SwarmOptions,
    base: Ipv4Addr,
    (first, count): (usize, usize),
    folder: &std::path::Path,
) -> anyhow::Result<Running> {
    Running::start(&options.program, None, &folder.join("log"), |command| {
        command.args([
            "spokes",
            "--ports",
            "any",
            "--control",
            "127.0.0.1:0",
            "--progress",
            "never",
            "--connections",
            "2",
        ]);
        command.args(["--endpoints", &options.endpoints, "--base", &base.to_string()]);
        command.args([
            "--seed",
            &options.seed.to_string(),
            "--first",
            &first.to_string(),
            "--count",
            &count.to_string(),
        ]);
        command.arg("--dir").arg(folder);
        if let Some(seconds) = options.idle_close_seconds {
            command.args(["--idle-close", &seconds.to_string()]);
        }
    })
}

async fn control_address(file: &std::path::Path, running: &mut Running) -> anyhow::Result<Http> {
    let begin = Instant::now();
    loop {
        let text = tokio::fs::read_to_string(file).await.unwrap_or_default();
        if text.ends_with('\n') {
            let address: std::net::SocketAddr = text.trim().parse().context("control.addr holds no address")?;
            return Ok(Http::new(&format!("http://{address}")));
        }
        if running.has_ended() || begin.elapsed() > STARTS_WITHIN {
            bail!("simulated spokes do not start:\n{}", running.last_words());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_every_spoke_once_and_fit() {
        let options = FleetOptions { count: 1_000, ..FleetOptions::default() };
        let spokes = Spoke::plan(&options).unwrap();
        let cut = slices(&spokes, 1_500);
        assert!(cut.len() > 2);
        let mut next = 1;
        for (first, count) in cut {
            assert_eq!(first, next);
            let needs: usize = spokes[first - 1..first - 1 + count].iter().map(|spoke| 3 * spoke.endpoints.len()).sum();
            assert!(needs <= 1_500);
            next += count;
        }
        assert_eq!(next, 1_001);
    }
}
