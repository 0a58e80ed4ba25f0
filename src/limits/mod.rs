//! Limits of requests per caller: a token bucket in this process and, where Redis is configured, one that all processes share.

mod bucket;
mod local;
mod places;
mod shared;
mod turns;

use std::{net::IpAddr, sync::Arc, time::Duration};

use fleetbeat_actors::ports::Clock;

pub use bucket::Rate;
pub use places::{Held, Places};
pub use shared::Shared;
pub use turns::Turns;

use self::local::Buckets;

/// How much each caller may ask.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Those who proved who they are.
    pub known: Rate,
    /// Everybody else, by address.
    pub unknown: Rate,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub enum Asker<'a> {
    /// A caller, by their stable name.
    Known(&'a str),
    /// Nobody known, at this address.
    Unknown(Option<IpAddr>),
}

/// Counts requests and says when it is enough.
pub struct Limiter {
    clock: Arc<dyn Clock>,
    known: Buckets,
    unknown: Buckets,
    shared: Option<Arc<Shared>>,
}

impl Limiter {
    /// A limiter in this process, and one shared with others, if given.
    pub fn new(clock: Arc<dyn Clock>, rates: Rates, shared: Option<Arc<Shared>>) -> Self {
        Self { clock, known: Buckets::new(rates.known), unknown: Buckets::new(rates.unknown), shared }
    }

    /// One more request.
    ///
    /// # Errors
    /// How long to wait when it is one too many.
    pub async fn ask(&self, asker: Asker<'_>) -> Result<(), Duration> {
        let now = self.clock.now();
        match asker {
            Asker::Unknown(address) => self.unknown.take(&network_of(address), now),
            Asker::Known(id) => {
                self.known.take(id, now)?;
                match &self.shared {
                    Some(shared) if self.known.rate().is_limited() => shared.take(id, self.known.rate()).await,
                    Some(_) | None => Ok(()),
                }
            }
        }
    }

    /// What was asked for from an address by somebody unknown turned out to be somebody known: it counts for nothing there.
    pub fn forgive(&self, address: Option<IpAddr>) {
        self.unknown.give_back(&network_of(address));
    }
}

/// The name that an address is counted under: whoever has one of an IPv6 /64 usually has all of them.
pub fn network_of(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        None => "socket".to_owned(),
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => format!("{:x}", ip.to_bits() >> 64),
    }
}
