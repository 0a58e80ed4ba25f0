//! One HTTP/1.1 connection: one request at a time under caps, and a guard while it rests. Between requests nothing of HTTP
//! is kept but the stream: a fleet has thousands of connections at rest.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use fleetbeat_actors::{health::Cause, ports::Poke};
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    client::conn::http1::Builder,
    header,
};
use hyper_util::rt::TokioIo;
use secrecy::zeroize::Zeroizing;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    task::AbortHandle,
};
use tokio_rustls::client::TlsStream;

use super::{
    options::ProbeOptions,
    seats::Place,
    socket::Socket,
    trouble::{OverBudget, Trouble},
};
use crate::webhooks::Later;

/// Bytes an answer may take besides headers and body: chunk sizes, interim answers.
const SLACK: usize = 16 * 1024;

/// What HTTP goes over.
pub(super) enum Stream {
    Plain(Socket),
    Secure(Box<TlsStream<Socket>>),
}

/// An established connection, usable for one request at a time. Dropping it ends it.
pub(super) struct Wire {
    stream: Stream,
    /// Its place among the connections to clusters.
    place: Option<Place>,
    lineage: Arc<Lineage>,
    /// Called once if the peer closes the connection while it rests, or with an answer that was to keep it open.
    poke: Poke,
    /// Answers so far.
    served: u32,
    guard: Option<Guard>,
}

/// A complete answer. Its content was counted, and thrown away or kept apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Was the body longer than the cap?
    pub(super) overflows: bool,
    /// Can the connection serve another request?
    pub(super) reusable: bool,
    /// Did the peer close the connection with this answer, which was to keep it open?
    broken_off: bool,
    /// When a server that has too much to do wants to be asked again.
    pub(super) later: Option<Later>,
}

/// What a line remembers about how its connections ended: a server that closes after every single answer must not make
/// the line poke without end.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    last_was_brief: AtomicBool,
}

impl Lineage {
    /// A probe failed, so whatever closes connections is no habit of a healthy server.
    pub(super) fn forget(&self) {
        self.last_was_brief.store(false, Ordering::Relaxed);
    }

    /// A connection was closed by its peer after `served` answers: does that want a look now?
    fn wants_look(&self, served: u32) -> bool {
        let brief = served <= 1;
        !(self.last_was_brief.swap(brief, Ordering::Relaxed) && brief)
    }
}

/// Watches a connection at rest. Dropping it ends the watch.
struct Guard {
    undisturbed: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Guard {
    fn over(wire: &Wire) -> Self {
        let undisturbed = Arc::new(AtomicBool::new(true));
        let (socket, watched) = (wire.stream.socket().clone(), Arc::clone(&undisturbed));
        let (lineage, poke, served) = (Arc::clone(&wire.lineage), Arc::clone(&wire.poke), wire.served);
        let task = tokio::spawn(async move {
            socket.disturbed().await;
            if watched.swap(false, Ordering::AcqRel) && lineage.wants_look(served) {
                poke();
            }
        });
        Self { undisturbed, task: task.abort_handle() }
    }

    /// Ends the watch. Was the connection left alone?
    fn relieve(self) -> bool {
        self.undisturbed.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// A new connection, not used yet.
    pub(super) fn new(stream: Stream, place: Option<Place>, lineage: Arc<Lineage>, poke: Poke) -> Self {
        Self { stream, place, lineage, poke, served: 0, guard: None }
    }

    /// What is left of it after an answer: a wire at rest, where it can serve another request and may be kept.
    pub(super) fn after(self, answer: &Answer) -> Option<Self> {
        if answer.reusable && self.place.as_ref().is_some_and(Place::may_be_kept) {
            return Some(self.rest());
        }
        self.part();
        None
    }

    /// Its line is now checked every `period`.
    pub(super) fn retune(&mut self, period: Duration) {
        if let Some(place) = &mut self.place {
            place.retune(period);
        }
    }

    /// Takes a wire at rest into use. `None` when the peer has closed it, or sent what nobody asked for.
    pub(super) fn wake(mut self) -> Option<Self> {
        self.guard.take().is_some_and(Guard::relieve).then_some(self)
    }

    /// Lets a wire rest until the next request, under guard.
    pub(super) fn rest(mut self) -> Self {
        self.guard = Some(Guard::over(&self));
        self
    }

    /// Ends the connection in good order, without waiting for it.
    pub(super) fn part(mut self) {
        let _ = self.stream.shutdown().now_or_never();
    }

    /// One request, one complete answer within the caps.
    pub(super) async fn ask(
        self,
        request: Request<Full<Bytes>>,
        options: &ProbeOptions,
    ) -> Result<(Answer, Self), Trouble> {
        self.exchange(request, options, &mut |_| {}).await
    }

    /// As [`Wire::ask`], with the answer's body; cut short where the answer overflows.
    pub(super) async fn ask_whole(
        self,
        request: Request<Full<Bytes>>,
        options: &ProbeOptions,
    ) -> Result<(Answer, Zeroizing<Vec<u8>>, Self), Trouble> {
        let mut body = Zeroizing::new(Vec::new());
        let (answer, wire) = self.exchange(request, options, &mut |bytes| body.extend_from_slice(bytes)).await?;
        Ok((answer, body, wire))
    }

    async fn exchange(
        self,
        request: Request<Full<Bytes>>,
        options: &ProbeOptions,
        keep: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(Answer, Self), Trouble> {
        let (answer, stream) = exchange(self.stream, request, options, keep).await?;
        let wire = Self { stream, served: self.served + 1, ..self };
        if answer.broken_off && wire.lineage.wants_look(wire.served) {
            (wire.poke)();
        }
        Ok((answer, wire))
    }
}

/// Speaks HTTP for one request, in the task of the caller. The stream comes back, at the end of the answer where the
/// answer says that it may be used again.
async fn exchange(
    stream: Stream,
    request: Request<Full<Bytes>>,
    options: &ProbeOptions,
    keep: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(Answer, Stream), Trouble> {
    let metered = Metered { stream, budget: options.header_bytes + options.body_bytes + SLACK };
    let (mut sender, mut connection) = Builder::new()
        .max_buf_size(options.header_bytes.max(8_192))
        .max_header_size(options.header_bytes)
        .handshake(TokioIo::new(metered))
        .await
        .map_err(|error| Trouble::of_exchange(&error))?;
    let response = sender.send_request(request);
    let mut asked = pin!(async {
        let response = response.await.map_err(|error| Trouble::of_exchange(&error))?;
        let (status, keeps_alive, later) = (response.status().as_u16(), keeps_alive(&response), later(&response));
        let overflows = match drain(response.into_body(), options.body_bytes, keep).await {
            Err(Trouble::Failed(Cause::TooLarge)) => true,
            drained => drained.map(|()| false)?,
        };
        Ok(Answer { status, overflows, reusable: keeps_alive && !overflows, broken_off: false, later })
    });
    let mut ended = false;
    let mut answer = loop {
        tokio::select! {
            biased;
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)), if !ended => ended = true,
            answer = &mut asked => break answer?,
        }
    };
    drop(sender);
    // Without a sender, a connection at the end of its answer ends where it stands.
    let rests = poll_fn(|cx| Poll::Ready(connection.poll_without_shutdown(cx).is_ready())).await;
    let parts = connection.into_parts();
    answer.broken_off = answer.reusable && ended;
    answer.reusable &= !ended && rests && parts.read_buf.is_empty();
    Ok((answer, parts.io.into_inner().stream))
}

/// Will the server keep the connection open after this answer?
fn keeps_alive(response: &Response<Incoming>) -> bool {
    let headers = response.headers();
    let says = |word: &str| {
        let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    let delimited = response.body().size_hint().exact().is_some() || headers.contains_key(header::TRANSFER_ENCODING);
    delimited && !says("close") && (response.version() == Version::HTTP_11 || says("keep-alive"))
}

/// What a 429 or 503 says of when to come again.
fn later(response: &Response<Incoming>) -> Option<Later> {
    let says_so = matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let value = response.headers().get(header::RETRY_AFTER).filter(|_| says_so)?;
    Later::read(value.to_str().ok()?)
}

async fn drain(mut body: Incoming, cap: usize, keep: &mut (dyn FnMut(&[u8]) + Send)) -> Result<(), Trouble> {
    let announced = body.size_hint().lower();
    if announced > cap as u64 {
        return Err(Trouble::Failed(Cause::TooLarge));
    }
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Trouble::of_exchange(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        seen = seen.saturating_add(data.len());
        if seen > cap {
            return Err(Trouble::Failed(Cause::TooLarge));
        }
        keep(data);
    }
    Ok(())
}

impl Stream {
    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream whose reader has a budget: whatever a peer sends, and in whatever shape, comes to an end.
struct Metered {
    stream: Stream,
    /// Bytes that may still be read.
    budget: usize,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        match self.budget.checked_sub(read) {
            Some(left) => self.budget = left,
            None => return Poll::Ready(Err(io::Error::other(OverBudget))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_closes_after_every_answer_pokes_once() {
        let lineage = Lineage::default();
        assert!(lineage.wants_look(1));
        assert!(!lineage.wants_look(1));
        assert!(!lineage.wants_look(1));
        assert!(lineage.wants_look(7));
        assert!(lineage.wants_look(1));
        lineage.forget();
        assert!(lineage.wants_look(1));
    }
}
