//! Takes messages of webhooks to their destinations: judged by the same address policy as clusters, on the very address that
//! is connected to; over connections that no two webhooks share, under the same caps; a redirect is an answer like any other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use fleetbeat_actors::health::{Cause, Endpoint};
use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    header::{self, HeaderValue},
};
use parking_lot::Mutex;
use tokio::time::Instant;
use url::{Position, Url};
use uuid::Uuid;

use super::{
    HttpProber, ProbeOptions, Trust,
    deadline::Deadline,
    dial::Dialer,
    site::{Address, Site, USER_AGENT},
    tls::Tls,
    trouble::Trouble,
    wire::{Answer, Stream, Wire},
};
use crate::webhooks::{Courier, Delivery, Letter};

/// Longest look-up while a destination is only judged.
const JUDGED_WITHIN: Duration = Duration::from_secs(3);
/// Longest rest of a connection between two messages.
const RESTS_FOR: Duration = Duration::from_secs(60);
/// Longest life of a connection: what a name leads to is asked again.
const LIVES_FOR: Duration = Duration::from_secs(300);

/// A courier over HTTP(S).
pub struct HttpCourier {
    options: ProbeOptions,
    dialer: Dialer,
    trust: Trust,
    /// Longest time for one message, from the look-up to the end of the answer.
    deadline: Duration,
    /// One connection of each webhook, at most.
    resting: Mutex<HashMap<Uuid, Kept>>,
}

/// A connection that waits for the next message.
struct Kept {
    wire: Wire,
    /// Scheme, host and port that it leads to.
    origin: String,
    opened: Instant,
    rests_since: Instant,
}

impl HttpCourier {
    /// One that trusts the same authorities and addresses as a prober, and shares nothing else with it.
    pub fn beside(prober: &HttpProber, options: ProbeOptions, deadline: Duration) -> Self {
        let dialer = prober.shared.dialer.apart(&options);
        Self { dialer, options, trust: prober.shared.trust.clone(), deadline, resting: Mutex::default() }
    }

    async fn take(&self, letter: Letter) -> Result<Answer, Trouble> {
        let site = site(&letter.url).ok_or(Trouble::Failed(Cause::Blocked))?;
        let (line, origin) = (letter.line, letter.url.origin().ascii_serialization());
        let request = request(letter, &site).ok_or(Trouble::Failed(Cause::Blocked))?;
        let mut deadline = Deadline::after(self.deadline);
        // A failure on a connection that had rested may only tell that it was closed meanwhile.
        if let Some((wire, opened)) = line.and_then(|line| self.wake(line, &origin))
            && let Ok((answer, wire)) = deadline.bound(Cause::Timeout, wire.ask(request.clone(), &self.options)).await?
        {
            self.rest(line, wire, origin, opened, &answer);
            return Ok(answer);
        }
        let wire = Box::pin(self.connect(&site, &mut deadline)).await?;
        let (answer, wire) = deadline.bound(Cause::Timeout, wire.ask(request, &self.options)).await??;
        self.rest(line, wire, origin, Instant::now(), &answer);
        Ok(answer)
    }

    /// The connection that rests on a line, and when it was opened.
    fn wake(&self, line: Uuid, origin: &str) -> Option<(Wire, Instant)> {
        let kept = self.resting.lock().remove(&line)?;
        let usable = kept.is_fresh() && kept.origin == origin;
        Some((kept.wire.wake().filter(|_| usable)?, kept.opened))
    }

    fn rest(&self, line: Option<Uuid>, wire: Wire, origin: String, opened: Instant, answer: &Answer) {
        let Some(line) = line.filter(|_| answer.reusable) else { return wire.part() };
        let mut resting = self.resting.lock();
        resting.retain(|_, kept| kept.is_fresh());
        resting.insert(line, Kept { wire: wire.rest(), origin, opened, rests_since: Instant::now() });
    }

    async fn connect(&self, site: &Site, deadline: &mut Deadline<'_>) -> Result<Wire, Trouble> {
        let stream = self.dialer.tcp(site, deadline).await?;
        let poke = Arc::new(|| {});
        if !site.secure {
            return Ok(Wire::new(Stream::Plain(stream), None, Default::default(), poke));
        }
        let verifier = self.trust.for_endpoint(None).map_err(|_| Trouble::Failed(Cause::Tls))?;
        let tls = Tls::new(self.trust.provider(), verifier, 0, None, None).map_err(Trouble::Failed)?;
        let stream = self.dialer.tls(site, &tls, stream, deadline, self.options.permit_wait).await?;
        Ok(Wire::new(Stream::Secure(Box::new(stream)), None, Default::default(), poke))
    }
}

impl Kept {
    fn is_fresh(&self) -> bool {
        self.rests_since.elapsed() < RESTS_FOR && self.opened.elapsed() < LIVES_FOR
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn admits(&self, url: &Url) -> bool {
        let Some(site) = site(url) else { return false };
        let judged = self.dialer.judge(&site, &mut Deadline::after(JUDGED_WITHIN)).await;
        judged != Err(Trouble::Failed(Cause::Blocked))
    }

    async fn deliver(&self, letter: Letter) -> Delivery {
        match self.take(letter).await {
            // What an answer says beyond its status is nobody's concern, however long it is.
            Ok(Answer { status, later: Some(later), .. }) => Delivery::Deferred(status, later),
            Ok(answer) => Delivery::Answered(answer.status),
            Err(Trouble::Failed(cause)) => Delivery::Failed(cause),
            Err(Trouble::NotRun(_)) => Delivery::NotRun,
        }
    }
}

/// Where a destination is. What its endpoint would be asked plays no part.
fn site(url: &Url) -> Option<Site> {
    Site::parse(Endpoint::Loki, &Address { url: url.to_string(), ca_bundle: None, server_name: None })
}

fn request(letter: Letter, site: &Site) -> Option<Request<Full<bytes::Bytes>>> {
    let mut request = Request::new(Full::new(letter.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(&letter.url[Position::BeforePath..Position::AfterQuery]).ok()?;
    *request.headers_mut() = letter.headers;
    let headers = request.headers_mut();
    headers.insert(header::HOST, site.authority.clone());
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT.0, USER_AGENT.1);
    Some(request)
}
