//! Probes: the only place that opens sockets to watched clusters. HTTP/1.1 over kept-alive TLS connections, one per
//! configured endpoint and cluster, under hard caps of time and bytes. Knows nothing of storage or API.

mod address;
mod courier;
mod deadline;
mod descriptors;
mod dial;
mod inquiry;
mod judge;
mod legs;
mod line;
mod options;
mod resolve;
mod seats;
mod serving;
mod session;
mod site;
mod socket;
mod tickets;
mod tls;
mod trouble;
mod trust;
mod wire;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    doubt::Vigil,
    health::{CheckReport, Endpoint},
    ports::{Poke, Prober, Session},
    roll::ClusterId,
    target::Target,
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Semaphore;

pub use address::AddressPolicy;
pub use courier::HttpCourier;
pub use descriptors::{descriptors_for_probes, raise_descriptor_limit};
pub use legs::{Asked, Leg, Legs, take_apart};
pub use options::ProbeOptions;
pub use resolve::{LookUp, system_look_up};
pub use trust::{Trust, TrustError, check_bundle};

use crate::{
    credentials::{Credential, Credentials, Prover},
    discovery::{Conversation, Inquirer, Silence},
};

/// Probes clusters over HTTP(S). Cheap to clone; all clones share their permits.
#[derive(Clone)]
pub struct HttpProber {
    shared: Arc<Shared>,
}

/// What all sessions share: limits, trust anchors, ports. Never connections, sessions of TLS, or tokens.
struct Shared {
    options: ProbeOptions,
    trust: Trust,
    dialer: dial::Dialer,
    credentials: Arc<dyn Credentials>,
    in_flight: Arc<Semaphore>,
    seats: Arc<seats::Seats>,
    serving: serving::Serving,
}

/// Permits of the prober that are taken at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermitsInUse {
    /// Probes running over new connections.
    pub in_flight: usize,
    /// TLS handshakes computing.
    pub handshakes: usize,
    /// Name look-ups running, hung ones included.
    pub lookups: usize,
    /// Connections that are kept.
    pub kept: usize,
}

impl HttpProber {
    /// A prober with the system's resolver.
    pub fn new(options: ProbeOptions, trust: Trust, policy: AddressPolicy, credentials: Arc<dyn Credentials>) -> Self {
        Self::with_look_up(options, trust, policy, credentials, system_look_up())
    }

    /// A prober with another resolver.
    pub fn with_look_up(
        options: ProbeOptions,
        trust: Trust,
        policy: AddressPolicy,
        credentials: Arc<dyn Credentials>,
        look_up: LookUp,
    ) -> Self {
        let resolver = resolve::Resolver::new(look_up, policy, options.max_lookups, options.dns_timeout);
        let shared = Shared {
            dialer: dial::Dialer::new(&options, resolver),
            trust,
            credentials,
            in_flight: Arc::new(Semaphore::new(options.max_in_flight)),
            seats: seats::Seats::new(options.descriptors),
            serving: serving::Serving::default(),
            options,
        };
        Self { shared: Arc::new(shared) }
    }

    /// One that trusts the same authorities and addresses, and shares nothing else: neither permits nor limits.
    pub fn apart(&self, options: ProbeOptions) -> Self {
        let shared = Shared {
            dialer: self.shared.dialer.apart(&options),
            trust: self.shared.trust.clone(),
            credentials: Arc::clone(&self.shared.credentials),
            in_flight: Arc::new(Semaphore::new(options.max_in_flight)),
            seats: seats::Seats::new(options.descriptors),
            serving: serving::Serving::default(),
            options,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The permits in use now.
    pub fn permits_in_use(&self) -> PermitsInUse {
        let (options, (handshakes, lookups)) = (&self.shared.options, self.shared.dialer.free());
        PermitsInUse {
            in_flight: options.max_in_flight - self.shared.in_flight.available_permits(),
            handshakes: options.max_handshakes - handshakes,
            lookups: options.max_lookups - lookups,
            kept: self.shared.seats.taken(),
        }
    }
}

impl Prober for HttpProber {
    fn open(&self, target: Arc<Target>, poke: Poke, vigil: Option<Arc<Vigil>>) -> Box<dyn Session> {
        Box::new(session::HttpSession::new(self.shared.clone(), target, poke, vigil))
    }
}

impl Prover for HttpProber {
    fn prove(&self, target: Arc<Target>, credential: Arc<Credential>) -> BoxFuture<'static, CheckReport> {
        session::HttpSession::new(self.shared.clone(), target, Arc::new(|| {}), None).prove(credential).boxed()
    }

    fn serving_ends(&self, id: ClusterId) -> Vec<(Endpoint, DateTime<Utc>)> {
        self.shared.serving.ends(id)
    }

    fn serving_changes(&self) -> u64 {
        self.shared.serving.changes()
    }

    fn forget(&self, id: ClusterId) {
        self.shared.serving.forget(id);
    }
}

impl Inquirer for HttpProber {
    fn converse(
        &self,
        target: Arc<Target>,
        credential: Arc<Credential>,
    ) -> BoxFuture<'static, Result<Box<dyn Conversation>, Silence>> {
        inquiry::HttpConversation::open(self.shared.clone(), target, credential).boxed()
    }
}
