//! A relay in front of a server that can be told to carry nothing: connections stay open, bytes vanish.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A relay; it ends with its value.
pub struct Proxy {
    address: SocketAddr,
    silent: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A relay to this address.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (silent, hears) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, hears.clone()));
            }
        });
        Ok(Self { address, silent, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing is carried (or everything again). What was swallowed is gone: those connections are closed.
    pub fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, server: SocketAddr, mut silent: watch::Receiver<bool>) {
    if *silent.borrow() {
        // Accepted and left alone until the relay carries again.
        until(&mut silent, false).await;
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = carry(from_client, to_server, silent.clone());
    let back = carry(from_server, to_client, silent);
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = until(&mut silent, true) => {
                until(&mut silent, false).await;
                return;
            }
        };
        let Ok(length @ 1..) = read else { return };
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Waits until the relay is silent, or carries again, or is gone.
async fn until(silent: &mut watch::Receiver<bool>, wanted: bool) {
    let _ = silent.wait_for(|silent| *silent == wanted).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_silent_relay_keeps_connections_open_and_carries_nothing() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let mut answer = [0; 2];
        stream.write_all(b"hi").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        proxy.set_silent(true);
        stream.write_all(b"ho").await.unwrap();
        let silence = timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
        assert!(silence.is_err(), "{silence:?}");
        proxy.set_silent(false);
        let closed = timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        let mut next = TcpStream::connect(proxy.address()).await.unwrap();
        next.write_all(b"he").await.unwrap();
        next.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"he");
    }
}
