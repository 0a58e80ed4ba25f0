//! Canaries: addresses that accept a connection whenever the monitor's own network works.

use std::time::Duration;

use async_trait::async_trait;
use fleetbeat_actors::Canaries;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::timeout};
use url::Url;

/// How long a canary may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct TcpCanaries(Vec<(String, u16)>);

impl TcpCanaries {
    /// The hosts and ports of some URLs; a URL without either is left out.
    pub(super) fn new(urls: &[Url]) -> Self {
        let place = |url: &Url| {
            let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
            Some((host, url.port_or_known_default()?))
        };
        Self(urls.iter().filter_map(place).collect())
    }
}

#[async_trait]
impl Canaries for TcpCanaries {
    async fn any_answers(&self) -> bool {
        let connects = self.0.iter().map(|(host, port)| timeout(PATIENCE, TcpStream::connect((host.as_str(), *port))));
        let mut answers: FuturesUnordered<_> = connects.collect();
        while let Some(answer) = answers.next().await {
            if matches!(answer, Ok(Ok(_))) {
                return true;
            }
        }
        false
    }
}
