//! From a host to the addresses that may be connected to. Hung look-ups cost a bounded number of threads, never the runtime.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use fleetbeat_actors::health::{Cause, NotRun};
use tokio::sync::Semaphore;
use url::Host;

use super::{
    address::AddressPolicy,
    deadline::{Deadline, permit},
    trouble::{Trouble, out_of_descriptors},
};

/// At most this many addresses of a name are tried.
const MAX_ADDRESSES: usize = 8;

/// How a name becomes addresses. Blocking; called on a thread of its own.
pub type LookUp = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's resolver.
pub fn system_look_up() -> LookUp {
    Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.take(MAX_ADDRESSES).collect()))
}

/// Resolves hosts and applies the address policy to what comes out.
pub(super) struct Resolver {
    look_up: LookUp,
    policy: AddressPolicy,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl Resolver {
    pub(super) fn new(look_up: LookUp, policy: AddressPolicy, max_lookups: usize, timeout: Duration) -> Self {
        Self { look_up, policy, permits: Arc::new(Semaphore::new(max_lookups)), timeout }
    }

    /// One that resolves alike, with look-ups of its own.
    pub(super) fn apart(&self, max_lookups: usize) -> Self {
        Self::new(self.look_up.clone(), self.policy.clone(), max_lookups, self.timeout)
    }

    /// Look-ups that could start now.
    pub(super) fn free(&self) -> usize {
        self.permits.available_permits()
    }

    /// The permitted addresses of `host`, at least one.
    pub(super) async fn resolve(
        &self,
        host: &Host<String>,
        port: u16,
        deadline: &mut Deadline<'_>,
    ) -> Result<Vec<SocketAddr>, Trouble> {
        let mut addresses = match host {
            Host::Ipv4(ip) => vec![SocketAddr::new((*ip).into(), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new((*ip).into(), port)],
            Host::Domain(name) => self.look_up(name, port, deadline).await?,
        };
        if addresses.is_empty() {
            return Err(Trouble::Failed(Cause::Dns));
        }
        addresses.retain(|address| self.policy.permits(*address));
        if addresses.is_empty() {
            return Err(Trouble::Failed(Cause::Blocked));
        }
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }

    async fn look_up(&self, name: &str, port: u16, deadline: &mut Deadline<'_>) -> Result<Vec<SocketAddr>, Trouble> {
        let wait = permit(&self.permits, self.timeout, NotRun::ResolverBusy);
        let permit = deadline.paused(wait).await.map_err(Trouble::NotRun)?;
        let (look_up, name) = (self.look_up.clone(), name.to_owned());
        // The permit lives as long as the thread is taken, not as long as somebody waits for it.
        let answer = tokio::task::spawn_blocking(move || {
            let answer = look_up(&name, port);
            drop(permit);
            answer
        });
        match deadline.within(self.timeout, Cause::Dns, answer).await? {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(not_resolved(&error)),
            Err(_) => Err(Trouble::NotRun(NotRun::ResolverBusy)),
        }
    }
}

/// A look-up failed: for want of a name, or because this process could not even open a socket?
fn not_resolved(error: &io::Error) -> Trouble {
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
    if out_of_descriptors(error) || socket().is_err_and(|e| out_of_descriptors(&e)) {
        return Trouble::NotRun(NotRun::NoDescriptor);
    }
    Trouble::Failed(Cause::Dns)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn domain(name: &str) -> Host<String> {
        Host::Domain(name.to_owned())
    }

    fn resolver(look_up: LookUp, max: usize, timeout: Duration) -> Resolver {
        Resolver::new(look_up, AddressPolicy::default(), max, timeout)
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_a_dns_failure() {
        let none = resolver(Arc::new(|_, _| Err(io::ErrorKind::NotFound.into())), 1, Duration::from_secs(1));
        let mut deadline = Deadline::after(Duration::from_secs(1));
        let answer = none.resolve(&domain("nowhere.test"), 443, &mut deadline).await;
        assert_eq!(answer, Err(Trouble::Failed(Cause::Dns)));
    }

    #[tokio::test]
    async fn only_permitted_addresses_of_a_name_are_used() {
        let public = SocketAddr::from(([198, 51, 100, 7], 443));
        let mixed = resolver(
            Arc::new(move |_, port| Ok(vec![SocketAddr::from(([169, 254, 169, 254], port)), public])),
            1,
            Duration::from_secs(1),
        );
        let mut deadline = Deadline::after(Duration::from_secs(1));
        assert_eq!(mixed.resolve(&domain("mixed.test"), 443, &mut deadline).await, Ok(vec![public]));
        let metadata = Host::Ipv4([169, 254, 169, 254].into());
        assert_eq!(mixed.resolve(&metadata, 80, &mut deadline).await, Err(Trouble::Failed(Cause::Blocked)));
    }

    #[tokio::test]
    async fn a_hung_look_up_keeps_its_permit_and_the_next_one_is_not_run() {
        let (release, hung) = mpsc::channel::<()>();
        let hung = std::sync::Mutex::new(hung);
        let look_up: LookUp = Arc::new(move |_, _| {
            let _ = hung.lock().unwrap().recv();
            Ok(vec![SocketAddr::from(([198, 51, 100, 7], 443))])
        });
        let slow = resolver(look_up, 1, Duration::from_millis(30));
        let mut deadline = Deadline::after(Duration::from_secs(5));
        let first = slow.resolve(&domain("slow.test"), 443, &mut deadline).await;
        assert_eq!(first, Err(Trouble::Failed(Cause::Dns)));
        let second = slow.resolve(&domain("slow.test"), 443, &mut deadline).await;
        assert_eq!(second, Err(Trouble::NotRun(NotRun::ResolverBusy)));
        drop(release);
    }
}
