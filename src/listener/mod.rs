//! The listener: accepts connections on TCP and Unix sockets, shakes hands, and hands requests to the router, with limits on
//! everything that a client can draw out and an orderly end. Knows nothing of what is asked.

mod activity;
mod body;
mod connection;
mod crowd;
mod door;
mod frames;
mod limits;
mod peer;
mod tls;
mod wire;

use std::{sync::Arc, time::Duration};

use axum::Router;
use metrics::{counter, describe_counter, describe_gauge};
use tokio::{sync::watch, task::JoinSet};

pub use body::BodyTooSlow;
pub use door::{Door, UnixDoor};
pub use limits::Limits;
pub use peer::Peer;
pub use tls::{Clients, Tls, TlsError, TlsFiles};

use self::{connection::House, crowd::Crowd};

/// Pause after a connection that could not be accepted.
const BREATH: Duration = Duration::from_millis(200);

/// Serves at these doors until `stopping` becomes true; then lets requests in flight finish. With `tls`, TCP connections
/// must speak it; Unix sockets never do.
pub async fn serve(
    doors: Vec<Door>,
    tls: Option<Arc<Tls>>,
    router: Router,
    limits: Limits,
    stopping: watch::Receiver<bool>,
) {
    describe();
    let crowd = Crowd::new(&limits);
    let house = House { router, limits: Arc::new(limits), tls, stopping };
    let mut doors: JoinSet<()> =
        doors.into_iter().map(|door| attend(door, house.clone(), Arc::clone(&crowd))).collect();
    while doors.join_next().await.is_some() {}
}

fn describe() {
    describe_gauge!("fleetbeat_api_connections", "Connections to the API that are open.");
    describe_counter!("fleetbeat_api_connections_refused_total", "Connections closed for too many from one address.");
    describe_counter!(
        "fleetbeat_api_connections_cut_total",
        "Connections closed because a client took too long, or sent too many frames."
    );
}

/// Serves at one door.
async fn attend(door: Door, house: House, crowd: Arc<Crowd>) {
    let (mut stopping, grace) = (house.stopping.clone(), house.limits.grace);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&door, &crowd) => {
                if let Some((line, peer, place)) = accepted {
                    connections.spawn(connection::serve(house.clone(), line, peer, place));
                }
            }
        }
    }
    drop(door);
    let finished = tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    if finished.is_err() {
        tracing::warn!(connections = connections.len(), "gave up requests that did not finish in time");
    }
    connections.shutdown().await;
}

async fn accept(door: &Door, crowd: &Arc<Crowd>) -> Option<(Box<dyn wire::Line>, Peer, crowd::Place)> {
    let permit = crowd.room().await?;
    let (line, peer) = match door.accept().await {
        Ok(accepted) => accepted,
        Err(error) => {
            // Out of descriptors, most likely: wait for some to come back instead of spinning.
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(BREATH).await;
            return None;
        }
    };
    let place = crowd.admit(peer.address, permit);
    if place.is_none() {
        counter!("fleetbeat_api_connections_refused_total").increment(1);
    }
    Some((line, peer, place?))
}
