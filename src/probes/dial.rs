//! From a site to an established connection: addresses, TCP, TLS, HTTP.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use fleetbeat_actors::health::{Cause, NotRun};
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpSocket, sync::Semaphore, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    deadline::{Deadline, permit},
    options::ProbeOptions,
    resolve::Resolver,
    site::Site,
    socket::Socket,
    tls::Tls,
    trouble::Trouble,
};

/// A handshake that takes longer is waiting for its peer and costs no CPU: it gives its permit back.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(500);

/// Makes TCP and TLS connections.
pub(super) struct Dialer {
    resolver: Resolver,
    handshakes: Arc<Semaphore>,
    keepalive: TcpKeepalive,
    user_timeout: Duration,
}

impl Dialer {
    pub(super) fn new(options: &ProbeOptions, resolver: Resolver) -> Self {
        Self {
            resolver,
            handshakes: Arc::new(Semaphore::new(options.max_handshakes)),
            keepalive: TcpKeepalive::new()
                .with_time(options.keepalive_idle)
                .with_interval(options.keepalive_interval)
                .with_retries(options.keepalive_probes),
            user_timeout: options.keepalive_idle + options.keepalive_interval * options.keepalive_probes,
        }
    }

    /// One that dials alike, with handshakes and look-ups of its own.
    pub(super) fn apart(&self, options: &ProbeOptions) -> Self {
        Self::new(options, self.resolver.apart(options.max_lookups))
    }

    /// Handshakes and look-ups that could start now.
    pub(super) fn free(&self) -> (usize, usize) {
        (self.handshakes.available_permits(), self.resolver.free())
    }

    /// Is there an address of the site that may be connected to?
    pub(super) async fn judge(&self, site: &Site, deadline: &mut Deadline<'_>) -> Result<(), Trouble> {
        self.resolver.resolve(&site.host, site.port, deadline).await.map(drop)
    }

    /// A TCP connection to one of the site's permitted addresses, in order, each with its share of the time.
    pub(super) async fn tcp(&self, site: &Site, deadline: &mut Deadline<'_>) -> Result<Socket, Trouble> {
        let addresses = self.resolver.resolve(&site.host, site.port, deadline).await?;
        let mut trouble = Trouble::Failed(Cause::ConnectTimeout);
        for (tried, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - tried).unwrap_or(1);
            let share = deadline.left() / left;
            trouble = match deadline.within(share, Cause::ConnectTimeout, self.connect(*address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => Trouble::of_connect(&error),
                Err(trouble) => trouble,
            };
            if matches!(trouble, Trouble::NotRun(_)) {
                break;
            }
        }
        Err(trouble)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let options = SockRef::from(&socket);
        options.set_tcp_nodelay(true)?;
        options.set_tcp_keepalive(&self.keepalive)?;
        options.set_tcp_user_timeout(Some(self.user_timeout))?;
        socket.connect(address).await.map(Socket::new)
    }

    /// TLS over `stream`. The deadline stands still while a handshake permit is awaited, for at most `wait`.
    pub(super) async fn tls(
        &self,
        site: &Site,
        tls: &Tls,
        stream: Socket,
        deadline: &mut Deadline<'_>,
        wait: Duration,
    ) -> Result<TlsStream<Socket>, Trouble> {
        let name = tls.server_name.clone().or_else(|| site.server_name.clone()).ok_or(Trouble::Failed(Cause::Tls))?;
        let permit = permit(&self.handshakes, wait, NotRun::NoPermit);
        let permit = deadline.paused(permit).await.map_err(Trouble::NotRun)?;
        let mut handshake = TlsConnector::from(tls.config.clone()).connect(name, stream);
        let patient = async move {
            let soon = timeout(HANDSHAKE_PATIENCE, &mut handshake).await;
            drop(permit);
            match soon {
                Ok(done) => done,
                Err(_) => handshake.await,
            }
        };
        deadline.bound(Cause::Timeout, patient).await?.map_err(|error| Trouble::of_handshake(&error))
    }
}
