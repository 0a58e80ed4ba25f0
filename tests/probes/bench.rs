//! What the tests of the prober share: a prober that trusts the test's authority, targets, and a count of pokes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use fleetbeat::{
    credentials::{Credential, InMemoryCredentials, Part},
    probes::{AddressPolicy, HttpProber, ProbeOptions, Trust},
};
use fleetbeat_actors::{
    health::{Cause, Endpoint, NotRun, Outcome},
    ports::{Prober, Session},
    roll::{CheckOverrides, Cluster, ClusterId, ClusterType, Endpoints, Environment, Platform},
    target::{Cadence, Target},
};

use crate::spoke::Authority;

/// A prober and what it stands on.
pub struct Bench {
    pub authority: Authority,
    pub credentials: Arc<InMemoryCredentials>,
    pub options: ProbeOptions,
    pub policy: AddressPolicy,
    pub deadline: Duration,
    pokes: Arc<AtomicUsize>,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            authority: Authority::new(),
            credentials: Arc::default(),
            options: ProbeOptions::default(),
            policy: AddressPolicy { allow_loopback: true, ..AddressPolicy::default() },
            deadline: Duration::from_secs(20),
            pokes: Arc::default(),
        }
    }

    pub fn prober(&self) -> HttpProber {
        let trust = Trust::of(rustls::RootCertStore::empty());
        HttpProber::new(self.options.clone(), trust, self.policy.clone(), self.credentials.clone())
    }

    /// A target that trusts the bench's authority.
    pub fn target(&self, api_server_url: &str) -> Target {
        let mut cluster = cluster(api_server_url);
        cluster.ca_bundle = Some(self.authority.pem());
        let cadence = Cadence {
            period: Duration::from_secs(30),
            deadline: self.deadline,
            failure_threshold: 2,
            success_threshold: 1,
            recheck_delay: Duration::from_secs(2),
        };
        Target { cluster: Arc::new(cluster), cadence }
    }

    pub fn session(&self, target: &Target) -> Box<dyn Session> {
        self.session_of(&self.prober(), target)
    }

    pub fn session_of(&self, prober: &HttpProber, target: &Target) -> Box<dyn Session> {
        let pokes = self.pokes.clone();
        let poke = Arc::new(move || {
            pokes.fetch_add(1, Ordering::SeqCst);
        });
        prober.open(Arc::new(target.clone()), poke, None)
    }

    pub fn give_token(&self, target: &Target, token: &str) {
        self.credentials.put(
            target.id(),
            Credential::default()
                .with(Endpoint::ApiServer, Part::of_token(token))
                .with(Endpoint::Prometheus, Part::of_token(token)),
        );
    }

    pub fn pokes(&self) -> usize {
        self.pokes.load(Ordering::SeqCst)
    }

    /// One check of the API server by a session of its own; another where this machine stalled.
    pub async fn once(&self, url: &str) -> Outcome {
        for _ in 0..20 {
            match self.session(&self.target(url)).check(false).await.api_server {
                Outcome::NotRun(NotRun::Stalled) => {}
                outcome => return outcome,
            }
        }
        panic!("this machine does nothing but stall");
    }
}

/// Waits until `met`, for at most forty seconds.
pub async fn until(what: &str, met: impl Fn() -> bool) {
    for _ in 0..4_000 {
        if met() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came true: {what}");
}

pub fn cause(outcome: Outcome) -> Option<Cause> {
    match outcome {
        Outcome::Healthy { .. } => None,
        Outcome::Failed { failure, .. } => Some(failure.cause),
        Outcome::NotRun(reason) => panic!("not run: {reason}"),
    }
}

pub fn reason(outcome: Outcome) -> NotRun {
    match outcome {
        Outcome::NotRun(reason) => reason,
        Outcome::Healthy { .. } | Outcome::Failed { .. } => panic!("was run: {outcome:?}"),
    }
}

fn cluster(api_server_url: &str) -> Cluster {
    Cluster {
        id: ClusterId::generate(),
        name: "one".to_owned(),
        display_name: None,
        api_server_url: api_server_url.to_owned(),
        cluster_type: ClusterType::Spoke,
        platform: Platform::Kubernetes,
        platform_version: None,
        region: None,
        environment: Environment::Lab,
        labels: BTreeMap::new(),
        endpoints: Endpoints::default(),
        ca_bundle: None,
        tls_server_name: None,
        health_check: CheckOverrides::default(),
        source: None,
        capabilities: None,
        generation: 1,
        created_by: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}
