//! Circuit breakers for what fleetbeat depends on. Clusters have none: whether they answer is what is asked.

mod decision;

use std::{fmt, sync::Arc};

use fleetbeat_actors::ports::Clock;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;

pub use decision::{BreakerRules, BreakerState, Decision};

/// The breaker of one dependency.
pub struct Breaker {
    name: &'static str,
    clock: Arc<dyn Clock>,
    decision: Mutex<Decision>,
}

impl Breaker {
    /// A closed one.
    pub fn new(name: &'static str, clock: Arc<dyn Clock>, rules: BreakerRules) -> Self {
        describe_gauge!("fleetbeat_circuit_breaker_state", "Circuit breakers: 0 closed, 1 half open, 2 open.");
        describe_counter!("fleetbeat_circuit_breaker_opened_total", "How often a circuit breaker opened.");
        gauge!("fleetbeat_circuit_breaker_state", "dependency" => name).set(0.0);
        Self { name, clock, decision: Mutex::new(Decision::new(rules)) }
    }

    /// The dependency's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it lets through.
    pub fn state(&self) -> BreakerState {
        self.decision.lock().state()
    }

    /// May a call be made now? Whoever makes it tells how it went.
    pub fn admits(&self) -> bool {
        let now = self.clock.now();
        self.step(|decision| decision.admit(now))
    }

    /// How a call went, or a question whether the dependency is there, which needs no admission.
    pub fn learn(&self, success: bool) {
        let now = self.clock.now();
        self.step(|decision| decision.learn(success, now));
    }

    fn step<T>(&self, step: impl FnOnce(&mut Decision) -> T) -> T {
        let mut decision = self.decision.lock();
        let before = decision.state();
        let done = step(&mut decision);
        let after = decision.state();
        drop(decision);
        if before != after {
            self.tell(after);
        }
        done
    }

    fn tell(&self, state: BreakerState) {
        let (dependency, level) = (
            self.name,
            match state {
                BreakerState::Closed => 0.0,
                BreakerState::HalfOpen => 1.0,
                BreakerState::Open => 2.0,
            },
        );
        gauge!("fleetbeat_circuit_breaker_state", "dependency" => dependency).set(level);
        match state {
            BreakerState::Open => {
                counter!("fleetbeat_circuit_breaker_opened_total", "dependency" => dependency).increment(1);
                tracing::debug!(dependency, "a circuit breaker opened: calls fail at once for a while");
            }
            BreakerState::HalfOpen => tracing::debug!(dependency, "a circuit breaker tries a few calls"),
            BreakerState::Closed => tracing::debug!(dependency, "a circuit breaker closed"),
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.state().as_str())
    }
}

/// The breakers there are.
#[derive(Clone)]
pub struct Breakers {
    /// The database.
    pub database: Arc<Breaker>,
    /// Redis: events.
    pub redis: Arc<Breaker>,
    /// Redis as the place of shared limits, which has less time to answer.
    pub limits: Arc<Breaker>,
    /// The hub's Kubernetes API.
    pub hub: Arc<Breaker>,
    /// The issuer of tokens.
    pub issuer: Arc<Breaker>,
}

impl Breakers {
    /// All closed.
    pub fn new(clock: &Arc<dyn Clock>, rules: BreakerRules) -> Self {
        let breaker = |name| Arc::new(Breaker::new(name, Arc::clone(clock), rules));
        Self {
            database: breaker("database"),
            redis: breaker("redis"),
            hub: breaker("hub_kubernetes"),
            issuer: breaker("token_issuer"),
            limits: breaker("redis_limits"),
        }
    }

    /// Each of them.
    pub fn all(&self) -> [&Arc<Breaker>; 5] {
        [&self.database, &self.redis, &self.limits, &self.hub, &self.issuer]
    }

    /// A dependency was asked whether it is there. While its breaker is closed that says nothing: calls do.
    pub fn felt(&self, dependency: &str, answers: bool) {
        let breaker = match dependency {
            "redis" => &self.redis,
            "postgresql" | "sqlite" => &self.database,
            _ => return,
        };
        if breaker.state() != BreakerState::Closed {
            breaker.learn(answers);
        }
    }
}
