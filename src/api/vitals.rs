//! Vitals: is the process alive, ready, and are the things it needs answering? Wiring plugs its dependencies in here.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use fleetbeat_actors::ports::Clock;
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::breaker::Breakers;

/// How long a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what they answered serves everybody who asks.
const STANDS_FOR: Duration = Duration::from_millis(500);

/// Something outside that the process needs or uses.
#[async_trait]
pub trait Dependency: Send + Sync + 'static {
    /// Its name: `postgresql`, `sqlite`, `redis`.
    fn name(&self) -> &'static str;

    /// Must it answer for the process to be ready?
    fn required(&self) -> bool;

    /// Does it answer? The error is private: for the log.
    async fn ping(&self) -> Result<(), String>;
}

/// Facts of the engine for `/health/detailed`.
pub type Facts = Arc<dyn Fn() -> Map<String, Value> + Send + Sync>;

/// The vital signs of the process.
pub struct Vitals {
    clock: Arc<dyn Clock>,
    started: Instant,
    loaded: AtomicBool,
    dependencies: Vec<Watched>,
    facts: Option<Facts>,
    breakers: Option<Breakers>,
    /// How all of them answered last, and when. Held while they are asked: one question at a time.
    felt: Mutex<Option<(Instant, Vec<Pulse>)>>,
}

/// A dependency, with how it answered last: a change is logged once.
struct Watched {
    dependency: Arc<dyn Dependency>,
    healthy: AtomicBool,
}

/// How one dependency answered.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// Its name.
    pub name: &'static str,
    /// Must it answer?
    pub required: bool,
    /// Did it?
    pub healthy: bool,
    /// How long that took.
    pub latency: Duration,
}

impl Vitals {
    /// The vitals of a process that starts now and has nothing loaded.
    pub fn new(clock: Arc<dyn Clock>, dependencies: Vec<Arc<dyn Dependency>>, facts: Option<Facts>) -> Self {
        let watched = |dependency| Watched { dependency, healthy: AtomicBool::new(true) };
        let dependencies = dependencies.into_iter().map(watched).collect();
        let (started, loaded, felt) = (clock.now(), AtomicBool::new(false), Mutex::default());
        Self { clock, started, loaded, dependencies, facts, breakers: None, felt }
    }

    /// With these circuit breakers.
    #[must_use]
    pub fn with_breakers(self, breakers: Breakers) -> Self {
        Self { breakers: Some(breakers), ..self }
    }

    /// Each circuit breaker, and what it lets through.
    pub fn breakers(&self) -> BTreeMap<&'static str, &'static str> {
        let all = self.breakers.iter().flat_map(Breakers::all);
        all.map(|breaker| (breaker.name(), breaker.state().as_str())).collect()
    }

    /// The fleet is on the board: from now on answers are true.
    pub fn set_loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }

    /// Is the fleet on the board?
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// How long the process has run.
    pub fn uptime(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.started)
    }

    /// Facts of the engine.
    pub fn facts(&self) -> Map<String, Value> {
        self.facts.as_ref().map(|facts| facts()).unwrap_or_default()
    }

    /// Asks every dependency at once, unless they were asked a moment ago. However many want to know, each is asked one question
    /// at a time.
    pub async fn pulses(&self) -> Vec<Pulse> {
        let mut felt = self.felt.lock().await;
        let fresh = |at: Instant| self.clock.now().saturating_duration_since(at) < STANDS_FOR;
        if let Some((_, pulses)) = felt.as_ref().filter(|(at, _)| fresh(*at)) {
            return pulses.clone();
        }
        let pulses = join_all(self.dependencies.iter().map(|watched| self.pulse(watched))).await;
        *felt = Some((self.clock.now(), pulses.clone()));
        pulses
    }

    async fn pulse(&self, watched: &Watched) -> Pulse {
        let dependency = &watched.dependency;
        let began = self.clock.now();
        let late = |_| Err("no answer in time".to_owned());
        let answer = tokio::time::timeout(PATIENCE, dependency.ping()).await.unwrap_or_else(late);
        if let Some(breakers) = &self.breakers {
            breakers.felt(dependency.name(), answer.is_ok());
        }
        let was_healthy = watched.healthy.swap(answer.is_ok(), Ordering::Relaxed);
        match &answer {
            Err(reason) if was_healthy => {
                tracing::warn!(dependency = dependency.name(), reason, "a dependency does not answer");
            }
            Ok(()) if !was_healthy => tracing::info!(dependency = dependency.name(), "a dependency answers again"),
            Ok(()) | Err(_) => {}
        }
        Pulse {
            name: dependency.name(),
            required: dependency.required(),
            healthy: answer.is_ok(),
            latency: self.clock.now().saturating_duration_since(began),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use fleetbeat_actors::testing::TestClock;

    use super::*;

    /// Takes a while to answer, and counts what it is asked.
    #[derive(Default)]
    struct Slow(AtomicUsize);

    #[async_trait]
    impl Dependency for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }
        fn required(&self) -> bool {
            true
        }
        async fn ping(&self) -> Result<(), String> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_serves_everybody_for_a_moment() {
        let slow = Arc::<Slow>::default();
        let vitals = Vitals::new(Arc::new(TestClock::default()), vec![Arc::clone(&slow) as _], None);
        let crowd = join_all((0..100).map(|_| vitals.pulses())).await;
        assert!(crowd.iter().all(|pulses| pulses.len() == 1 && pulses[0].healthy));
        assert_eq!(slow.0.load(Ordering::Relaxed), 1);
        tokio::time::advance(STANDS_FOR - Duration::from_millis(10)).await;
        vitals.pulses().await;
        assert_eq!(slow.0.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_millis(20)).await;
        vitals.pulses().await;
        assert_eq!(slow.0.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_leaves_the_question_to_the_next() {
        let slow = Arc::<Slow>::default();
        let vitals = Vitals::new(Arc::new(TestClock::default()), vec![Arc::clone(&slow) as _], None);
        assert!(tokio::time::timeout(Duration::from_millis(10), vitals.pulses()).await.is_err());
        assert!(vitals.pulses().await[0].healthy);
    }
}
