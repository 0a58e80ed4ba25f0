//! A check in flight: a task that asks the session and reports back, whatever happens to it.

use std::time::Duration;

use ractor::ActorRef;
use tokio::task::AbortHandle;

use super::ClusterMessage;
use crate::{
    doubt::PATIENCE,
    health::{CheckReport, NotRun, StartCheck},
    ports::Session,
    target::Cadence,
};

/// How much longer than its deadline, put off as far as it can be, a check may take (waiting for permits) before it is given up.
const GRACE: Duration = Duration::from_secs(60);

/// Dropping it gives the check up.
pub(super) struct Flight {
    pub(super) number: u64,
    task: AbortHandle,
}

impl Flight {
    pub(super) fn start(
        actor: ActorRef<ClusterMessage>,
        cadence: Cadence,
        check: StartCheck,
        mut session: Box<dyn Session>,
    ) -> Self {
        let mut landing = Landing { actor: Some(actor), number: check.number };
        let task = tokio::spawn(async move {
            let limit = (1 + PATIENCE) * cadence.deadline + GRACE;
            let report = match tokio::time::timeout(limit, session.check(check.fresh)).await {
                Ok(report) => report,
                Err(_) => CheckReport::not_run(NotRun::Abandoned),
            };
            landing.land(report, Some(session));
        });
        Self { number: check.number, task: task.abort_handle() }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reports back exactly once, also when the task dies.
struct Landing {
    actor: Option<ActorRef<ClusterMessage>>,
    number: u64,
}

impl Landing {
    fn land(&mut self, report: CheckReport, session: Option<Box<dyn Session>>) {
        if let Some(actor) = self.actor.take() {
            let _ = actor.cast(ClusterMessage::Reported { number: self.number, report, session });
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.land(CheckReport::not_run(NotRun::Panicked), None);
    }
}
