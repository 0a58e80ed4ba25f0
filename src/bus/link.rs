//! The link to the server: kept up by a task of its own, which connects, asks now and then whether the server is there,
//! and breaks off a connection that only looks alive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use fred::{prelude::*, types::ConnectHandle};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::hurried;

/// Pause between two questions whether the server is there.
const PING_EVERY: Duration = Duration::from_secs(2);
/// First and longest pause between two first connections.
const CONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Longest time that one first connection, or breaking off one, may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// This many timeouts in a row, and the connection only looks alive.
const TIMEOUTS: u32 = 3;

/// What commands are told while there is no connection.
const NOT_CONNECTED: &str = "not connected";
/// Why there is none: what stands in the client's words for it, which themselves may hold anything, and ours. The first counts.
const WHY: [(&str, &str); 11] = [
    ("NotValidForName", "TLS failed: its certificate is for another name"),
    ("InvalidCertificate(Expired", "TLS failed: its certificate has expired"),
    ("InvalidCertificate(NotValidYet", "TLS failed: its certificate is not valid yet"),
    ("UnknownIssuer", "TLS failed: its certificate is not trusted"),
    // By an authority of the same name, but another one.
    ("InvalidCertificate(BadSignature", "TLS failed: its certificate is not trusted"),
    ("InvalidCertificate(", "TLS failed: its certificate is refused"),
    ("InvalidMessage(", "TLS failed: it does not speak TLS"),
    ("AlertReceived(", "TLS failed: it broke off"),
    ("ConnectionRefused", "connection refused"),
    ("ConnectionReset", "it closed the connection"),
    ("failed to lookup address", "its name is not known"),
];

/// How the connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusHealth {
    /// Did the server answer last?
    pub connected: bool,
    /// What went wrong last, in a word or two without content; cleared by success.
    pub last_error: Option<String>,
    /// Why the server, which is there, did not take the last events; cleared when it takes some.
    pub refusal: Option<String>,
    /// How long the server took to answer the last question whether it is there.
    pub ping_latency: Option<Duration>,
}

/// The link. Its task ends with it.
pub(super) struct Link {
    state: Arc<State>,
    upkeep: JoinHandle<()>,
}

struct State {
    client: Client,
    /// How long the server may take over one call.
    patience: Duration,
    health: Mutex<BusHealth>,
    timeouts: AtomicU32,
    suspicious: Notify,
}

impl Link {
    pub(super) fn start(client: Client, patience: Duration) -> Self {
        let state = Arc::new(State {
            client,
            patience,
            health: Mutex::default(),
            timeouts: AtomicU32::new(0),
            suspicious: Notify::new(),
        });
        let upkeep = tokio::spawn(keep_up(state.clone()));
        Self { state, upkeep }
    }

    pub(super) fn health(&self) -> BusHealth {
        let health = self.state.health.lock().clone();
        BusHealth { connected: health.connected && self.state.client.is_connected(), ..health }
    }

    /// Takes note of how a command went.
    pub(super) fn learn(&self, error: Option<&Error>) {
        self.state.learn(error);
    }

    /// Takes note of how events were taken.
    pub(super) fn learn_of_events(&self, error: Option<&Error>) {
        self.learn(error);
        self.state.health.lock().refusal = error.filter(|error| is_answer(error)).map(word);
    }

    pub(super) fn stop(&self) {
        self.upkeep.abort();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

impl State {
    fn learn(&self, error: Option<&Error>) {
        let timed_out = error.is_some_and(|error| matches!(error.kind(), ErrorKind::Timeout));
        if !timed_out {
            self.timeouts.store(0, Ordering::Relaxed);
        } else if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS {
            self.suspicious.notify_one();
        }
        match error {
            Some(error) => self.note(error),
            None => {
                let mut health = self.health.lock();
                (health.connected, health.last_error) = (true, None);
            }
        }
    }

    fn note(&self, error: &Error) {
        let (mut health, word) = (self.health.lock(), word(error));
        health.connected = false;
        // That there is no connection says less than why there was none.
        if word != NOT_CONNECTED || health.last_error.is_none() {
            health.last_error = Some(word);
        }
    }

    async fn ping(&self) {
        let began = Instant::now();
        let answer = self.client.with_options(&hurried(self.patience)).ping::<Value>(None).await;
        self.learn(answer.as_ref().err());
        self.health.lock().ping_latency = answer.is_ok().then(|| began.elapsed());
    }

    /// Breaks the connection off. In time, or not at all: the client may never come back from it.
    async fn reconnect(&self) {
        self.timeouts.store(0, Ordering::Relaxed);
        let client = self.client.clone();
        let breaking = tokio::spawn(async move { timeout(CONNECT_WITHIN, client.force_reconnection()).await });
        let _ = breaking.await;
    }
}

/// Connects, and watches over the connection, for ever.
async fn keep_up(state: Arc<State>) {
    let mut errors = state.client.error_rx();
    loop {
        let connection = connect(&state).await;
        while !connection.is_finished() {
            tokio::select! {
                () = sleep(PING_EVERY) => state.ping().await,
                () = state.suspicious.notified() => state.reconnect().await,
                Ok((error, _)) = errors.recv() => state.note(&error),
            }
        }
        tracing::warn!("the event bus ended its connection and connects anew");
    }
}

async fn connect(state: &State) -> ConnectHandle {
    let mut pause = CONNECT_PAUSE.0;
    loop {
        let error = match timeout(CONNECT_WITHIN, state.client.init()).await {
            Ok(Ok(connection)) => {
                state.ping().await;
                return connection;
            }
            Ok(Err(error)) => error,
            Err(_) => Error::new(ErrorKind::Timeout, "silent"),
        };
        state.learn(Some(&error));
        sleep(pause).await;
        pause = (pause * 2).min(CONNECT_PAUSE.1);
    }
}

/// Did the server say so? Then it is there.
fn is_answer(error: &Error) -> bool {
    let link = [ErrorKind::Timeout, ErrorKind::Canceled, ErrorKind::IO, ErrorKind::Routing, ErrorKind::Tls];
    !link.contains(error.kind())
}

/// An error in a word or two: its kind, and the server's own code where it sent one. Never what a command held.
pub(super) fn word(error: &Error) -> String {
    let code = error.details().split(' ').next().unwrap_or_default();
    let is_code = (3..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let kind = match error.kind() {
        ErrorKind::Timeout => "timed out",
        ErrorKind::Canceled | ErrorKind::IO | ErrorKind::Routing => why(error.details(), NOT_CONNECTED),
        ErrorKind::Auth => "refused our credentials",
        ErrorKind::Tls => why(error.details(), "TLS failed"),
        ErrorKind::Cluster | ErrorKind::Sentinel => "no server is in charge",
        ErrorKind::Protocol | ErrorKind::Parse => "not understood",
        ErrorKind::Config
        | ErrorKind::Url
        | ErrorKind::InvalidCommand
        | ErrorKind::InvalidArgument
        | ErrorKind::NotFound
        | ErrorKind::Backpressure
        | ErrorKind::Unknown => match is_code {
            true => "refused",
            false => "failed",
        },
    };
    if is_code { format!("{kind} ({code})") } else { kind.to_owned() }
}

fn why(details: &str, otherwise: &'static str) -> &'static str {
    WHY.iter().find(|(theirs, _)| details.contains(theirs)).map_or(otherwise, |(_, ours)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_kind_and_code_only() {
        let told = |kind, details: &'static str| word(&Error::new(kind, details));
        assert_eq!(told(ErrorKind::Unknown, "OOM command not allowed"), "refused (OOM)");
        assert_eq!(told(ErrorKind::Auth, "WRONGPASS invalid canary"), "refused our credentials (WRONGPASS)");
        assert_eq!(told(ErrorKind::IO, "canary secret"), "not connected");
        assert_eq!(told(ErrorKind::Timeout, "Request timed out."), "timed out");
        let expired = "Custom { kind: InvalidData, error: InvalidCertificate(ExpiredContext { canary }) }";
        assert_eq!(told(ErrorKind::IO, expired), "TLS failed: its certificate has expired");
        assert_eq!(told(ErrorKind::Tls, "canary"), "TLS failed");
    }
}
