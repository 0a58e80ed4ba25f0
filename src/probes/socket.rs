//! A TCP connection that can be watched while somebody else owns its stream.

use std::{
    io::{self, Read},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// A TCP connection. Clones are the same connection; one of them reads and writes, others may watch.
#[derive(Clone, Debug)]
pub(super) struct Socket(Arc<TcpStream>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// Whom it is connected to.
    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Waits until the peer sends something, closes, or is lost. Takes nothing of what is sent.
    pub(super) async fn disturbed(&self) {
        let _ = self.0.peek(&mut [0]).await;
    }

    /// Reads what is there. A read that brings less than it could have brought all there was: the next waits for the
    /// kernel to tell of more, and does not ask for it.
    fn read_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = None;
        let tried = self.0.try_io(Interest::READABLE, || {
            let count = (&*SockRef::from(&*self.0)).read(buffer)?;
            read = Some(count);
            if count > 0 && count < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        read.map_or_else(|| tried.map(|()| 0), Ok)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.read_some(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const A_WHILE: Duration = Duration::from_millis(50);

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (Socket::new(near), far)
    }

    #[tokio::test]
    async fn what_is_sent_comes_out_whole_in_whatever_pieces() {
        let (mut near, mut far) = pair().await;
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let text = sent.clone();
        let sender = tokio::spawn(async move {
            for piece in text.chunks(7_001) {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            far.shutdown().await.unwrap();
            let mut back = Vec::new();
            far.read_to_end(&mut back).await.unwrap();
            back
        });
        let mut read = Vec::new();
        timeout(SOON, near.read_to_end(&mut read)).await.unwrap().unwrap();
        assert_eq!(read, sent);
        near.write_all(b"thanks").await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(timeout(SOON, sender).await.unwrap().unwrap(), b"thanks");
    }

    #[tokio::test]
    async fn a_connection_at_rest_is_disturbed_by_its_closing_and_by_what_is_sent() {
        let (mut near, mut far) = pair().await;
        far.write_all(b"answer").await.unwrap();
        near.read_exact(&mut [0; 6]).await.unwrap();
        assert!(timeout(A_WHILE, near.disturbed()).await.is_err(), "nothing came since");
        far.write_all(b"!").await.unwrap();
        timeout(SOON, near.disturbed()).await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'!', "watching takes nothing");
        drop(far);
        timeout(SOON, near.disturbed()).await.unwrap();
    }
}
