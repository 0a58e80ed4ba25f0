//! What is listened on, as the settings say.

use std::{future::Future, net::SocketAddr, sync::Arc};

use anyhow::Context;
use axum::Router;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    api::Routers,
    config::{Listen, Settings},
    listener::{self, Clients, Door, Limits, Tls, TlsFiles},
};

/// Connections to the addresses for health and metrics alone.
const OBSERVERS: usize = 64;

/// Doors that are open already, so that an address in use is told before anything else is begun.
pub(super) struct Listening {
    public: Vec<Door>,
    observability: Vec<Door>,
    internal: Vec<Door>,
    tls: Option<Arc<Tls>>,
    observability_tls: Option<Arc<Tls>>,
    internal_tls: Option<Arc<Tls>>,
}

impl Listening {
    /// Opens the doors and reads the certificates.
    ///
    /// # Errors
    /// When an address cannot be listened on, or a file cannot be used.
    pub(super) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let server = &settings.server;
        warn_of_plain_http(settings);
        let mut public = vec![open("server.listen", &server.listen).await?];
        for listen in &server.also_listen {
            public.push(open("server.also_listen", listen).await?);
        }
        let mut observability = Vec::new();
        for listen in &server.observability_listen {
            observability.push(open("server.observability_listen", listen).await?);
        }
        let mut internal = Vec::new();
        if let Some(listen) = &settings.internal.listen.0 {
            internal.push(open("internal.listen", listen).await?);
        }
        let tls = |clients| tls(settings, clients).context("server.tls");
        let observed = !observability.is_empty();
        Ok(Self {
            public,
            tls: tls(clients(settings))?,
            observability_tls: if observed { tls(Clients::Anybody)? } else { None },
            observability,
            internal_tls: if internal.is_empty() { None } else { tls(Clients::Anybody)? },
            internal,
        })
    }

    /// The address of the first TCP door.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.public.iter().find_map(Door::address)
    }

    /// The addresses of all TCP doors.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.public.iter().chain(&self.observability).chain(&self.internal).filter_map(Door::address).collect()
    }

    /// Serves until `stopping` becomes true. Certificates are kept fresh among `tasks`.
    pub(super) fn serve(
        self,
        settings: &Settings,
        routers: Routers,
        internal: Option<Router>,
        stopping: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) -> impl Future<Output = ()> + Send + use<> {
        for tls in [&self.tls, &self.observability_tls, &self.internal_tls].into_iter().flatten() {
            tasks.spawn(Arc::clone(tls).keep_fresh());
        }
        let limits = limits(settings);
        let few = Limits { connections: OBSERVERS, ..limits.clone() };
        let inside = listener::serve(
            if internal.is_some() { self.internal } else { Vec::new() },
            self.internal_tls,
            internal.unwrap_or_default(),
            limits.clone(),
            stopping.clone(),
        );
        let public = listener::serve(self.public, self.tls, routers.everything, limits, stopping.clone());
        let observability = routers.observability;
        let observability = listener::serve(self.observability, self.observability_tls, observability, few, stopping);
        async {
            tokio::join!(public, observability, inside);
        }
    }
}

fn limits(settings: &Settings) -> Limits {
    let set = &settings.limits;
    Limits {
        handshake_timeout: set.head_timeout,
        head_timeout: set.head_timeout,
        body_timeout: set.body_timeout,
        idle_timeout: set.idle_timeout,
        head_bytes: set.max_header_bytes,
        headers: set.max_headers,
        connections: settings.server.max_connections,
        connections_per_address: set.connections_per_address,
        uncounted: set.uncounted_cidrs.clone(),
        ..Limits::default()
    }
}

async fn open(key: &str, listen: &Listen) -> anyhow::Result<Door> {
    let opened = match listen {
        Listen::Tcp(address) => Door::tcp(*address).await,
        Listen::Unix(path) => Door::unix(path),
    };
    opened.with_context(|| format!("{key}: cannot bind {}", String::from(listen.clone())))
}

/// Tokens that travel in the clear belong to whoever listens.
fn warn_of_plain_http(settings: &Settings) {
    let server = &settings.server;
    if !server.tls.is_on() && !server.behind_tls_proxy && !server.is_local() && settings.auth.is_on() {
        tracing::warn!(
            "PLAIN HTTP ON THE NETWORK: callers' tokens travel in the clear; set server.tls.cert_file and key_file, or \
             server.behind_tls_proxy when a proxy in front speaks TLS"
        );
    }
}

fn tls(settings: &Settings, clients: Clients) -> anyhow::Result<Option<Arc<Tls>>> {
    let set = &settings.server.tls;
    if !set.is_on() {
        return Ok(None);
    }
    let files = TlsFiles { certificate: set.cert_file.clone(), key: set.key_file.clone(), clients };
    Ok(Some(Tls::load(files)?))
}

fn clients(settings: &Settings) -> Clients {
    let set = &settings.server.tls;
    match (set.client_ca_file.as_os_str().is_empty(), set.require_client_certificate) {
        (true, _) => Clients::Anybody,
        (false, false) => Clients::MayProve(set.client_ca_file.clone()),
        (false, true) => Clients::MustProve(set.client_ca_file.clone()),
    }
}
