//! One connection: the handshake, then requests, each with its peer and its deadlines.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{
        HeaderValue, Request, StatusCode, Version,
        header::{CONNECTION, HOST},
    },
};
use hyper::{
    Response,
    body::{Body as _, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tower::Service;

use super::{
    Limits,
    activity::{Activity, Overdue},
    body::{Coming, Going},
    crowd::Place,
    frames::Frames,
    peer::Peer,
    tls::Tls,
    wire::{Ear, Line, Wire},
};

/// How often an HTTP/2 client is asked whether it is there, and how long it may take to say so. A client in the middle of a
/// frame cannot: both together are how long it may stay there.
const PING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(4));
/// HTTP/2: streams that a client reset and nobody took yet, and streams that we reset for its errors.
const RESET_STREAMS: usize = 20;
const ERRED_STREAMS: usize = 128;
/// HTTP/2: what a client may send before we took it, bytes a stream and a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: what waits to be sent, bytes a stream.
const SEND_BUFFER: usize = 64 * 1024;

/// What all connections of a door share.
#[derive(Clone)]
pub(super) struct House {
    pub(super) router: Router,
    pub(super) limits: Arc<Limits>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Serves a connection to its end.
pub(super) async fn serve(house: House, line: Box<dyn Line>, peer: Peer, place: Place) {
    let began = Instant::now();
    let activity = Activity::since(began, &house.limits);
    let tls = house.tls.as_ref().filter(|_| !peer.unix);
    let Some(tls) = tls else {
        let wire = Wire::new(line, Arc::clone(&activity), Ear::Requests, place);
        return house.http1(wire, peer, &activity).await;
    };
    let shaken = timeout(house.limits.handshake_timeout, tls.acceptor().accept(line)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(?peer, %error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!(?peer, "a TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let peer = peer.with_tls(session.peer_certificates());
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let ear = if is_http2 { Ear::Frames(Frames::new()) } else { Ear::Requests };
    let wire = Wire::new(Box::new(stream), Arc::clone(&activity), ear, place);
    if is_http2 { house.http2(wire, peer, &activity).await } else { house.http1(wire, peer, &activity).await }
}

impl House {
    async fn http1(self, wire: Wire, peer: Peer, activity: &Arc<Activity>) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(self.limits.headers)
            .max_header_size(self.limits.head_bytes)
            .max_buf_size(self.limits.head_bytes * 2)
            .serve_connection(TokioIo::new(wire), service_fn(self.answers(peer, activity)))
            .with_upgrades();
        drive(connection, activity, self.stopping, |connection| connection.graceful_shutdown()).await;
    }

    async fn http2(self, wire: Wire, peer: Peer, activity: &Arc<Activity>) {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(ERRED_STREAMS)
            .max_header_list_size(u32::try_from(self.limits.head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .serve_connection(TokioIo::new(wire), service_fn(self.answers(peer, activity)));
        drive(connection, activity, self.stopping, |connection| connection.graceful_shutdown()).await;
    }

    /// Answers requests of this peer.
    fn answers(&self, peer: Peer, activity: &Arc<Activity>) -> impl Fn(Request<Incoming>) -> AnswerFuture + use<> {
        let (router, limits, activity) = (self.router.clone(), Arc::clone(&self.limits), Arc::clone(activity));
        move |request| {
            if !names_one_host(&request) {
                return Box::pin(std::future::ready(Ok(unnamed())));
            }
            let (in_flight, began) = activity.asked(!request.body().is_end_stream());
            let mut request = request.map(|body| Coming::body(body, began, &limits));
            request.extensions_mut().insert(peer.clone());
            let answer = router.clone().call(request);
            Box::pin(async move {
                let response = answer.await?;
                Ok(response.map(|body| Body::new(Going::new(body, in_flight))))
            })
        }
    }
}

/// HTTP/1.1 wants exactly one: with two, who stands in front and we could each believe in another.
fn names_one_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    hosts == 1 || hosts == 0 && request.version() != Version::HTTP_11
}

/// As for anything else that is no HTTP.
fn unnamed() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

type AnswerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Drives a connection until it ends, takes too long, or was asked to end and did.
async fn drive<C: Future<Output = Result<(), hyper::Error>>>(
    connection: C,
    activity: &Activity,
    mut stopping: watch::Receiver<bool>,
    begin_to_end: impl Fn(Pin<&mut C>),
) {
    let (mut connection, mut overdue, mut ending) = (pin!(connection), pin!(activity.overdue()), false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return told(ended),
            why = overdue.as_mut() => return cut(why),
            _ = stopping.wait_for(|stop| *stop), if !ending => {
                ending = true;
                begin_to_end(connection.as_mut());
            }
        }
    }
}

fn told(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

fn cut(why: Overdue) {
    metrics::counter!("fleetbeat_api_connections_cut_total", "reason" => why.as_str()).increment(1);
    tracing::debug!(reason = why.as_str(), "a connection took too long and was closed");
}
