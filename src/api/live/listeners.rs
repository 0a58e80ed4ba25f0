//! Who listens, at which door, to what. A listener leaves the list when its place is dropped.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    audit::Origin,
    identity::Method,
    limits::{Held, Places, network_of},
};

/// Most sockets at once that did not say yet who they are.
const MAX_STRANGERS: usize = 256;
/// …of which one address may have so many.
const MAX_OF_ONE_ADDRESS: usize = MAX_STRANGERS / 4;

/// The way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `GET /api/v1/events/stream`.
    Sse,
    /// `/ws`.
    WebSocket,
}

impl Door {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
        }
    }
}

/// What a listener asked for, as administrators see it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its id.
    pub id: Uuid,
    /// Types, or beginnings of types with a star; empty for all.
    pub event_types: Vec<String>,
    /// Clusters; empty for all in scope.
    pub clusters: Vec<String>,
    /// Namespaces, as given.
    pub namespaces: Vec<String>,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listener {
    /// Its id.
    pub id: Uuid,
    /// Where it came in.
    pub door: Door,
    /// Who it is.
    pub origin: Origin,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Events sent.
    pub sent: AtomicU64,
    /// Everything up to here was looked at for it.
    pub position: AtomicI64,
    /// What it asked for.
    pub watched: Mutex<Vec<Watched>>,
}

/// Everybody who listens.
pub struct Listeners {
    all: DashMap<Uuid, Arc<Listener>>,
    most: usize,
    places: Arc<Places>,
    strangers: Arc<Places>,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Listeners {
    /// Room for `most` listeners, of which one caller may have `of_one_caller`.
    pub fn new(most: usize, of_one_caller: usize) -> Self {
        describe_gauge!("fleetbeat_listeners", "Live listeners by door.");
        describe_counter!("fleetbeat_listeners_dropped_total", "Live listeners that were too slow, by door.");
        Self {
            all: DashMap::new(),
            most,
            places: Arc::new(Places::new(most, of_one_caller)),
            strangers: Arc::new(Places::new(MAX_STRANGERS, MAX_OF_ONE_ADDRESS)),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A place for somebody; `None` when there are too many, or too many of this caller. Where everybody may call, nobody is
    /// told from anybody else.
    pub fn admit(self: &Arc<Self>, id: Uuid, door: Door, origin: Origin, since: DateTime<Utc>) -> Option<Place> {
        let caller = Some(&*origin.actor).filter(|_| origin.method != Method::Open.as_str());
        let held = self.places.take(caller)?;
        let (sent, position, watched) = (AtomicU64::new(0), AtomicI64::new(0), Mutex::default());
        let listener = Arc::new(Listener { id, door, origin, since, sent, position, watched });
        self.all.insert(id, Arc::clone(&listener));
        gauge!("fleetbeat_listeners", "door" => door.as_str()).increment(1);
        Some(Place { listener, all: Arc::clone(self), _held: held })
    }

    /// A place for somebody who did not say yet who they are; `None` when there are too many, or too many at this address.
    pub fn admit_stranger(&self, address: Option<IpAddr>) -> Option<Held> {
        self.strangers.take(address.map(|address| network_of(Some(address))).as_deref())
    }

    /// Everybody, the oldest first.
    pub fn list(&self) -> Vec<Arc<Listener>> {
        let mut all: Vec<_> = self.all.iter().map(|entry| Arc::clone(entry.value())).collect();
        all.sort_by_key(|listener| (listener.since, listener.id));
        all
    }

    /// How many came in at a door.
    pub fn count(&self, door: Door) -> usize {
        self.all.iter().filter(|entry| entry.value().door == door).count()
    }

    /// How many did not say yet who they are.
    pub fn strangers(&self) -> usize {
        self.strangers.taken()
    }

    /// Events sent since the start, to all together.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Listeners that were too slow, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// A listener's place.
pub struct Place {
    listener: Arc<Listener>,
    all: Arc<Listeners>,
    _held: Held,
}

impl Place {
    /// Whose it is.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// It was sent so many events, and everything up to `position` was looked at for it.
    pub fn sent(&self, events: usize, position: i64) {
        self.listener.sent.fetch_add(events as u64, Ordering::Relaxed);
        self.listener.position.store(position, Ordering::Relaxed);
        self.all.sent.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// It is too slow.
    pub fn too_slow(&self) {
        self.all.dropped.fetch_add(1, Ordering::Relaxed);
        counter!("fleetbeat_listeners_dropped_total", "door" => self.listener.door.as_str()).increment(1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.all.remove(&self.listener.id);
        gauge!("fleetbeat_listeners", "door" => self.listener.door.as_str()).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(id: &str, method: Method) -> Origin {
        Origin { actor: id.into(), method: method.as_str(), ..Origin::anonymous(None, None) }
    }

    fn fill(listeners: &Arc<Listeners>, caller: &Origin) -> Vec<Place> {
        let admit = || listeners.admit(Uuid::now_v7(), Door::WebSocket, caller.clone(), DateTime::<Utc>::UNIX_EPOCH);
        std::iter::from_fn(admit).collect()
    }

    #[test]
    fn one_caller_cannot_take_all_the_places_of_listeners() {
        let listeners = Arc::new(Listeners::new(20, 5));
        let mut ada = fill(&listeners, &caller("token:ada", Method::Token));
        assert_eq!(ada.len(), 5);
        let bob = fill(&listeners, &caller("token:bob", Method::Token));
        assert_eq!(bob.len(), 5, "another one has as many");
        ada.pop();
        assert_eq!(fill(&listeners, &caller("token:ada", Method::Token)).len(), 1);
    }

    #[test]
    fn where_everybody_may_call_there_are_as_many_as_there_is_room_for() {
        let listeners = Arc::new(Listeners::new(20, 5));
        assert_eq!(fill(&listeners, &caller("anonymous", Method::Open)).len(), 20);
    }

    #[test]
    fn one_address_cannot_take_all_the_places_of_those_who_did_not_speak_yet() {
        let listeners = Listeners::new(20, 5);
        let fill = |address: &str| -> Vec<Held> {
            std::iter::from_fn(|| listeners.admit_stranger(address.parse().ok())).collect()
        };
        let first = fill("192.0.2.1");
        assert_eq!((first.len(), fill("192.0.2.2").len()), (MAX_OF_ONE_ADDRESS, MAX_OF_ONE_ADDRESS));
        let neighbours = fill("2001:db8::1");
        assert_eq!((neighbours.len(), fill("2001:db8::2").len()), (MAX_OF_ONE_ADDRESS, 0), "of one network");
        assert_eq!(listeners.strangers(), 2 * MAX_OF_ONE_ADDRESS);
        let others = [fill("192.0.2.3"), fill("192.0.2.4"), fill("192.0.2.5")];
        assert_eq!(others.map(|held| held.len()), [MAX_OF_ONE_ADDRESS, MAX_OF_ONE_ADDRESS, 0], "all together");
    }
}
