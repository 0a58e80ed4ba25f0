//! One HTTP/1.1 connection: its driver task, its caps, and how it tells that the peer has closed it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use fleetbeat_actors::{health::Cause, ports::Poke};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, Version,
    body::{Body, Incoming},
    client::conn::http1::{Builder, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use secrecy::zeroize::Zeroizing;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::AbortHandle,
};

use super::{
    options::ProbeOptions,
    seats::Seat,
    trouble::{OverBudget, Trouble},
};

/// Bytes an answer may take besides headers and body: chunk sizes, interim answers.
const SLACK: usize = 16 * 1024;

/// An established connection, usable for one request at a time. Dropping it ends it.
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    pulse: Arc<Pulse>,
    driver: AbortHandle,
    /// Held while the connection counts among the kept ones.
    keep: Option<Seat>,
}

/// A complete answer. Its content was counted, and thrown away or kept apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Was the body longer than the cap?
    pub(super) overflows: bool,
    /// Can the connection serve another request?
    pub(super) reusable: bool,
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

/// Shared by a wire and its driver.
#[derive(Debug)]
struct Pulse {
    phase: AtomicU8,
    served: AtomicU32,
    /// Bytes that may still be read.
    budget: AtomicUsize,
}

const BUSY: u8 = 0;
const IDLE: u8 = 1;
const CLOSED_BY_PEER: u8 = 2;
const GIVEN_UP: u8 = 3;

impl Pulse {
    fn turn(&self, from: u8, to: u8) -> bool {
        self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Wire {
    /// Speaks HTTP over `io`. `poke` is called once if the peer closes the connection while it is idle.
    pub(super) async fn open<S>(
        io: S,
        options: &ProbeOptions,
        keep: Option<Seat>,
        lineage: Arc<Lineage>,
        poke: Poke,
    ) -> Result<Self, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let pulse =
            Arc::new(Pulse { phase: AtomicU8::new(BUSY), served: AtomicU32::new(0), budget: AtomicUsize::new(0) });
        let metered = TokioIo::new(Metered { io, pulse: pulse.clone() });
        let (sender, connection) = Builder::new()
            .max_buf_size(options.header_bytes.max(8_192))
            .max_header_size(options.header_bytes)
            .handshake(metered)
            .await
            .map_err(|error| Trouble::of_exchange(&error))?;
        let watched = pulse.clone();
        let driver = tokio::spawn(async move {
            let _ = connection.await;
            let was = watched.phase.swap(CLOSED_BY_PEER, Ordering::AcqRel);
            if was == IDLE && lineage.wants_look(watched.served.load(Ordering::Relaxed)) {
                poke();
            }
        });
        Ok(Self { sender, pulse, driver: driver.abort_handle(), keep })
    }

    /// May it be kept after an answer?
    pub(super) fn may_be_kept(&self) -> bool {
        self.keep.as_ref().is_some_and(|seat| !seat.is_wanted())
    }

    /// Its line is now checked every `period`.
    pub(super) fn retune(&mut self, period: Duration) {
        if let Some(seat) = &mut self.keep {
            seat.retune(period);
        }
    }

    /// Takes an idle wire into use. `false` when the peer has closed it.
    pub(super) fn wake(&self) -> bool {
        self.pulse.turn(IDLE, BUSY) && !self.sender.is_closed()
    }

    /// Lets a wire rest until the next check. `false` when the peer has closed it already.
    pub(super) fn rest(&self) -> bool {
        self.pulse.served.fetch_add(1, Ordering::Relaxed);
        !self.sender.is_closed() && self.pulse.turn(BUSY, IDLE)
    }

    /// Ends the connection in good order, without waiting for it.
    pub(super) fn part(self) {
        self.pulse.phase.store(GIVEN_UP, Ordering::Release);
    }

    /// One request, one complete answer within the caps.
    pub(super) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
        options: &ProbeOptions,
    ) -> Result<Answer, Trouble> {
        self.exchange(request, options, &mut |_| {}).await
    }

    /// As [`Wire::ask`], with the answer's body; cut short where the answer overflows.
    pub(super) async fn ask_whole(
        &mut self,
        request: Request<Full<Bytes>>,
        options: &ProbeOptions,
    ) -> Result<(Answer, Zeroizing<Vec<u8>>), Trouble> {
        let mut body = Zeroizing::new(Vec::new());
        let answer = self.exchange(request, options, &mut |bytes| body.extend_from_slice(bytes)).await?;
        Ok((answer, body))
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        options: &ProbeOptions,
        keep: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Answer, Trouble> {
        self.pulse.budget.store(options.header_bytes + options.body_bytes + SLACK, Ordering::Relaxed);
        let sent = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let response = sent.await.map_err(|error| Trouble::of_exchange(&error))?;
        let (status, keeps_alive) = (response.status().as_u16(), keeps_alive(&response));
        let overflows = match drain(response.into_body(), options.body_bytes, keep).await {
            Err(Trouble::Failed(Cause::TooLarge)) => true,
            drained => drained.map(|()| false)?,
        };
        Ok(Answer { status, overflows, reusable: keeps_alive && !overflows && !self.sender.is_closed() })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // In good order hyper ends by itself once the sender is gone; otherwise nothing is worth waiting for.
        if self.pulse.phase.swap(GIVEN_UP, Ordering::AcqRel) != GIVEN_UP {
            self.driver.abort();
        }
    }
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

/// A stream whose reader has a budget, refilled for every request: whatever a peer sends, and in whatever shape,
/// comes to an end.
struct Metered<S> {
    io: S,
    pulse: Arc<Pulse>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        let spend = |left: usize| left.checked_sub(read);
        match self.pulse.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(io::Error::other(OverBudget))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
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
