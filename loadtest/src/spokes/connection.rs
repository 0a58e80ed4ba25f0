//! One accepted connection: the TLS handshake, then request after request, as its server behaves.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::behaviour::{Behaviour, CertificateFault, Opening};
use super::door::{Door, cut_off};
use super::exchange;
use super::stats::Descriptor;
use super::tls::SpokeTls;
use super::wire::{HEAD_MAX_BYTES, Head, head};

/// A client gets this long to finish a handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);
const BUFFER_BYTES: usize = 1_024;

/// Serves one connection to its end.
pub(super) async fn serve(
    tcp: TcpStream,
    door: Arc<Door>,
    mut orders: watch::Receiver<Behaviour>,
    _descriptor: Descriptor,
) {
    let _open = Open::count(&door);
    let _ = tcp.set_nodelay(true);
    let behaviour = *orders.borrow_and_update();
    let opening = behaviour.opening();
    if let (Opening::Handshake(fault), Some(tls)) = (opening, &door.tls) {
        return secured(tcp, &door, tls, orders, fault).await;
    }
    let mut line = Line::new(tcp, &door, orders, behaviour);
    match opening {
        Opening::Closed => (),
        Opening::Reset => {
            line.reset();
        }
        Opening::ResetAfterHello => line.reset_after_hello().await,
        Opening::Silent => line.silence().await,
        Opening::Vanished => line.vanish().await,
        Opening::ClearText if door.tls.is_some() => line.clear_text().await,
        Opening::ClearText | Opening::Handshake(_) => line.run().await,
    }
}

/// Shakes hands and serves. A change of behaviour in between ends the connection only when it would have met
/// the client differently.
async fn secured(
    tcp: TcpStream,
    door: &Door,
    tls: &SpokeTls,
    mut orders: watch::Receiver<Behaviour>,
    fault: Option<CertificateFault>,
) {
    let shaking = tokio::time::timeout(HANDSHAKE, handshake(tcp, tls, fault));
    let met_differently = orders.wait_for(|now| now.opening() != Opening::Handshake(fault));
    let shaken = tokio::select! {
        biased;
        _ = met_differently => return,
        shaken = shaking => shaken,
    };
    let Ok(Some(stream)) = shaken else {
        door.counters.handshake_failures.fetch_add(1, Relaxed);
        return;
    };
    door.counters.handshakes.fetch_add(1, Relaxed);
    if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
        door.counters.resumed.fetch_add(1, Relaxed);
    }
    let behaviour = *orders.borrow_and_update();
    if behaviour.opening() == Opening::Handshake(fault) {
        Line::new(stream, door, orders, behaviour).run().await;
    }
}

async fn handshake(tcp: TcpStream, tls: &SpokeTls, fault: Option<CertificateFault>) -> Option<TlsStream<TcpStream>> {
    TlsAcceptor::from(tls.settings(fault)?).accept(tcp).await.ok()
}

/// Counts a connection as open while it lives.
struct Open<'a>(&'a Door);

impl<'a> Open<'a> {
    fn count(door: &'a Door) -> Self {
        door.counters.open.fetch_add(1, Relaxed);
        Self(door)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.counters.open.fetch_sub(1, Relaxed);
    }
}

/// A byte stream with a TCP socket at its bottom.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Transport for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    End,
}

enum Event {
    Data,
    Changed(Behaviour),
    Elapsed,
    Gone,
}

/// An established connection.
pub(super) struct Line<'a, S> {
    pub stream: S,
    pub door: &'a Door,
    pub behaviour: Behaviour,
    pub buffer: Vec<u8>,
    orders: watch::Receiver<Behaviour>,
}

impl<'a, S: Transport> Line<'a, S> {
    fn new(stream: S, door: &'a Door, orders: watch::Receiver<Behaviour>, behaviour: Behaviour) -> Self {
        Self { stream, door, behaviour, buffer: Vec::with_capacity(BUFFER_BYTES), orders }
    }

    async fn run(&mut self) {
        while let Some(head_bytes) = self.next_head().await {
            if exchange::respond(self, head_bytes).await == Flow::End {
                return;
            }
        }
    }

    /// The length of the next request head, or nothing when the connection is over.
    async fn next_head(&mut self) -> Option<usize> {
        loop {
            match head(&self.buffer) {
                Head::Complete(bytes) => return Some(bytes),
                Head::TooLong => return None,
                Head::Partial => {}
            }
            match self.event(self.door.idle_close).await {
                Event::Data => {}
                Event::Changed(behaviour) if self.turn(behaviour).await == Flow::Continue => {}
                Event::Changed(_) | Event::Elapsed | Event::Gone => return None,
            }
        }
    }

    async fn event(&mut self, patience: Option<Duration>) -> Event {
        let elapsed = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.orders.changed() => match changed {
                Ok(()) => Event::Changed(*self.orders.borrow_and_update()),
                Err(_) => Event::Gone,
            },
            read = self.stream.read_buf(&mut self.buffer) => match read {
                Ok(0) | Err(_) => Event::Gone,
                Ok(_) => Event::Data,
            },
            () = elapsed => Event::Elapsed,
        }
    }

    /// Takes on a new behaviour in the middle of a connection.
    async fn turn(&mut self, new: Behaviour) -> Flow {
        let old = std::mem::replace(&mut self.behaviour, new);
        match new.opening() {
            Opening::Handshake(None) if old.opening() == Opening::Handshake(None) => return Flow::Continue,
            Opening::Handshake(_) | Opening::Closed | Opening::ClearText => {}
            Opening::Reset => {
                self.reset();
            }
            Opening::ResetAfterHello => self.reset_after_hello().await,
            Opening::Silent => self.silence().await,
            Opening::Vanished => self.vanish().await,
        }
        Flow::End
    }

    /// Waits, listening for changes and for the client's departure; without `patience` until one of these.
    pub async fn pause(&mut self, patience: Option<Duration>) -> Flow {
        let until = patience.map(|patience| tokio::time::Instant::now() + patience);
        loop {
            let left = until.map(|until| until.saturating_duration_since(tokio::time::Instant::now()));
            match self.event(left).await {
                Event::Data if self.buffer.len() > HEAD_MAX_BYTES => return Flow::End,
                Event::Data => {}
                Event::Elapsed => return Flow::Continue,
                Event::Changed(behaviour) => return self.turn(behaviour).await,
                Event::Gone => return Flow::End,
            }
        }
    }

    /// Waits for more bytes.
    pub async fn more(&mut self) -> Flow {
        match self.event(Some(HANDSHAKE)).await {
            Event::Data => Flow::Continue,
            Event::Changed(behaviour) => self.turn(behaviour).await,
            Event::Elapsed | Event::Gone => Flow::End,
        }
    }

    /// Writes; ends when the client is gone or the behaviour changes while it does not read.
    pub async fn send(&mut self, bytes: &[u8]) -> Flow {
        let stream = &mut self.stream;
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        tokio::select! {
            biased;
            written = write => if written.is_ok() { Flow::Continue } else { Flow::End },
            _ = self.orders.changed() => Flow::End,
        }
    }

    /// Closes with RST.
    pub fn reset(&self) -> Flow {
        let _ = self.stream.tcp().set_zero_linger();
        Flow::End
    }

    /// Takes what comes and says nothing.
    async fn silence(&mut self) {
        loop {
            self.buffer.clear();
            match self.event(None).await {
                Event::Data => {}
                Event::Changed(_) | Event::Elapsed | Event::Gone => return,
            }
        }
    }

    /// Lets no packet in; when the network is back the client learns that nobody knows its connection.
    async fn vanish(&mut self) {
        if cut_off(self.stream.tcp()).is_ok() {
            let _ = self.orders.changed().await;
        }
        self.reset();
    }

    /// Closes with RST as soon as the client says something.
    async fn reset_after_hello(&mut self) {
        if let Event::Data = self.event(Some(HANDSHAKE)).await {
            self.reset();
        }
    }

    /// Answers the client's hello with what a server without TLS says.
    async fn clear_text(&mut self) {
        if let Event::Data = self.event(Some(HANDSHAKE)).await {
            let text = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n";
            self.send(text).await;
        }
    }
}
