//! Keeps the workers in step with the webhooks, and the stored cursors in step with what was told.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fleetbeat_actors::ports::StoreError;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Desk, Webhooks, progress::Unstored, worker};

/// How often cursors are stored that tell of deliveries.
const MARK: Duration = Duration::from_millis(250);
/// Every so many marks also those that only passed events by.
const LAZY: u32 = 20;
/// How often it is looked whether every worker still runs.
const LOOK: Duration = Duration::from_secs(5);

/// A worker of a webhook as it was then. Dropped, it ends.
struct Running {
    revision: u64,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn is_of(&self, desk: &Desk) -> bool {
        self.revision == desk.revision && !self.task.is_finished()
    }

    async fn end(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Webhooks {
    /// Tells webhooks of events, for ever.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.keep_working(), self.keep_marking());
    }

    async fn keep_working(&self) {
        let (mut running, mut changes) = (HashMap::<Uuid, Running>::new(), self.changes.subscribe());
        loop {
            changes.borrow_and_update();
            let desks = self.working();
            for id in running.keys().copied().collect::<Vec<_>>() {
                let still = desks.iter().any(|desk| desk.webhook.id == id && running[&id].is_of(desk));
                if let Some(old) = running.remove(&id).filter(|_| !still) {
                    // Its order is kept: the next one begins when this one has ended.
                    old.end().await;
                }
            }
            for desk in desks {
                running.entry(desk.webhook.id).or_insert_with(|| Running {
                    revision: desk.revision,
                    task: tokio::spawn(worker::work(Arc::clone(&desk), Arc::clone(&self.shared))),
                });
            }
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
    }

    fn working(&self) -> Vec<Arc<Desk>> {
        let desks = self.desks.read();
        desks.values().filter(|desk| desk.webhook.enabled && desk.webhook.target.is_some()).cloned().collect()
    }

    async fn keep_marking(&self) {
        let mut round = 0_u32;
        loop {
            tokio::time::sleep(MARK).await;
            round = round.wrapping_add(1);
            let least = if round.is_multiple_of(LAZY) { Unstored::Passed } else { Unstored::Told };
            let marked = self.mark(least).await;
            let failed = marked.is_err();
            match (marked, self.unmarked.swap(failed, Ordering::Relaxed)) {
                (Err(error), false) => tracing::warn!(%error, "how far webhooks are cannot be stored now"),
                (Ok(()), true) => tracing::info!("how far webhooks are is stored again"),
                _ => {}
            }
            self.tell_meters();
        }
    }

    /// Stores every cursor that is to be stored. What is told again after a crash is what was told since.
    ///
    /// # Errors
    /// The store's.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.mark(Unstored::Passed).await
    }

    async fn mark(&self, least: Unstored) -> Result<(), StoreError> {
        let desks: Vec<_> = self.desks.read().values().cloned().collect();
        let cursor = |desk: &Arc<Desk>| {
            let progress = desk.progress.lock();
            (progress.unstored >= least).then(|| (desk.webhook.id, progress.cursor.clone()))
        };
        let cursors: Vec<_> = desks.iter().filter_map(cursor).collect();
        // Looked at after the cursors: a cursor never passes events that only memory holds, or that are in doubt.
        if cursors.is_empty() || !self.shared.is_settled() {
            return Ok(());
        }
        self.shared.store.mark_webhooks(&cursors).await?;
        for (id, cursor) in &cursors {
            if let Some(desk) = desks.iter().find(|desk| desk.webhook.id == *id) {
                desk.progress.lock().stored_up_to(cursor);
            }
        }
        Ok(())
    }

    fn tell_meters(&self) {
        let (desks, now) = (self.list(), self.shared.clock.wall());
        let lag = |desk: &Arc<Desk>| desk.progress.lock().waiting_since.map(|since| now.signed_duration_since(since));
        let lag = desks.iter().filter_map(lag).max().unwrap_or_default();
        let states: Vec<_> = desks.iter().map(|desk| desk.state()).collect();
        self.shared.meters.stand(&states, lag.as_seconds_f64().max(0.0));
    }
}
