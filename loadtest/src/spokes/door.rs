//! One server's listener: accepts while it should, obeys commands, and tells its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::behaviour::{Behaviour, Opening};
use super::clock::Clock;
use super::connection;
use super::role::Role;
use super::stats::{Counters, Descriptors, Pace};
use super::tls::SpokeTls;

const BACKLOG: u32 = 1_024;
/// Pause after `accept` failed (out of descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A socket filter that lets no packet in: `return 0`.
const DROP_ALL: [SockFilter; 1] = [SockFilter::new(0x06, 0, 0, 0)];

/// What a server's tasks share.
pub(super) struct Door {
    pub role: Role,
    pub address: SocketAddr,
    pub tls: Option<Arc<SpokeTls>>,
    pub token: Option<String>,
    pub idle_close: Option<Duration>,
    pub clock: Clock,
    pub descriptors: Arc<Descriptors>,
    pub counters: Counters,
    pub pace: Arc<Pace>,
}

/// Behave like this from now on, and say when it is done.
pub(super) struct Command {
    pub behaviour: Behaviour,
    pub done: oneshot::Sender<io::Result<()>>,
}

/// Opens a listener; must run inside a runtime.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Lets no packet into `socket` any more, as if its host had lost the network.
pub(super) fn cut_off<'a>(socket: impl Into<SockRef<'a>>) -> io::Result<()> {
    socket.into().attach_filter(&DROP_ALL)
}

/// Serves until the sender of commands is dropped; then everything of this server ends.
pub(super) async fn keep(door: Arc<Door>, listener: TcpListener, mut commands: mpsc::UnboundedReceiver<Command>) {
    let orders = watch::Sender::new(Behaviour::Healthy);
    let mut listener = Some(listener);
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(command) => {
                    let result = obey(&door, &mut listener, &orders, command.behaviour);
                    let _ = command.done.send(result);
                }
                None => return,
            },
            accepted = next(listener.as_ref()) => match accepted {
                Ok(tcp) => admit(&door, &orders, tcp),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

async fn next(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(tcp, _)| tcp),
        None => std::future::pending().await,
    }
}

fn admit(door: &Arc<Door>, orders: &watch::Sender<Behaviour>, tcp: TcpStream) {
    door.counters.accepted.fetch_add(1, Relaxed);
    door.pace.accepted();
    let Some(descriptor) = door.descriptors.take() else {
        door.counters.turned_away.fetch_add(1, Relaxed);
        return;
    };
    if orders.borrow().opening() == Opening::Reset {
        let _ = tcp.set_zero_linger();
        return;
    }
    tokio::spawn(connection::serve(tcp, Arc::clone(door), orders.subscribe(), descriptor));
}

/// The listener first, then the connections: nobody finds an open door in a dead house.
fn obey(
    door: &Door,
    listener: &mut Option<TcpListener>,
    orders: &watch::Sender<Behaviour>,
    behaviour: Behaviour,
) -> io::Result<()> {
    if behaviour.opening() == Opening::Closed {
        *listener = None;
    } else if listener.is_none() {
        *listener = Some(listen(door.address)?);
    }
    if let Some(listener) = listener {
        if behaviour.opening() == Opening::Vanished {
            cut_off(&*listener)?;
        } else if orders.borrow().opening() == Opening::Vanished {
            SockRef::from(&*listener).detach_filter()?;
        }
    }
    orders.send_replace(behaviour);
    Ok(())
}
