//! One probe taken apart: how long each leg took. For people who look for what is wrong; no check comes this way.

use std::time::Duration;

use bytes::Bytes;
use fleetbeat_actors::health::{Cause, Endpoint};
use http_body_util::Empty;
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    AddressPolicy, ProbeOptions, Trust,
    deadline::Deadline,
    dial::Dialer,
    resolve::{Resolver, system_look_up},
    site::{Address, Site},
    tls::Tls,
    trouble::Trouble,
};

/// What is probed.
#[derive(Clone, Debug)]
pub struct Asked {
    /// URL of an API server.
    pub url: String,
    /// The authorities that alone are trusted for it.
    pub ca_bundle: Option<String>,
    /// Name to verify in place of the URL's host.
    pub server_name: Option<String>,
}

/// A leg that came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// What it is.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub told: String,
}

/// A probe taken apart.
#[derive(Clone, Debug, Default)]
pub struct Legs {
    /// The legs that succeeded, in their order.
    pub done: Vec<Leg>,
    /// The leg that did not, and why.
    pub failed: Option<(&'static str, String)>,
}

impl Legs {
    fn end(&mut self, name: &'static str, began: Instant, told: String) -> Instant {
        self.done.push(Leg { name, took: began.elapsed(), told });
        Instant::now()
    }

    fn fail(mut self, name: &'static str, trouble: Trouble) -> Self {
        let why = match trouble {
            Trouble::Failed(cause) => cause.as_str().to_owned(),
            Trouble::NotRun(why) => format!("not run: {}", why.as_str()),
        };
        self.failed = Some((name, why));
        self
    }
}

/// Asks an API server once how it is, without credentials, over a connection of its own.
pub async fn take_apart(asked: &Asked, trust: &Trust, policy: AddressPolicy, within: Duration) -> Legs {
    let mut legs = Legs::default();
    let address =
        Address { url: asked.url.clone(), ca_bundle: asked.ca_bundle.clone(), server_name: asked.server_name.clone() };
    let Some(site) = Site::parse(Endpoint::ApiServer, &address) else {
        return legs.fail("address", Trouble::Failed(Cause::Blocked));
    };
    let options = ProbeOptions::default();
    let resolver = || Resolver::new(system_look_up(), policy.clone(), 1, within);
    let dialer = Dialer::new(&options, resolver());
    let mut deadline = Deadline::after(within);
    let began = Instant::now();
    let addresses = match resolver().resolve(&site.host, site.port, &mut deadline).await {
        Ok(addresses) => addresses,
        Err(trouble) => return legs.fail("name", trouble),
    };
    let told = addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
    let began = legs.end("name", began, told);
    let stream = match dialer.tcp(&site, &mut deadline).await {
        Ok(stream) => stream,
        Err(trouble) => return legs.fail("connect", trouble),
    };
    let told = stream.peer().map(|peer| peer.to_string()).unwrap_or_default();
    let began = legs.end("connect", began, told);
    if !site.secure {
        return answer(legs, TokioIo::new(stream), &site, deadline, began).await;
    }
    let verifier = trust.for_api_server(asked.ca_bundle.as_deref());
    let tls = verifier
        .map_err(|_| Cause::Tls)
        .and_then(|verifier| Tls::new(trust.provider(), verifier, 0, None, asked.server_name.as_deref()));
    let tls = match tls {
        Ok(tls) => tls,
        Err(cause) => return legs.fail("tls", Trouble::Failed(cause)),
    };
    let stream = match dialer.tls(&site, &tls, stream, &mut deadline, within).await {
        Ok(stream) => stream,
        Err(trouble) => return legs.fail("tls", trouble),
    };
    let version = stream.get_ref().1.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
    let began = legs.end("tls", began, version);
    answer(legs, TokioIo::new(stream), &site, deadline, began).await
}

async fn answer<S>(mut legs: Legs, stream: TokioIo<S>, site: &Site, mut deadline: Deadline<'_>, began: Instant) -> Legs
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::get(site.anonymous.clone()).header(HOST, site.authority.clone());
    let exchange = async {
        let (mut sender, connection) = http1::handshake(stream).await.ok()?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok();
        connection.abort();
        response
    };
    match deadline.bound(Cause::Timeout, exchange).await {
        Ok(Some(response)) => {
            legs.end("answer", began, format!("{} {}", site.anonymous, response.status()));
            legs
        }
        Ok(None) => legs.fail("answer", Trouble::Failed(Cause::Protocol)),
        Err(trouble) => legs.fail("answer", trouble),
    }
}
