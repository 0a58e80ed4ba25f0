//! What is kept between the checks of one cluster: a line per configured endpoint.

use std::sync::Arc;

use fleetbeat_actors::{
    doubt::Vigil,
    health::{CheckReport, Endpoint, Outcome},
    ports::{Poke, Session},
    target::Target,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, join, join_all},
};

use super::{
    Shared,
    line::{Found, Line, Round},
    site::Address,
};
use crate::credentials::{Credential, Lookup};

/// The session of one cluster.
pub(super) struct HttpSession {
    shared: Arc<Shared>,
    target: Arc<Target>,
    poke: Poke,
    vigil: Option<Arc<Vigil>>,
    api_server: Line,
    others: Vec<Line>,
}

impl HttpSession {
    pub(super) fn new(shared: Arc<Shared>, target: Arc<Target>, poke: Poke, vigil: Option<Arc<Vigil>>) -> Self {
        let claim = shared.seats.claim(target.cadence.period);
        let api_server = Line::new(Endpoint::ApiServer, Address::of_api_server(&target), claim);
        let mut session = Self { shared, target: target.clone(), poke, vigil, api_server, others: Vec::new() };
        session.retune(target);
        session
    }

    async fn run(&mut self, fresh: bool) -> CheckReport {
        let secure = self.api_server.is_secure() || self.others.iter().any(Line::is_secure);
        let credentials = if secure { self.shared.credentials.get(self.target.id()) } else { Lookup::None };
        self.round(&credentials, true, fresh).await
    }

    /// One check over new connections with these credentials in place of the stored ones.
    pub(super) async fn prove(mut self, credential: Arc<Credential>) -> CheckReport {
        self.round(&Lookup::Some(credential), false, true).await
    }

    async fn round(&mut self, credentials: &Lookup, stored: bool, fresh: bool) -> CheckReport {
        let round = Round {
            id: self.target.id(),
            shared: &self.shared,
            cadence: self.target.cadence,
            credentials,
            stored,
            vigil: self.vigil.as_deref(),
            fresh,
            poke: &self.poke,
        };
        let api_server = self.api_server.probe(&round);
        let (api_server, others) = if self.others.is_empty() {
            (api_server.await, Vec::new())
        } else {
            let others = self.others.iter_mut().map(async |line| (line.endpoint(), line.probe(&round).await));
            join(api_server, join_all(others)).await
        };
        report(api_server, &others)
    }
}

impl Session for HttpSession {
    fn check(&mut self, fresh: bool) -> BoxFuture<'_, CheckReport> {
        self.run(fresh).boxed()
    }

    fn retune(&mut self, target: Arc<Target>) {
        let mut known: Vec<Line> = std::mem::take(&mut self.others);
        let (api_server, period) = (Address::of_api_server(&target), target.cadence.period);
        if api_server == *self.api_server.address() {
            self.api_server.retune(period);
        } else {
            self.api_server = Line::new(Endpoint::ApiServer, api_server, self.shared.seats.claim(period));
        }
        for endpoint in [Endpoint::Prometheus, Endpoint::Tempo, Endpoint::Loki] {
            let Some(address) = Address::of(&target, endpoint) else { continue };
            let same = |line: &Line| line.endpoint() == endpoint && *line.address() == address;
            let mut line = match known.iter().position(same) {
                Some(index) => known.swap_remove(index),
                None => Line::new(endpoint, address, self.shared.seats.claim(period)),
            };
            line.retune(period);
            self.others.push(line);
        }
        self.target = target;
    }
}

fn report(api_server: Found, others: &[(Endpoint, Found)]) -> CheckReport {
    let outcome = |endpoint| -> Option<Outcome> {
        others.iter().find(|(which, _)| *which == endpoint).map(|(_, found)| found.outcome)
    };
    CheckReport {
        api_server: api_server.outcome,
        prometheus: outcome(Endpoint::Prometheus),
        tempo: outcome(Endpoint::Tempo),
        loki: outcome(Endpoint::Loki),
        authenticated: api_server.authenticated,
        fresh: api_server.fresh,
    }
}
