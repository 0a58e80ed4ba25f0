//! The bytes of a connection: TCP, Unix socket or TLS, with an eye on what moves.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use metrics::counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{activity::Activity, crowd::Place, frames::Frames};

/// Anything that bytes can be read from and written to.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A line whose activity is watched. It holds the connection's place, also when the connection becomes a WebSocket.
pub(super) struct Wire {
    line: Box<dyn Line>,
    activity: Arc<Activity>,
    ear: Ear,
    _place: Place,
}

/// What is made of bytes that come.
pub(super) enum Ear {
    /// Each belongs to a request.
    Requests,
    /// They are frames of HTTP/2.
    Frames(Frames),
}

impl Wire {
    pub(super) fn new(line: Box<dyn Line>, activity: Arc<Activity>, ear: Ear, place: Place) -> Self {
        Self { line, activity, ear, _place: place }
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Ear::Frames(frames), Poll::Ready(Ok(bytes))) = (&mut self.ear, written) {
            frames.sent(*bytes);
        }
    }

    fn noted<T>(&self, sent: Poll<T>) -> Poll<T> {
        match sent {
            Poll::Pending => self.activity.stuck(),
            Poll::Ready(_) => self.activity.unstuck(),
        }
        sent
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.line).poll_read(cx, buffer))?;
        let Self { activity, ear, .. } = &mut *self;
        match (ear, &buffer.filled()[before..]) {
            (_, []) => {}
            (Ear::Requests, bytes) => activity.heard(bytes),
            (Ear::Frames(frames), bytes) => frames.heard(bytes).map_err(|flood| {
                counter!("fleetbeat_api_connections_cut_total", "reason" => "frames").increment(1);
                io::Error::other(flood)
            })?,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.line).poll_write(cx, bytes);
        self.wrote(&written);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.line).poll_write_vectored(cx, parts);
        self.wrote(&written);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.line.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.line).poll_flush(cx);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}
