//! Turns: so many at once, and of these so many for one name. Whoever comes too early waits, behind those of the same name first.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// So many at once, of whom those of one name are only some.
#[derive(Debug)]
pub struct Turns {
    all: Semaphore,
    of_one: usize,
    /// Those who have a turn or wait for one, by name.
    queues: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

impl Turns {
    /// So many in all, and so many for one name.
    pub fn new(all: usize, of_one: usize) -> Self {
        Self { all: Semaphore::new(all), of_one, queues: Mutex::default() }
    }

    /// A turn until it is dropped. Of one name no more wait among those of others than may have a turn at once.
    pub async fn take(&self, name: &str) -> Turn<'_> {
        let queue = self.queue(name);
        let own = Arc::clone(&queue.semaphore).acquire_owned().await.ok();
        let all = self.all.acquire().await.ok();
        Turn { _all: all, _own: own, _queue: queue }
    }

    fn queue(&self, name: &str) -> Queue<'_> {
        let name: Arc<str> = name.into();
        let mut queues = self.queues.lock();
        let semaphore = queues.entry(Arc::clone(&name)).or_insert_with(|| Arc::new(Semaphore::new(self.of_one)));
        Queue { turns: self, name, semaphore: Arc::clone(semaphore) }
    }
}

/// A turn that somebody has. Its parts end in this order; nothing closes the semaphores, so that both permits are there.
#[derive(Debug)]
pub struct Turn<'a> {
    _all: Option<SemaphorePermit<'a>>,
    _own: Option<OwnedSemaphorePermit>,
    _queue: Queue<'a>,
}

/// Somebody in a queue, whose last one takes it away.
#[derive(Debug)]
struct Queue<'a> {
    turns: &'a Turns,
    name: Arc<str>,
    semaphore: Arc<Semaphore>,
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.queues.lock();
        // The map and this one: whoever joins does so under the lock.
        if Arc::strong_count(&self.semaphore) <= 2 {
            queues.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_name_has_its_share_and_waits_behind_itself() {
        let turns = Turns::new(8, 2);
        let (first, second) = (turns.take("ada").await, turns.take("ada").await);
        let mut third = Box::pin(turns.take("ada"));
        assert!(third.as_mut().now_or_never().is_none(), "the third of two");
        let _bob = turns.take("bob").now_or_never().expect("another name has its own");
        drop(first);
        let third = third.now_or_never().expect("whoever waited is next");
        drop((second, third));
        assert!(turns.take("ada").now_or_never().is_some());
    }

    #[tokio::test]
    async fn all_together_are_no_more_than_there_may_be() {
        let turns = Turns::new(3, 2);
        let (_one, two, _three) = (turns.take("ada").await, turns.take("ada").await, turns.take("bob").await);
        let mut fourth = Box::pin(turns.take("eve"));
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(two);
        assert!(fourth.now_or_never().is_some());
    }

    #[tokio::test]
    async fn names_that_nobody_has_any_more_are_forgotten() {
        let turns = Turns::new(100, 1);
        let held = turns.take("ada").await;
        let mut waiting = Box::pin(turns.take("ada"));
        assert!(waiting.as_mut().now_or_never().is_none());
        // Who waited goes away; who has a turn still has it.
        drop(waiting);
        assert_eq!(turns.queues.lock().len(), 1);
        drop(held);
        assert!(turns.queues.lock().is_empty());
    }
}
