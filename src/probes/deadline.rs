//! The clock of one probe: one deadline over all its steps, which stands still while the monitor makes it wait.

use std::{future::Future, time::Duration};

use fleetbeat_actors::health::{Cause, NotRun};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::trouble::Trouble;

/// A timer that fires this much late was held up by this process, not by the endpoint.
const LATE: Duration = Duration::from_millis(750);

/// When a probe must have ended.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
}

impl Deadline {
    pub(super) fn after(span: Duration) -> Self {
        Self { at: Instant::now() + span }
    }

    /// Time left.
    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Runs `step` until the deadline; beyond it the probe failed with `cause`, unless this process was stalled.
    pub(super) async fn bound<T>(&self, cause: Cause, step: impl Future<Output = T>) -> Result<T, Trouble> {
        timeout_at(self.at, step).await.map_err(|_| self.expired(cause))
    }

    /// What a probe that ran into the deadline found.
    pub(super) fn expired(&self, cause: Cause) -> Trouble {
        if self.at.elapsed() > LATE { Trouble::NotRun(NotRun::Stalled) } else { Trouble::Failed(cause) }
    }

    /// Runs `wait`, in which the monitor is waiting for itself, with the clock stopped.
    pub(super) async fn paused<T>(&mut self, wait: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let output = wait.await;
        self.at += began.elapsed();
        output
    }
}

/// A permit of `semaphore` within `wait`, or `reason`. Takes no timer when one is free.
pub(super) async fn permit(
    semaphore: &std::sync::Arc<Semaphore>,
    wait: Duration,
    reason: NotRun,
) -> Result<OwnedSemaphorePermit, NotRun> {
    if let Ok(permit) = semaphore.clone().try_acquire_owned() {
        return Ok(permit);
    }
    match timeout(wait, semaphore.clone().acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_stands_still_while_waiting_for_a_permit() {
        let mut deadline = Deadline::after(Duration::from_secs(1));
        deadline.paused(tokio::time::sleep(Duration::from_secs(5))).await;
        assert_eq!(deadline.left(), Duration::from_secs(1));
        let late = deadline.bound(Cause::Timeout, std::future::pending::<()>()).await;
        assert_eq!(late, Err(Trouble::Failed(Cause::Timeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_noticed_much_too_late_tells_of_a_stall() {
        let deadline = Deadline::after(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(30)).await;
        let late = deadline.bound(Cause::Timeout, std::future::pending::<()>()).await;
        assert_eq!(late, Err(Trouble::NotRun(NotRun::Stalled)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_that_never_comes_is_a_reason_not_to_run() {
        let none = Arc::new(Semaphore::new(0));
        let answer = permit(&none, Duration::from_secs(2), NotRun::NoPermit).await;
        assert_eq!(answer.err(), Some(NotRun::NoPermit));
    }
}
