//! A Redis of this run. Its append-only file goes to the kernel before every answer, so that SIGKILL loses nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use super::process::{Running, Scratch, free_port};
use crate::resp::Connection;

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A Redis server.
pub struct Redis {
    address: SocketAddr,
    folder: PathBuf,
    running: Running,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When `redis-server` is not there or does not answer.
    pub async fn start(scratch: &Scratch) -> anyhow::Result<Self> {
        let folder = scratch.folder("redis", None)?;
        let port = free_port()?;
        let settings = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly yes\nappendfsync no\n",
            folder.display()
        );
        fs::write(folder.join("redis.conf"), settings)?;
        let running = spawn(&folder)?;
        let mut redis = Self { address: SocketAddr::from(([127, 0, 0, 1], port)), folder, running };
        redis.answers().await?;
        Ok(redis)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Starts it again on the same port and data.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.running.kill();
        self.running = spawn(&self.folder)?;
        self.answers().await
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await
                && connection.ask(&["PING"], Duration::from_secs(1)).await.is_ok()
            {
                return Ok(());
            }
            if self.running.has_ended() || begin.elapsed() > STARTS_WITHIN {
                bail!("redis-server does not answer:\n{}", self.running.last_words());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn spawn(folder: &Path) -> anyhow::Result<Running> {
    let configured = |command: &mut std::process::Command| {
        command.arg(folder.join("redis.conf"));
    };
    Running::start(Path::new("redis-server"), None, &folder.join("log"), configured)
        .context("a scenario with Redis needs redis-server")
}
