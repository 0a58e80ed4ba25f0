//! Everything a run has started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::http::Http;
use crate::scenario::{Database, Part, Scenario};
use crate::stage::{
    Disk, Monitor, MonitorOptions, Postgres, Proxy, Redis, Running, Scratch, Swarm, SwarmOptions, keep_awake,
};

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The fleetbeat to start.
    pub fleetbeat: PathBuf,
    /// This program.
    pub own: PathBuf,
    /// A fleetbeat that runs already, instead.
    pub attach: Option<Attached>,
}

/// A fleetbeat that runs already.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Where it answers.
    pub url: String,
    /// What the harness says who it is with.
    pub token: Option<String>,
    /// The Redis to which it publishes.
    pub redis: Option<SocketAddr>,
    /// Its process, for CPU time and memory.
    pub pid: Option<u32>,
}

/// What runs, in the order in which it ends.
pub struct Stand {
    /// The monitor.
    pub monitor: Monitor,
    /// The spokes.
    pub swarm: Swarm,
    proxy: Option<Proxy>,
    redis: Option<Redis>,
    bus: Option<SocketAddr>,
    postgres: Option<Postgres>,
    _awake: Option<Running>,
    _scratch: Scratch,
}

impl Stand {
    /// Starts what the scenario needs, on processors that are kept awake if that is wished.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(scenario: &Scenario, programs: &Programs, awake: bool) -> anyhow::Result<Self> {
        let scratch = Scratch::new().context("cannot make a temporary directory")?;
        let awake = if awake { Some(keep_awake(&programs.own, &scratch)?) } else { None };
        let swarm = Swarm::start(&swarm_options(scenario, programs), &scratch).await?;
        if let Some(attached) = &programs.attach {
            let http = Http::new(&attached.url).with_token(attached.token.as_deref());
            let (monitor, bus) = (Monitor::attached(http, attached.pid), attached.redis);
            return Ok(Self {
                monitor,
                swarm,
                proxy: None,
                redis: None,
                bus,
                postgres: None,
                _awake: awake,
                _scratch: scratch,
            });
        }
        let postgres = match scenario.monitor.database {
            Database::Postgresql => Some(Postgres::start(&scratch, Disk::Left).await?),
            Database::Sqlite => None,
        };
        let redis = if scenario.monitor.redis { Some(Redis::start(&scratch).await?) } else { None };
        let proxy = match &redis {
            Some(redis) => Some(Proxy::to(redis.address()).await?),
            None => None,
        };
        let mut settings = settings(scenario);
        settings.extend(postgres.iter().map(|postgres| ("database_url".to_owned(), postgres.url())));
        settings.extend(proxy.iter().map(|proxy| ("redis_url".to_owned(), format!("redis://{}/0", proxy.address()))));
        let options =
            MonitorOptions { program: programs.fleetbeat.clone(), settings, descriptors: scenario.monitor.descriptors };
        let monitor = Monitor::start(options, &scratch).await?;
        let bus = redis.as_ref().map(Redis::address);
        Ok(Self { monitor, swarm, proxy, redis, bus, postgres, _awake: awake, _scratch: scratch })
    }

    /// Where the Redis itself listens, if there is one.
    pub fn redis_address(&self) -> Option<SocketAddr> {
        self.bus
    }

    /// The relay between the monitor and Redis.
    ///
    /// # Errors
    /// When the scenario has no Redis.
    pub fn redis_proxy(&self) -> anyhow::Result<&Proxy> {
        self.proxy.as_ref().context("the scenario has no Redis of its own")
    }

    /// The Redis.
    ///
    /// # Errors
    /// When the scenario has none.
    pub fn redis(&mut self) -> anyhow::Result<&mut Redis> {
        self.redis.as_mut().context("the scenario has no Redis of its own")
    }

    /// The PostgreSQL.
    ///
    /// # Errors
    /// When the scenario has none.
    pub fn postgres(&mut self) -> anyhow::Result<&mut Postgres> {
        self.postgres.as_mut().context("the scenario has no PostgreSQL of its own")
    }

    /// The process of a part.
    ///
    /// # Errors
    /// When it is none of this run.
    pub fn process(&mut self, of: Part) -> anyhow::Result<&mut Running> {
        match of {
            Part::Fleetbeat => self.monitor.process().context("this run has not started the monitor"),
            Part::Redis => Ok(self.redis()?.process()),
            Part::Postgresql => Ok(self.postgres()?.process()),
            Part::Consumer => bail!("the consumer is no process"),
        }
    }
}

fn swarm_options(scenario: &Scenario, programs: &Programs) -> SwarmOptions {
    SwarmOptions {
        program: programs.own.clone(),
        clusters: scenario.fleet.clusters,
        seed: scenario.fleet.seed,
        endpoints: scenario.fleet.endpoints.clone(),
        idle_close_seconds: scenario.fleet.idle_close_seconds,
        descriptors: descriptor_limit(),
    }
}

/// Descriptors that a process of this machine may open; 20,000 where there is no limit.
fn descriptor_limit() -> usize {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    hard.and_then(|hard| usize::try_from(hard).ok()).unwrap_or(usize::MAX).min(20_000)
}

fn settings(scenario: &Scenario) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    scenario.monitor.settings.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}
