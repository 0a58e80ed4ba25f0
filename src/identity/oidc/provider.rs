//! The issuer: where its doors are and which keys it signs with; read at its own address, kept, and read again when a token
//! names a key that is not known, at a limited rate.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fleetbeat_actors::ports::Clock;
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::{
    keys::KeySet,
    wire::{Wire, WireError, may_be_asked},
};
use crate::identity::Unknown;

/// Shortest pause between two readings that strangers can cause.
const PAUSE: Duration = Duration::from_secs(10);
/// How often everything is read again without a cause.
const REFRESH: Duration = Duration::from_secs(300);
/// How long keys are believed that could not be read again.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// An issuer of tokens.
pub struct Provider {
    issuer: String,
    wire: Wire,
    clock: Arc<dyn Clock>,
    known: RwLock<Option<Arc<Known>>>,
    /// One reading at a time; when the last one began.
    turn: Mutex<Option<Instant>>,
}

/// What an issuer says of itself.
pub struct Known {
    /// Where a browser signs in.
    pub authorization: Option<Url>,
    /// Where a code is turned into tokens.
    pub token: Option<Url>,
    keys: KeySet,
    read_at: Instant,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: Url,
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
}

impl Provider {
    /// The issuer of this name, which is also its address; nothing is read yet.
    pub fn new(issuer: String, wire: Wire, clock: Arc<dyn Clock>) -> Self {
        Self { issuer, wire, clock, known: RwLock::default(), turn: Mutex::default() }
    }

    /// Its name, as it stands in `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The wire to it.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The key of this name for this algorithm.
    ///
    /// # Errors
    /// [`Unknown::Refused`] when there is none, also when it may not be looked for again yet; [`Unknown::Unavailable`]
    /// when the issuer could never be read, or not for a day.
    pub async fn key(&self, name: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Unknown> {
        let found = |known: &Known| known.keys.find(name, algorithm).map(|key| key.decoding.clone());
        if let Some(key) = self.known().as_deref().and_then(found) {
            return Ok(key);
        }
        self.read_if_due().await;
        let known = self.known().ok_or(Unknown::Unavailable)?;
        found(&known).ok_or(Unknown::Refused)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// [`Unknown::Unavailable`]
    pub async fn said(&self) -> Result<Arc<Known>, Unknown> {
        if self.known().is_none() {
            self.read_if_due().await;
        }
        self.known().ok_or(Unknown::Unavailable)
    }

    /// Reads it again, now and then, for ever.
    pub async fn keep_fresh(&self) {
        loop {
            self.read_if_due().await;
            tokio::time::sleep(if self.known().is_some() { REFRESH } else { PAUSE }).await;
        }
    }

    fn known(&self) -> Option<Arc<Known>> {
        let now = self.clock.now();
        self.known.read().clone().filter(|known| now.saturating_duration_since(known.read_at) <= MAX_AGE)
    }

    /// Waits for a reading under way; begins one unless the last began a moment ago.
    async fn read_if_due(&self) {
        let mut last = self.turn.lock().await;
        let now = self.clock.now();
        if last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            return;
        }
        *last = Some(now);
        match self.read(now).await {
            Ok(known) => {
                tracing::debug!(keys = known.keys.len(), "the token issuer's keys were read");
                *self.known.write() = Some(Arc::new(known));
            }
            Err(error) => tracing::warn!(issuer = self.issuer, %error, "the token issuer's keys cannot be read"),
        }
    }

    async fn read(&self, now: Instant) -> Result<Known, WireError> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let address = Url::parse(&address).map_err(|_| WireError::Content("the issuer is no URL"))?;
        let discovered: Discovered = serde_json::from_slice(&self.wire.get(&address).await?)
            .map_err(|_| WireError::Content("no discovery document"))?;
        if discovered.issuer != self.issuer {
            return Err(WireError::Content("its discovery document names another issuer"));
        }
        let keys = KeySet::read(&self.wire.get(&discovered.jwks_uri).await?);
        let keys = keys.ok_or(WireError::Content("no key set"))?;
        let safe = |url: &Url| may_be_asked(url);
        Ok(Known {
            authorization: discovered.authorization_endpoint.filter(safe),
            token: discovered.token_endpoint.filter(safe),
            keys,
            read_at: now,
        })
    }
}
