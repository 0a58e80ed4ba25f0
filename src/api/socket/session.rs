//! One WebSocket from its first word to its last. It says who it is, subscribes, and is told of events until it goes, is too slow,
//! or is nobody any more.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use uuid::Uuid;

use super::{
    protocol::{self, Fault, Said},
    subscriptions::Subscriptions,
};
use crate::{
    api::{
        ApiState,
        access::Seen,
        live::{Door, Frame, LOOK, PAUSE, Place, Recent},
        witness,
    },
    audit::{Action, Origin},
    identity::Caller,
    limits::Held,
    store::AuditOutcome,
};

/// How long a client may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);
/// Events sent at once.
const BATCH: usize = 128;
/// How long a client may take to take them.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// How long it is tried to tell a client why it has to go; longer when it has to read before that what it was slow about.
const FAREWELL: Duration = Duration::from_secs(2);
const SLOW_FAREWELL: Duration = Duration::from_secs(15);
/// A client that is not heard of is asked after this time …
const ASK_AFTER: Duration = Duration::from_secs(30);
/// … and given up after this one.
const GIVE_UP_AFTER: Duration = Duration::from_secs(90);
/// Most messages of a client between two looks.
const MAX_MESSAGES: u32 = 50;

/// Why a WebSocket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client went, or its connection broke.
    Gone,
    /// It never said who it is.
    Silent,
    /// Its proof is not accepted.
    Refused,
    /// Its token was revoked, or ended.
    Over,
    /// It does not take what it is sent.
    Slow,
    /// It says too much.
    Chatty,
    /// There are too many.
    Full,
    /// The process stops.
    Stopping,
}

impl End {
    /// Code and message of the last error, and the code of the close frame.
    const fn words(self) -> Option<(&'static str, &'static str, u16)> {
        match self {
            Self::Gone => None,
            Self::Silent => Some(("AUTH_REQUIRED", "nobody said within 5 s who they are", 1008)),
            Self::Refused => Some(("AUTH_FAILED", "the credentials are not accepted", 1008)),
            Self::Over => Some(("AUTH_EXPIRED", "the token was revoked or has ended", 1008)),
            Self::Slow => {
                Some(("SLOW_CONSUMER", "events come faster than you read; read what you missed and come back", 1013))
            }
            Self::Chatty => Some(("RATE_LIMITED", "too many messages", 1008)),
            Self::Full => Some(("RATE_LIMITED", "too many listeners", 1013)),
            Self::Stopping => Some(("STOPPING", "fleetbeat stops; come back later", 1001)),
        }
    }
}

/// One WebSocket.
pub struct Session {
    api: ApiState,
    socket: WebSocket,
    id: Uuid,
    origin: Origin,
    /// Who the request that opened it came from, if it proved so.
    opener: Option<Caller>,
    subscriptions: Subscriptions,
    /// Everything up to here was looked at.
    position: i64,
    stopping: watch::Receiver<bool>,
    heard: Instant,
    messages: u32,
    /// Held until it said who it is.
    stranger: Option<Held>,
}

impl Session {
    /// A WebSocket that was just opened.
    pub fn new(api: ApiState, socket: WebSocket, origin: Origin, opener: Option<Caller>, stranger: Held) -> Self {
        let stopping = api.stopping.clone();
        Self {
            api,
            socket,
            id: Uuid::now_v7(),
            origin,
            opener,
            subscriptions: Subscriptions::default(),
            position: 0,
            stopping,
            heard: Instant::now(),
            messages: 0,
            stranger: Some(stranger),
        }
    }

    /// Runs it to its end.
    pub async fn run(mut self) {
        let end = match self.greet().await {
            Ok(seen) => self.serve(seen).await,
            Err(end) => end,
        };
        tracing::debug!(client = %self.id, actor = %self.origin.actor, ?end, "a WebSocket ended");
        self.part(end).await;
    }

    /// Hears who it is.
    async fn greet(&mut self) -> Result<Seen, End> {
        let until = Instant::now() + GREETING;
        let mut stopping = self.stopping.clone();
        loop {
            let text = tokio::select! {
                text = self.hear() => text?,
                () = sleep_until(until) => return Err(End::Silent),
                () = stops(&mut stopping) => return Err(End::Stopping),
            };
            match self.read(&text)? {
                Ok(Said::Auth(token)) => return self.authenticate(token).await,
                Ok(Said::Ping(timestamp)) => self.pong(timestamp).await?,
                Ok(Said::Subscribe(_) | Said::Unsubscribe(_)) => self.refuse("AUTH_REQUIRED", "say auth first").await?,
                Err(fault) => self.say(fault.to_message()).await?,
            }
        }
    }

    /// Whose token is it? Without one, whoever opened the socket.
    async fn authenticate(&mut self, token: Option<String>) -> Result<Seen, End> {
        let (identity, address) = (&self.api.identity, self.origin.address.map(|address| address.ip()));
        let caller = match token.filter(|token| !token.is_empty()) {
            _ if identity.is_open() => Some(Caller::open()),
            Some(token) => {
                let identified = timeout(SENT_WITHIN, identity.identify_bearer(&token, address)).await;
                identified.ok().and_then(Result::ok)
            }
            None => self.opener.clone(),
        };
        let Some(caller) = caller else {
            let entry = self.api.journal.entry(&self.origin, Action::Read).ended(AuditOutcome::Refused, "AUTH_FAILED");
            self.api.journal.note(&self.origin, entry.with("route", json!("/ws")));
            let failed = protocol::not_authenticated("AUTH_FAILED", "the credentials are not accepted");
            self.say(failed).await?;
            return Err(End::Refused);
        };
        self.origin = witness::known(&caller, self.origin.clone());
        self.say(protocol::authenticated(self.id)).await?;
        Ok(Seen::of(caller, self.origin.clone(), &self.api))
    }

    /// Serves somebody who is known.
    async fn serve(&mut self, mut seen: Seen) -> End {
        let (since, listeners) = (self.api.clock.wall(), Arc::clone(&self.api.listeners));
        let Some(place) = listeners.admit(self.id, Door::WebSocket, self.origin.clone(), since) else {
            return End::Full;
        };
        self.stranger = None;
        loop {
            match self.listen(&seen, &place).await {
                Ok(token) => match self.authenticate(token).await {
                    Ok(other) => seen = other,
                    Err(end) => return end,
                },
                Err(end) => {
                    if end == End::Slow {
                        place.too_slow();
                    }
                    return end;
                }
            }
        }
    }

    /// Tells of events and answers, until the client says anew who it is.
    async fn listen(&mut self, seen: &Seen, place: &Place) -> Result<Option<String>, End> {
        let (mut head, mut stopping) = (self.api.broadcaster.head(), self.stopping.clone());
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pause = Instant::now();
        loop {
            head.borrow_and_update();
            let mut more = false;
            if Instant::now() >= pause && !self.subscriptions.is_empty() {
                let (frames, full) = self.next(seen)?;
                more = full;
                if !frames.is_empty() {
                    self.send(&frames).await?;
                    place.sent(frames.len(), self.position);
                    pause = Instant::now() + if more { Duration::ZERO } else { PAUSE };
                }
            }
            let (pausing, live) = (Instant::now() < pause, !self.subscriptions.is_empty());
            tokio::select! {
                text = self.hear() => {
                    if let Some(token) = self.answer(&text?, place).await? {
                        return Ok(token);
                    }
                }
                () = std::future::ready(()), if more => {}
                () = sleep_until(pause), if pausing => {}
                changed = head.changed(), if live && !pausing => changed.map_err(|_| End::Stopping)?,
                _ = looks.tick() => self.look(seen).await?,
                () = stops(&mut stopping) => return Err(End::Stopping),
            }
        }
    }

    /// The next events for this client, and whether there may be more at once.
    fn next(&mut self, seen: &Seen) -> Result<(Vec<Arc<Frame>>, bool), End> {
        let Recent::Frames(frames) = self.api.broadcaster.after(self.position, BATCH) else {
            return Err(End::Slow);
        };
        let full = frames.len() == BATCH;
        self.position = frames.last().map_or(self.position, |frame| frame.event.position);
        let wanted = |frame: &Arc<Frame>| self.subscriptions.want(&frame.event) && seen.admits_frame(frame);
        Ok((frames.into_iter().filter(wanted).collect(), full))
    }

    async fn send(&mut self, frames: &[Arc<Frame>]) -> Result<(), End> {
        let socket = &mut self.socket;
        let all = async {
            for frame in frames {
                socket.feed(Message::Text(frame.message().clone())).await?;
            }
            socket.flush().await
        };
        timeout(SENT_WITHIN, all).await.map_err(|_| End::Slow)?.map_err(|_| End::Gone)
    }

    /// Is it still somebody, still there, and not too chatty?
    async fn look(&mut self, seen: &Seen) -> Result<(), End> {
        self.messages = 0;
        if !self.api.is_still(&seen.caller) {
            return Err(End::Over);
        }
        let silent = self.heard.elapsed();
        if silent >= GIVE_UP_AFTER {
            return Err(End::Gone);
        }
        if silent >= ASK_AFTER && silent.as_secs().is_multiple_of(ASK_AFTER.as_secs()) {
            return self.put(Message::Ping(axum::body::Bytes::new())).await;
        }
        Ok(())
    }

    /// Does what a client says. The token, when it says anew who it is.
    async fn answer(&mut self, text: &str, place: &Place) -> Result<Option<Option<String>>, End> {
        let now = self.api.clock.wall();
        let said = match self.read(text)? {
            Ok(Said::Auth(token)) => return Ok(Some(token)),
            Ok(Said::Ping(timestamp)) => return self.pong(timestamp).await.map(|()| None),
            Ok(Said::Subscribe(wish)) => {
                if self.subscriptions.is_empty() {
                    self.position = self.api.broadcaster.newest();
                }
                self.subscriptions.add(wish, now).map(|granted| protocol::subscribed(&granted))
            }
            Ok(Said::Unsubscribe(unwanted)) => self.subscriptions.remove(&unwanted).map(|ended| {
                let types = match unwanted {
                    protocol::Unwanted::EventTypes(types) => types,
                    protocol::Unwanted::Subscription(_) => Vec::new(),
                };
                protocol::unsubscribed(&ended, &types)
            }),
            Err(fault) => Err(fault),
        };
        *place.listener().watched.lock() = self.subscriptions.watched();
        place.listener().position.store(self.position, Ordering::Relaxed);
        self.say(said.unwrap_or_else(|fault| fault.to_message())).await.map(|()| None)
    }

    /// Reads a message, if there are not too many.
    fn read(&mut self, text: &str) -> Result<Result<Said, Fault>, End> {
        self.messages += 1;
        if self.messages > MAX_MESSAGES { Err(End::Chatty) } else { Ok(Said::read(text)) }
    }

    /// The next text of the client.
    async fn hear(&mut self) -> Result<Utf8Bytes, End> {
        loop {
            let message = self.socket.recv().await.ok_or(End::Gone)?;
            self.heard = Instant::now();
            match message {
                Ok(Message::Text(text)) => return Ok(text),
                Ok(Message::Close(_)) | Err(_) => return Err(End::Gone),
                // Said like nonsense, and answered so.
                Ok(Message::Binary(_)) => return Ok(Utf8Bytes::from_static("")),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
            }
        }
    }

    async fn pong(&mut self, timestamp: Value) -> Result<(), End> {
        let now = self.api.clock.wall();
        self.say(protocol::pong(timestamp, now)).await
    }

    async fn refuse(&mut self, code: &'static str, message: &str) -> Result<(), End> {
        self.say(Fault { code, message: message.to_owned() }.to_message()).await
    }

    async fn say(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.put(Message::Text(text)).await
    }

    async fn put(&mut self, message: Message) -> Result<(), End> {
        let sent = timeout(SENT_WITHIN, self.socket.send(message)).await;
        sent.map_err(|_| End::Slow)?.map_err(|_| End::Gone)
    }

    /// Tells why it ends, as far as the client takes it.
    async fn part(mut self, end: End) {
        let Some((code, message, close)) = end.words() else { return };
        let error = Fault { code, message: message.to_owned() }.to_message();
        let close = Message::Close(Some(CloseFrame { code: close, reason: message.into() }));
        let told = async {
            if end != End::Refused {
                self.socket.send(Message::Text(error)).await?;
            }
            self.socket.send(close).await?;
            // The close frame of the other side, so that ours is not cut off by a reset.
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<_, axum::Error>(())
        };
        // Whoever does not even take that is cut off.
        let patience = if end == End::Slow { SLOW_FAREWELL } else { FAREWELL };
        let _ = timeout(patience, told).await;
    }
}

/// Returns when the process stops.
async fn stops(stopping: &mut watch::Receiver<bool>) {
    // An error says that whoever would tell is gone: that is the same.
    let _ = stopping.wait_for(|stop| *stop).await;
}
