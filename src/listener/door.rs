//! Doors: the addresses on which connections are accepted.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, UnixListener};

use super::{peer::Peer, wire::Line};

/// Who may connect to a Unix socket: its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// An address on which connections are accepted.
#[derive(Debug)]
pub enum Door {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixDoor),
}

/// A Unix socket; its file is removed when dropped.
#[derive(Debug)]
pub struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Listens on a TCP address.
    ///
    /// # Errors
    /// The system's.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// Listens on a Unix socket. A socket of that name on which nobody listens is replaced.
    ///
    /// # Errors
    /// The system's, also when the path is taken by anything else.
    pub fn unix(path: &Path) -> io::Result<Self> {
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && std::os::unix::net::UnixStream::connect(path).is_err()
        {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
        Ok(Self::Unix(UnixDoor { listener, path: path.to_owned() }))
    }

    /// The address, where there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Line>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let keepalive =
                    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
                // Neither is needed to serve.
                let _ = stream.set_nodelay(true);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                Ok((Box::new(stream), Peer::at(address)))
            }
            Self::Unix(door) => {
                let (stream, _) = door.listener.accept().await?;
                Ok((Box::new(stream), Peer::on_unix_socket()))
            }
        }
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        // Whoever starts next replaces what is left.
        let _ = std::fs::remove_file(&self.path);
    }
}
