//! The fleetbeat that is watched: a process of this run, or one that runs already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use hyper::Method;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::process::{Running, Scratch, free_port};
use crate::http::Http;

const READY_WITHIN: Duration = Duration::from_secs(120);
/// A terminated monitor has this long to flush.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// How a monitor of this run is started.
pub struct MonitorOptions {
    /// The binary.
    pub program: PathBuf,
    /// Settings by dotted key.
    pub settings: BTreeMap<String, String>,
    /// How many descriptors it may open at most, where that is less than here.
    pub descriptors: Option<u64>,
}

/// A fleetbeat.
pub struct Monitor {
    http: Http,
    own: Option<Own>,
    pid: Option<u32>,
}

struct Own {
    options: MonitorOptions,
    log: PathBuf,
    running: Running,
}

impl Monitor {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not get ready.
    pub async fn start(mut options: MonitorOptions, scratch: &Scratch) -> anyhow::Result<Self> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let data = scratch.folder("fleetbeat", None)?;
        let http = Http::new(&format!("http://{listen}"));
        options.settings.insert("server.listen".to_owned(), listen);
        options.settings.insert("data_dir".to_owned(), data.display().to_string());
        let log = scratch.path().join("fleetbeat.log");
        let running = spawn(&options, &log)?;
        let mut monitor = Self { http, own: Some(Own { options, log, running }), pid: None };
        monitor.ready().await?;
        Ok(monitor)
    }

    /// One that runs already, and its process where that is known.
    pub fn attached(http: Http, pid: Option<u32>) -> Self {
        Self { http, own: None, pid }
    }

    /// A client of its API.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Its process, if it is one of this run.
    pub fn process(&mut self) -> Option<&mut Running> {
        self.own.as_mut().map(|own| &mut own.running)
    }

    /// Its process id, if it is one of this run or was told.
    pub fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(|own| own.running.pid()).or(self.pid)
    }

    /// The end of what it wrote, if it is one of this run.
    pub fn last_words(&self) -> Option<String> {
        self.own.as_ref().map(|own| own.running.last_words())
    }

    /// Where it writes its log, if it is one of this run.
    pub fn log(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.log.as_path())
    }

    /// Ends it in an orderly way. Returns how long that took and its exit code.
    pub async fn terminate(&mut self) -> Option<(Duration, Option<i32>)> {
        let own = self.own.as_mut()?;
        Some(own.running.end(Signal::TERM, ENDS_WITHIN).await)
    }

    /// Starts it again on the same port and data and returns how long it took to be ready.
    ///
    /// # Errors
    /// As [`Monitor::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<Duration> {
        let own = self.own.as_mut().context("only a monitor of this run can be started again")?;
        own.running.kill();
        own.running = spawn(&own.options, &own.log)?;
        self.ready().await
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it ended or takes too long.
    pub async fn ready(&mut self) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let hasty = self.http.patient_for(Duration::from_secs(2));
        loop {
            let answer = hasty.send(Method::GET, "/ready", Bytes::new()).await;
            if answer.is_ok_and(|(status, _)| status.is_success()) {
                return Ok(begin.elapsed());
            }
            let ended = self.own.as_mut().is_some_and(|own| own.running.has_ended());
            if ended || begin.elapsed() > READY_WITHIN {
                let words = self.own.as_ref().map(|own| own.running.last_words()).unwrap_or_default();
                bail!("fleetbeat does not get ready:\n{words}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn spawn(options: &MonitorOptions, log: &std::path::Path) -> anyhow::Result<Running> {
    let shell = options.descriptors.map(|_| Path::new("/bin/sh"));
    Running::start(shell.unwrap_or(&options.program), None, log, |command| {
        if let Some(descriptors) = options.descriptors {
            // Where the limit is lower already, it stays.
            command.args(["-c", "ulimit -n \"$0\" 2> /dev/null; exec \"$@\"", &descriptors.to_string()]);
            command.arg(&options.program);
        }
        command.arg("serve").current_dir("/");
        for (key, value) in &options.settings {
            command.env(format!("FLEETBEAT__{}", key.to_uppercase().replace('.', "__")), value);
        }
    })
}
