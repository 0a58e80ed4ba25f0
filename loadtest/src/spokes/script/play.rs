//! Playing a script in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};

use super::{Script, ScriptError};
use crate::spokes::error::FleetError;
use crate::spokes::fleet::FleetHandle;

/// A script being played. Dropping it lets the play go on; the fleet's end ends it.
pub struct Playback {
    task: JoinHandle<Result<(), FleetError>>,
    done: Arc<AtomicUsize>,
    total: usize,
    duration: Duration,
}

impl FleetHandle {
    /// Begins to play `script` now, on the fleet's runtime.
    pub fn play(&self, script: Script) -> Result<Playback, ScriptError> {
        script.check(self.spokes())?;
        let done = Arc::new(AtomicUsize::new(0));
        let (total, duration) = (script.changes.len(), Duration::from_millis(script.end_ms()));
        let playing = play(self.clone(), script, Arc::clone(&done));
        let fleet = self.clone();
        let task = self.runtime().spawn(async move {
            tokio::select! {
                played = playing => played,
                () = fleet.stopped() => Err(FleetError::Stopped),
            }
        });
        Ok(Playback { task, done, total, duration })
    }
}

async fn play(fleet: FleetHandle, script: Script, done: Arc<AtomicUsize>) -> Result<(), FleetError> {
    let start = Instant::now();
    let mut rest = script.changes.as_slice();
    while let Some(first) = rest.first() {
        sleep_until(start + Duration::from_millis(first.at_ms)).await;
        let now_ms = start.elapsed().as_millis() as u64;
        let due = rest.partition_point(|change| change.at_ms <= now_ms.max(first.at_ms));
        let (now, later) = rest.split_at(due);
        let changes: Vec<_> = now.iter().map(super::Timed::change).collect();
        fleet.apply(&changes).await?;
        done.fetch_add(changes.len(), Relaxed);
        rest = later;
    }
    sleep_until(start + Duration::from_millis(script.end_ms())).await;
    Ok(())
}

impl Playback {
    /// Changes made so far.
    pub fn done(&self) -> usize {
        self.done.load(Relaxed)
    }

    /// Changes in the script.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How long the script lasts.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether it is over.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// A way to end it early.
    pub fn abort_handle(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// Waits for its end.
    pub async fn wait(self) -> Result<(), FleetError> {
        self.task.await.unwrap_or(Err(FleetError::Stopped))
    }
}
