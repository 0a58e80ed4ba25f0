//! A prober over clusters that do as they are told.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    doubt::Vigil,
    health::{Cause, CheckReport, Failure, NotRun, Outcome},
    ports::{Poke, Prober, Session},
    roll::ClusterId,
    target::Target,
};

/// What a fake cluster does when it is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Everything passes, after a millisecond.
    Healthy,
    /// The API server passes after this time, if the deadline allows.
    Slow(Duration),
    /// The connection is refused.
    Refuses,
    /// Nothing answers: every probe lasts for its deadline.
    Hangs,
    /// The API server answers 503.
    Failing,
    /// The API server passes, Prometheus does not.
    PrometheusDown,
    /// The probe cannot be run.
    NotRun,
    /// The check's task panics.
    PanicsInCheck,
    /// The actor panics when it opens a session.
    PanicsInActor,
}

/// A fleet of clusters that do as they are told; healthy unless told otherwise.
#[derive(Clone, Default)]
pub struct FakeFleet {
    behaviours: Arc<DashMap<ClusterId, Behaviour>>,
    pokes: Arc<DashMap<ClusterId, Poke>>,
    checks: Arc<DashMap<ClusterId, u64>>,
}

impl FakeFleet {
    /// From now on this cluster behaves like that.
    pub fn set(&self, id: ClusterId, behaviour: Behaviour) {
        self.behaviours.insert(id, behaviour);
    }

    /// The peer closes the kept connection of this cluster.
    pub fn close(&self, id: ClusterId) {
        if let Some(poke) = self.pokes.get(&id).map(|poke| Arc::clone(&poke)) {
            poke();
        }
    }

    /// How many checks of this cluster were started.
    pub fn checks(&self, id: ClusterId) -> u64 {
        self.checks.get(&id).map_or(0, |checks| *checks)
    }

    fn behaviour(&self, id: ClusterId) -> Behaviour {
        self.behaviours.get(&id).map_or(Behaviour::Healthy, |behaviour| *behaviour)
    }
}

impl Prober for FakeFleet {
    fn open(&self, target: Arc<Target>, poke: Poke, _: Option<Arc<Vigil>>) -> Box<dyn Session> {
        assert!(self.behaviour(target.id()) != Behaviour::PanicsInActor, "told to panic");
        self.pokes.insert(target.id(), poke);
        Box::new(FakeSession { fleet: self.clone(), target })
    }
}

struct FakeSession {
    fleet: FakeFleet,
    target: Arc<Target>,
}

impl Session for FakeSession {
    fn check(&mut self, fresh: bool) -> BoxFuture<'_, CheckReport> {
        async move {
            let deadline = self.target.cadence.deadline;
            *self.fleet.checks.entry(self.target.id()).or_default() += 1;
            let behaviour = self.fleet.behaviour(self.target.id());
            let took = match behaviour {
                Behaviour::Hangs => deadline,
                Behaviour::Slow(time) => time.min(deadline),
                _ => Duration::from_millis(1),
            };
            tokio::time::sleep(took).await;
            let failed = |cause| Outcome::failed(Failure::of(cause), took);
            let api_server = match behaviour {
                Behaviour::Healthy | Behaviour::PrometheusDown => Outcome::Healthy { latency: took },
                Behaviour::Slow(time) if time < deadline => Outcome::Healthy { latency: took },
                Behaviour::Slow(_) | Behaviour::Hangs => failed(Cause::Timeout),
                Behaviour::Refuses => failed(Cause::Refused),
                Behaviour::Failing => Outcome::failed(Failure::status(Cause::HttpStatus, 503), took),
                Behaviour::NotRun => Outcome::NotRun(NotRun::NoPermit),
                Behaviour::PanicsInCheck | Behaviour::PanicsInActor => panic!("told to panic"),
            };
            let prometheus = self.target.cluster.endpoints.prometheus_url.is_some().then(|| match behaviour {
                Behaviour::PrometheusDown => failed(Cause::Refused),
                _ => Outcome::Healthy { latency: took },
            });
            CheckReport { api_server, prometheus, tempo: None, loki: None, authenticated: false, fresh }
        }
        .boxed()
    }

    fn retune(&mut self, target: Arc<Target>) {
        self.target = target;
    }
}
