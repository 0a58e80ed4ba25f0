//! The Kubernetes API of the hub, the cluster that fleetbeat itself belongs to: its Secrets, its reviews of tokens, what it
//! knows of other clusters. Nothing here is ever asked by a check. The client is put together from our own parts: strict
//! reading of how the hub is reached, one connection pool, limits on time and bytes, no redirect followed, nothing run.

mod access;
mod body;
mod channel;
mod error;
mod line;
mod review;
mod rights;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kube::Client;
use tracing::Instrument;

pub use error::HubError;
pub use review::{AskHub, Review, Reviewed, Reviews};
pub use rights::{AskRights, Right};

use channel::Channel;

use crate::breaker::Breaker;

/// How the hub is found, and who asks it.
#[derive(Clone, Debug)]
pub enum Source {
    /// As pods are told: the URL of the server, and the folder of the service account's files.
    InCluster {
        /// `https` URL of the API server.
        server: String,
        /// Folder of `token` and `ca.crt`.
        folder: PathBuf,
    },
    /// A kubeconfig with inline data only.
    Kubeconfig(PathBuf),
    /// One context of a kubeconfig, the current one unless it is named. What the others say is not looked at.
    Context {
        /// The kubeconfig.
        file: PathBuf,
        /// Name of the context.
        name: Option<String>,
    },
}

impl Source {
    /// What a pod is told of its own cluster by its environment; `folder` holds the files of its service account.
    pub fn of_pod(folder: &Path) -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let server = address(&variable("KUBERNETES_SERVICE_HOST")?, &variable("KUBERNETES_SERVICE_PORT")?);
        Some(Self::InCluster { server, folder: folder.to_owned() })
    }
}

fn address(host: &str, port: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
        _ => format!("https://{host}:{port}"),
    }
}

/// What a request to the hub may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time for a whole answer; for a watch, for its head.
    pub timeout: Duration,
    /// Bytes of one answer; of one line of a watch.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), answer_bytes: 64 << 20 }
    }
}

/// The hub's API, ready to be asked.
#[derive(Clone)]
pub struct Hub {
    client: Client,
}

impl Hub {
    /// Reads how the hub is reached. Makes no connection yet; needs a runtime.
    ///
    /// # Errors
    /// [`HubError::Access`] when that cannot be read or is not acceptable.
    pub async fn open(source: Source, limits: Limits) -> Result<Self, HubError> {
        Self::open_behind(source, limits, None).await
    }

    /// As [`Hub::open`]; a hub that does not answer is left alone for a while.
    ///
    /// # Errors
    /// As for [`Hub::open`].
    pub async fn open_behind(source: Source, limits: Limits, breaker: Option<Arc<Breaker>>) -> Result<Self, HubError> {
        let channel = Arc::new(Channel::new(source, limits, breaker));
        channel.line().await.map_err(|trouble| HubError::Access(trouble.to_string()))?;
        let asked = tower::service_fn(move |request| {
            let channel = Arc::clone(&channel);
            async move { channel.ask(request).await }.in_current_span()
        });
        Ok(Self { client: Client::new(asked, "default") })
    }

    /// The client, for requests of any kind.
    pub fn client(&self) -> Client {
        self.client.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_s_variables_become_an_address() {
        assert_eq!(address("10.0.0.1", "443"), "https://10.0.0.1:443");
        assert_eq!(address("fd00::1", "6443"), "https://[fd00::1]:6443");
        assert_eq!(address("kubernetes.default.svc", "443"), "https://kubernetes.default.svc:443");
    }
}
