//! The bytes of a connection: TCP, Unix socket or TLS, with an eye on what moves.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{activity::Activity, crowd::Place};

/// Anything that bytes can be read from and written to.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A line whose activity is watched. It holds the connection's place, also when the connection becomes a WebSocket.
pub(super) struct Wire {
    line: Box<dyn Line>,
    activity: Arc<Activity>,
    /// Does every byte belong to a request? Not in HTTP/2.
    listens: bool,
    _place: Place,
}

impl Wire {
    pub(super) fn new(line: Box<dyn Line>, activity: Arc<Activity>, listens: bool, place: Place) -> Self {
        Self { line, activity, listens, _place: place }
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
        if self.listens && buffer.filled().len() > before {
            self.activity.heard(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.line).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.line).poll_write_vectored(cx, parts);
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
