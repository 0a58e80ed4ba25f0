//! The line to one endpoint of one cluster: its site, its TLS, its kept connection, and how it is probed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fleetbeat_actors::{
    doubt::Vigil,
    health::{Cause, Endpoint, Failure, NotRun, Outcome},
    ports::Poke,
    roll::ClusterId,
    target::Cadence,
};
use http_body_util::Full;
use hyper::{Request, header, header::HeaderValue};
use secrecy::{ExposeSecret, zeroize::Zeroizing};
use tokio::time::{Instant, timeout};

use super::{
    Shared,
    deadline::{Deadline, permit},
    judge::judge,
    seats::Claim,
    site::{Address, Site, USER_AGENT},
    tls::Tls,
    trouble::Trouble,
    wire::{Answer, Lineage, Stream, Wire},
};
use crate::credentials::{Binding, Lookup, Part};

/// How long a refusal waits for the credentials to be read again.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// The line to one endpoint.
pub(super) struct Line {
    endpoint: Endpoint,
    address: Address,
    site: Option<Site>,
    /// Secrets bound to another place do not travel here.
    binding: Option<Binding>,
    tls: Option<Tls>,
    pub(super) kept: Option<Wire>,
    claim: Claim,
    lineage: Arc<Lineage>,
    bearer: Option<(u64, HeaderValue)>,
}

/// The circumstances of one check, the same for all its lines.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub(super) id: ClusterId,
    pub(super) shared: &'a Shared,
    pub(super) cadence: Cadence,
    pub(super) credentials: &'a Lookup,
    /// Are these the stored credentials, which may be newer by the time that they are refused?
    pub(super) stored: bool,
    /// Knows what the process misses, where the engine asks.
    pub(super) vigil: Option<&'a Vigil>,
    pub(super) fresh: bool,
    pub(super) poke: &'a Poke,
}

/// What one line brings back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) outcome: Outcome,
    pub(super) authenticated: bool,
    /// Was the connection made for this probe?
    pub(super) fresh: bool,
}

/// An answer with the time it took.
struct Timed {
    answer: Answer,
    latency: Duration,
    fresh: bool,
}

impl Round<'_> {
    fn permit_wait(&self) -> Duration {
        self.shared.options.permit_wait.min(self.cadence.period)
    }

    /// The stored credentials, when they are others than those that were refused.
    async fn newer(&self) -> Option<Lookup> {
        let Lookup::Some(used) = self.credentials else { return None };
        if !self.stored {
            return None;
        }
        let other = |known| match known {
            Lookup::Some(now) if now.version != used.version => Some(Lookup::Some(now)),
            Lookup::Some(_) | Lookup::None | Lookup::Unavailable => None,
        };
        match other(self.shared.credentials.get(self.id)) {
            Some(newer) => Some(newer),
            None => other(timeout(ASK_AGAIN, self.shared.credentials.ask_again(self.id)).await.ok()?),
        }
    }
}

/// The part of a credential that may be used on a line.
#[derive(Clone, Copy)]
struct Grant<'a> {
    version: u64,
    part: &'a Part,
}

impl Line {
    pub(super) fn new(endpoint: Endpoint, address: Address, claim: Claim) -> Self {
        let site = Site::parse(endpoint, &address);
        let binding = Binding::of(&address.url, address.ca_bundle.as_deref());
        Self { endpoint, address, site, binding, tls: None, kept: None, claim, lineage: Arc::default(), bearer: None }
    }

    /// From now on the line is probed every `period`.
    pub(super) fn retune(&mut self, period: Duration) {
        self.claim.retune(period);
        if let Some(wire) = &mut self.kept {
            wire.retune(period);
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The path that its URL begins with, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        self.site.as_ref().map_or("", |site| &site.base)
    }

    /// Does it speak TLS, so that credentials may travel on it?
    pub(super) fn is_secure(&self) -> bool {
        self.site.as_ref().is_some_and(|site| site.secure)
    }

    /// One probe, with the deadline for everything but waits for permits.
    pub(super) async fn probe(&mut self, round: &Round<'_>) -> Found {
        let started = Instant::now();
        let (outcome, authenticated, fresh) = match self.admitted(round).await {
            Ok((timed, authenticated)) => {
                let outcome = judge(self.endpoint, authenticated, &timed.answer, timed.latency);
                (outcome, authenticated, timed.fresh)
            }
            Err(Trouble::NotRun(reason)) => (Outcome::NotRun(reason), false, round.fresh),
            Err(Trouble::Failed(cause)) => {
                self.lineage.forget();
                (Outcome::failed(Failure::of(cause), started.elapsed()), self.carries_secret(round), true)
            }
        };
        Found { outcome, authenticated, fresh }
    }

    fn carries_secret(&self, round: &Round<'_>) -> bool {
        self.grant(round).is_some()
    }

    /// What may be used on this line: nothing without TLS, nothing that is bound to another place.
    fn grant<'a>(&self, round: &Round<'a>) -> Option<Grant<'a>> {
        let Lookup::Some(credential) = round.credentials else { return None };
        let part = credential.part(self.endpoint)?;
        let at_home = part.bound_to.as_ref().is_none_or(|bound| self.binding.as_ref() == Some(bound));
        (self.is_secure() && at_home).then_some(Grant { version: credential.version, part })
    }

    async fn admitted(&mut self, round: &Round<'_>) -> Result<(Timed, bool), Trouble> {
        if self.is_secure() && matches!(round.credentials, Lookup::Unavailable) {
            return Err(Trouble::NotRun(NotRun::CredentialStore));
        }
        let mut deadline = Deadline::watched(round.cadence.deadline, round.vigil);
        let answered = self.believed(round, &mut deadline).await;
        answered.map_err(|trouble| deadline.weigh(trouble))
    }

    async fn believed(&mut self, round: &Round<'_>, deadline: &mut Deadline<'_>) -> Result<(Timed, bool), Trouble> {
        // A refusal counts only when the credentials did not change meanwhile. The deadline ends it in any case.
        let mut credentials = round.credentials.clone();
        loop {
            let round = Round { credentials: &credentials, ..*round };
            let (timed, authenticated) = self.asked(&round, deadline).await?;
            if timed.answer.status != 401 {
                return Ok((timed, authenticated));
            }
            match deadline.paused(round.newer()).await {
                Some(newer) => credentials = newer,
                None => return Ok((timed, authenticated)),
            }
        }
    }

    async fn asked(&mut self, round: &Round<'_>, deadline: &mut Deadline<'_>) -> Result<(Timed, bool), Trouble> {
        let authenticated = self.prepare(round).map_err(Trouble::Failed)?;
        let request = self.request(authenticated).ok_or(Trouble::Failed(Cause::Blocked))?;
        if let Some(timed) = self.over_kept(round, &request, deadline).await? {
            return Ok((timed, authenticated));
        }
        let timed = self.over_fresh(round, request, deadline).await?;
        Ok((timed, authenticated))
    }

    /// Brings TLS identity and token up to date with the credential. Will the probe carry credentials?
    pub(super) fn prepare(&mut self, round: &Round<'_>) -> Result<bool, Cause> {
        let grant = self.grant(round);
        if self.is_secure() {
            let own = grant.filter(|grant| Tls::depends_on(self.endpoint, grant.part));
            let identity = own.map_or(0, |grant| grant.version);
            if self.tls.as_ref().is_none_or(|tls| tls.identity != identity) {
                self.kept = None;
                self.tls = Some(self.configure(round.shared, identity, own.map(|grant| grant.part))?);
            }
        }
        match grant.and_then(|grant| Some((grant.version, grant.part.token.as_ref()?))) {
            None => self.bearer = None,
            Some((version, _)) if self.bearer.as_ref().is_some_and(|(known, _)| *known == version) => {}
            Some((version, token)) => {
                let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
                let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| Cause::Credentials)?;
                value.set_sensitive(true);
                self.bearer = Some((version, value));
            }
        }
        Ok(grant.is_some())
    }

    fn configure(&self, shared: &Shared, identity: u64, part: Option<&Part>) -> Result<Tls, Cause> {
        let own = part.and_then(|part| part.ca_pem.as_deref());
        let bundle = self.address.ca_bundle.as_deref();
        let verifier = match self.endpoint {
            Endpoint::ApiServer => shared.trust.for_api_server(bundle.or(own)),
            Endpoint::Prometheus | Endpoint::Tempo | Endpoint::Loki => shared.trust.for_endpoint(own.or(bundle)),
        };
        let part = part.filter(|_| self.endpoint == Endpoint::ApiServer);
        let named = part.filter(|_| self.address.server_name.is_none());
        Tls::new(
            shared.trust.provider(),
            verifier.map_err(|_| Cause::Tls)?,
            identity,
            part.and_then(|part| part.certificate.as_ref()),
            named.and_then(|part| part.tls_server_name.as_deref()),
        )
    }

    pub(super) fn request(&self, authenticated: bool) -> Option<Request<Full<Bytes>>> {
        let site = self.site.as_ref()?;
        let mut request = Request::new(Full::default());
        *request.uri_mut() = if authenticated { site.authenticated.clone() } else { site.anonymous.clone() };
        let headers = request.headers_mut();
        headers.insert(header::HOST, site.authority.clone());
        headers.insert(USER_AGENT.0, USER_AGENT.1);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if let Some((_, bearer)) = &self.bearer {
            headers.insert(header::AUTHORIZATION, bearer.clone());
        }
        Some(request)
    }

    /// Asks over the kept connection. `None` when there is none, or it failed in a way that a fresh one may mend.
    async fn over_kept(
        &mut self,
        round: &Round<'_>,
        request: &Request<Full<Bytes>>,
        deadline: &mut Deadline<'_>,
    ) -> Result<Option<Timed>, Trouble> {
        let expired = self.tls.as_ref().is_some_and(Tls::has_expired);
        let kept = self.kept.take().filter(|_| !round.fresh && !expired);
        let Some(wire) = kept.and_then(Wire::wake) else { return Ok(None) };
        let began = Instant::now();
        match deadline.bound(Cause::Timeout, wire.ask(request.clone(), &round.shared.options)).await? {
            Ok((answer, wire)) => Ok(Some(self.keep(wire, answer, began, false))),
            Err(Trouble::Failed(Cause::TooLarge)) => Err(Trouble::Failed(Cause::TooLarge)),
            Err(_) => Ok(None),
        }
    }

    async fn over_fresh(
        &mut self,
        round: &Round<'_>,
        request: Request<Full<Bytes>>,
        deadline: &mut Deadline<'_>,
    ) -> Result<Timed, Trouble> {
        let permit = permit(&round.shared.in_flight, round.permit_wait(), NotRun::NoPermit);
        let _permit = deadline.paused(permit).await.map_err(Trouble::NotRun)?;
        // Boxed: the way to a new connection is long, and rarely taken.
        let wire = Box::pin(self.dial(round, deadline)).await?;
        let began = Instant::now();
        let asked = wire.ask(request, &round.shared.options);
        let (answer, wire) = deadline.bound(Cause::Timeout, asked).await??;
        Ok(self.keep(wire, answer, began, true))
    }

    pub(super) async fn dial(&mut self, round: &Round<'_>, deadline: &mut Deadline<'_>) -> Result<Wire, Trouble> {
        let (shared, wait) = (round.shared, round.permit_wait());
        let site = self.site.as_ref().ok_or(Trouble::Failed(Cause::Blocked))?;
        let mut place = deadline.paused(shared.seats.place(wait)).await.map_err(Trouble::NotRun)?;
        let stream = shared.dialer.tcp(site, deadline).await?;
        let keeps = place.sit(&self.claim);
        let (lineage, poke) = (self.lineage.clone(), round.poke.clone());
        let Some(tls) = self.tls.as_mut().filter(|_| site.secure) else {
            return Ok(Wire::new(Stream::Plain(stream), Some(place), lineage, poke));
        };
        // A resumed session does not show the certificate: only a line that cannot keep its connection resumes.
        if round.fresh || keeps || tls.has_expired() {
            tls.forget_session();
        }
        let stream = shared.dialer.tls(site, tls, stream, deadline, wait).await?;
        tls.shook_hands(stream.get_ref().1, (!keeps).then_some(shared.options.resume_for));
        shared.serving.note(round.id, self.endpoint, tls.not_after());
        Ok(Wire::new(Stream::Secure(Box::new(stream)), Some(place), lineage, poke))
    }

    /// Keeps the connection where it may be kept, and tells how long the answer took.
    fn keep(&mut self, wire: Wire, answer: Answer, began: Instant, fresh: bool) -> Timed {
        let latency = began.elapsed();
        self.kept = wire.after(&answer);
        Timed { answer, latency, fresh }
    }
}
