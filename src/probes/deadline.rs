//! The clock of one probe: one deadline over all its steps, which stands still while the monitor makes it wait.

use std::{future::Future, pin::pin, time::Duration};

use fleetbeat_actors::{
    doubt::{Mark, PATIENCE, Vigil},
    health::{Cause, NotRun},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::trouble::Trouble;

/// A timer that fires this much late was held up by this process, not by the endpoint.
const LATE: Duration = Duration::from_millis(750);

/// Time that the process missed and that is not worth waiting for.
const NEGLIGIBLE: Duration = Duration::from_millis(100);

/// When a probe must have ended, on the time that the process had.
#[derive(Debug)]
pub(super) struct Deadline<'a> {
    at: Instant,
    span: Duration,
    watched: Option<Watched<'a>>,
}

/// What the vigil knows of the time since the probe began.
#[derive(Debug)]
struct Watched<'a> {
    vigil: &'a Vigil,
    mark: Mark,
    /// So much of what was missed the deadline was put off by.
    given: Duration,
}

impl<'a> Deadline<'a> {
    /// One that does not know what the process misses.
    pub(super) fn after(span: Duration) -> Self {
        Self::watched(span, None)
    }

    /// One that is put off by what the process misses, for [`PATIENCE`] times its span at most.
    pub(super) fn watched(span: Duration, vigil: Option<&'a Vigil>) -> Self {
        let watched = vigil.map(|vigil| Watched { vigil, mark: vigil.mark(), given: Duration::ZERO });
        Self { at: Instant::now() + span, span, watched }
    }

    /// Time left.
    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Runs `step` until the deadline; beyond it the probe failed with `cause`, unless this process was stalled.
    pub(super) async fn bound<T>(&mut self, cause: Cause, step: impl Future<Output = T>) -> Result<T, Trouble> {
        self.run_until(self.at, cause, step).await
    }

    /// Runs `step` until the deadline, or for `most` if that is sooner.
    pub(super) async fn within<T>(
        &mut self,
        most: Duration,
        cause: Cause,
        step: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        self.run_until(self.at.min(Instant::now() + most), cause, step).await
    }

    async fn run_until<T>(
        &mut self,
        mut until: Instant,
        cause: Cause,
        step: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        let mut step = pin!(step);
        loop {
            if let Ok(done) = timeout_at(until, &mut step).await {
                return Ok(done);
            }
            match self.put_off() {
                Some(by) => until += by,
                None if until.elapsed() > LATE => return Err(Trouble::NotRun(NotRun::Stalled)),
                None => return Err(Trouble::Failed(cause)),
            }
        }
    }

    /// Puts the deadline off by what was missed since it was last put off, as long as its patience lasts.
    fn put_off(&mut self) -> Option<Duration> {
        let missed = self.missed();
        let watched = self.watched.as_mut()?;
        if missed < NEGLIGIBLE || watched.given + missed > PATIENCE * self.span {
            return None;
        }
        watched.given += missed;
        self.at += missed;
        Some(missed)
    }

    /// Time that the process did not get and that the deadline was not put off by.
    fn missed(&self) -> Duration {
        self.watched.as_ref().map_or(Duration::ZERO, |watched| {
            watched.vigil.lost_since(watched.mark, Instant::now().into_std()).saturating_sub(watched.given)
        })
    }

    /// What `trouble` is worth: a failure that want of time can cause says nothing when the process missed much of it.
    pub(super) fn weigh(&self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Failed(cause) if cause.is_want_of_time() && self.missed() >= self.much() => {
                Trouble::NotRun(NotRun::Stalled)
            }
            trouble => trouble,
        }
    }

    /// So much missed time that a failure may be its fault: a tenth of the deadline, and half a second at least.
    fn much(&self) -> Duration {
        (self.span / 10).max(Duration::from_millis(500))
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

    use fleetbeat_actors::doubt::BEAT;

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
        let mut deadline = Deadline::after(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(30)).await;
        let late = deadline.bound(Cause::Timeout, std::future::pending::<()>()).await;
        assert_eq!(late, Err(Trouble::NotRun(NotRun::Stalled)));
    }

    /// Beats on time for the rest of the test, or as late as `gap` says.
    fn beating(vigil: &Arc<Vigil>, gap: Duration) {
        let vigil = Arc::clone(vigil);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(gap).await;
                vigil.beat(Instant::now().into_std());
            }
        });
    }

    fn vigil(gap: Duration) -> Arc<Vigil> {
        let vigil = Arc::new(Vigil::new(Instant::now().into_std()));
        beating(&vigil, gap);
        vigil
    }

    /// How long a probe of 10 s waits for an endpoint that hangs, and what it tells then.
    async fn hanging(vigil: &Vigil) -> (Duration, Trouble) {
        let began = Instant::now();
        let mut deadline = Deadline::watched(Duration::from_secs(10), Some(vigil));
        let trouble = deadline.bound(Cause::Timeout, std::future::pending::<()>()).await.unwrap_err();
        (began.elapsed(), deadline.weigh(trouble))
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_misses_nothing_waits_no_longer_than_the_deadline() {
        let (waited, trouble) = hanging(&vigil(BEAT)).await;
        assert_eq!((waited, trouble), (Duration::from_secs(10), Trouble::Failed(Cause::Timeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_steadily_misses_a_third_waits_for_as_much_longer_and_believes_what_it_saw() {
        let (waited, trouble) = hanging(&vigil(BEAT * 3 / 2)).await;
        assert_eq!(trouble, Trouble::Failed(Cause::Timeout));
        assert!((14..=16).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_steadily_misses_half_believes_what_it_saw() {
        let (waited, trouble) = hanging(&vigil(2 * BEAT)).await;
        assert_eq!(trouble, Trouble::Failed(Cause::Timeout));
        assert!((19..=22).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_misses_three_quarters_believes_nothing() {
        let (waited, trouble) = hanging(&vigil(4 * BEAT)).await;
        assert_eq!(trouble, Trouble::NotRun(NotRun::Stalled));
        assert!(waited <= Duration::from_secs(30), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_while_the_deadline_is_put_off_counts() {
        let vigil = vigil(BEAT * 3 / 2);
        let mut deadline = Deadline::watched(Duration::from_secs(10), Some(&vigil));
        let answer = deadline.bound(Cause::Timeout, tokio::time::sleep(Duration::from_secs(12))).await;
        assert_eq!(answer, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_failure_after_a_stop_says_nothing_unless_no_want_of_time_can_cause_it() {
        let vigil = Vigil::new(Instant::now().into_std());
        let deadline = Deadline::watched(Duration::from_secs(10), Some(&vigil));
        tokio::time::advance(Duration::from_secs(2)).await;
        let [broken_off, refused] = [Cause::Protocol, Cause::Refused].map(Trouble::Failed);
        assert_eq!(deadline.weigh(broken_off), Trouble::NotRun(NotRun::Stalled));
        assert_eq!(Deadline::watched(Duration::from_secs(60), Some(&vigil)).weigh(broken_off), broken_off);
        assert_eq!(deadline.weigh(refused), refused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_that_never_comes_is_a_reason_not_to_run() {
        let none = Arc::new(Semaphore::new(0));
        let answer = permit(&none, Duration::from_secs(2), NotRun::NoPermit).await;
        assert_eq!(answer.err(), Some(NotRun::NoPermit));
    }
}
