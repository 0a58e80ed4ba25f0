//! The crowd: how many connections there are, in all and of each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// Who is connected.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    per_address: usize,
    uncounted: Vec<IpNet>,
    present: Mutex<HashMap<IpAddr, usize>>,
}

/// Room for one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    counted: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            per_address: limits.connections_per_address,
            uncounted: limits.uncounted.clone(),
            present: Mutex::default(),
        })
    }

    /// Waits until there is room for one more; `None` never comes, for the crowd is never closed.
    pub(super) async fn room(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Room for a connection from this address; `None` when there are too many from there.
    pub(super) fn admit(self: &Arc<Self>, from: Option<SocketAddr>, permit: OwnedSemaphorePermit) -> Option<Place> {
        let counted = from.map(|address| address.ip().to_canonical()).filter(|ip| !self.is_uncounted(*ip)).map(origin);
        if let Some(origin) = counted {
            let mut present = self.present.lock();
            let here = present.entry(origin).or_insert(0);
            if *here >= self.per_address {
                return None;
            }
            *here += 1;
        }
        gauge!("fleetbeat_api_connections").increment(1.0);
        Some(Place { crowd: Arc::clone(self), counted, _permit: permit })
    }

    fn is_uncounted(&self, ip: IpAddr) -> bool {
        self.uncounted.iter().any(|network| network.contains(&ip))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!("fleetbeat_api_connections").decrement(1.0);
        let Some(origin) = self.counted else { return };
        let mut present = self.crowd.present.lock();
        if let Some(here) = present.get_mut(&origin) {
            *here -= 1;
            if *here == 0 {
                present.remove(&origin);
            }
        }
    }
}

/// Whoever has one address of an IPv6 /64 usually has all of them.
fn origin(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(per_address: usize) -> Arc<Crowd> {
        let uncounted = vec!["10.0.0.0/8".parse().unwrap()];
        Crowd::new(&Limits { connections_per_address: per_address, uncounted, ..Limits::default() })
    }

    async fn enter(crowd: &Arc<Crowd>, from: &str) -> Option<Place> {
        let permit = crowd.room().await.unwrap();
        crowd.admit(Some(from.parse().unwrap()), permit)
    }

    #[tokio::test]
    async fn one_address_has_so_many_places_and_no_more() {
        let crowd = crowd(2);
        let (first, _second) = (enter(&crowd, "192.0.2.1:1").await, enter(&crowd, "192.0.2.1:2").await.unwrap());
        assert!(enter(&crowd, "192.0.2.1:3").await.is_none());
        assert!(enter(&crowd, "[::ffff:192.0.2.1]:4").await.is_none(), "the same address in another form");
        assert!(enter(&crowd, "192.0.2.2:1").await.is_some());
        drop(first);
        assert!(enter(&crowd, "192.0.2.1:5").await.is_some());
    }

    #[tokio::test]
    async fn addresses_of_one_network_of_ipv6_are_one() {
        let crowd = crowd(1);
        let _first = enter(&crowd, "[2001:db8::1]:1").await.unwrap();
        assert!(enter(&crowd, "[2001:db8::ffff:2]:1").await.is_none());
        assert!(enter(&crowd, "[2001:db8:0:1::1]:1").await.is_some());
    }

    #[tokio::test]
    async fn proxies_and_unix_sockets_are_not_counted_and_nothing_is_left_behind() {
        let crowd = crowd(1);
        let places = [enter(&crowd, "10.1.2.3:1").await.unwrap(), enter(&crowd, "10.1.2.3:2").await.unwrap()];
        assert!(crowd.admit(None, crowd.room().await.unwrap()).is_some());
        drop(places);
        drop(enter(&crowd, "192.0.2.1:1").await);
        assert!(crowd.present.lock().is_empty());
    }
}
