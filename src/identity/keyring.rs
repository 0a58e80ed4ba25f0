//! The keyring: every token of the API in memory, changed together with the store. A revoked token is dead at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use fleetbeat_actors::ports::{Clock, StoreError};
use parking_lot::RwLock;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{ApiToken, Presented, Role, Scope};
use crate::{
    audit::{Action, Origin},
    store::{AuditEntry, Store, StoredToken},
};

/// Most tokens that are kept, revoked and expired ones included; the janitor removes those that ended long ago.
pub const MAX_TOKENS: usize = 10_000;
/// How often tokens that somebody changed in the database itself are read.
const RELOAD: Duration = Duration::from_secs(5);

/// Every token.
pub struct Keyring {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tokens: RwLock<HashMap<Uuid, Arc<ApiToken>>>,
    /// One change at a time: memory and store say the same.
    turn: Mutex<()>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct TokenDraft {
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// Which clusters its bearer may see.
    pub scope: Scope,
    /// When it stops being valid.
    pub expires_at: Option<DateTime<Utc>>,
    /// Who makes it.
    pub created_by: Option<String>,
}

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There are too many.
    #[error("there are {MAX_TOKENS} tokens already; those that ended or were revoked go after 90 days")]
    Full,
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    NoRandomness,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Keyring {
    /// The tokens that the store has.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let keyring = Self { store, clock, tokens: RwLock::default(), turn: Mutex::default() };
        keyring.reload().await?;
        Ok(keyring)
    }

    /// Reads the store again, now and then, for ever.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RELOAD).await;
            if let Err(error) = self.reload().await {
                tracing::debug!(%error, "the tokens could not be read again");
            }
        }
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let stored = self.store.tokens().await?;
        let known = stored.into_iter().filter_map(|row| {
            let id = row.id;
            let token = ApiToken::of_store(row);
            if token.is_none() {
                tracing::warn!(%id, "a stored token is not understood and not accepted");
            }
            token
        });
        *self.tokens.write() = known.map(|token| (token.id, Arc::new(token))).collect();
        Ok(())
    }

    /// The token that is presented, if it is ours, proved and valid.
    pub fn check(&self, presented: &Presented) -> Option<Arc<ApiToken>> {
        let token = self.tokens.read().get(&presented.id).cloned()?;
        (token.is_proved_by(presented) && token.is_valid_at(self.clock.wall())).then_some(token)
    }

    /// Is there a valid token of this id?
    pub fn holds(&self, id: Uuid) -> bool {
        let now = self.clock.wall();
        self.tokens.read().get(&id).is_some_and(|token| token.is_valid_at(now))
    }

    /// All tokens, the oldest first.
    pub fn list(&self) -> Vec<Arc<ApiToken>> {
        let mut tokens: Vec<_> = self.tokens.read().values().cloned().collect();
        tokens.sort_by_key(|token| (token.created_at, token.id));
        tokens
    }

    /// Makes a token; its text is told this once.
    ///
    /// # Errors
    /// [`KeyError`]
    pub async fn create(&self, draft: TokenDraft, by: &Origin) -> Result<(SecretString, Arc<ApiToken>), KeyError> {
        let presented = Presented::generate().ok_or(KeyError::NoRandomness)?;
        let token = self.keep(&presented, draft, by).await?;
        Ok((presented.reveal(), token))
    }

    /// Keeps a token that was made already.
    pub(super) async fn keep(
        &self,
        presented: &Presented,
        draft: TokenDraft,
        by: &Origin,
    ) -> Result<Arc<ApiToken>, KeyError> {
        let _turn = self.turn.lock().await;
        if self.tokens.read().len() >= MAX_TOKENS {
            return Err(KeyError::Full);
        }
        let stored = StoredToken {
            id: presented.id,
            name: draft.name,
            hash: presented.hash(),
            role: draft.role.to_string(),
            scope: draft.scope.to_json().to_string(),
            created_by: draft.created_by,
            created_at: self.clock.wall().trunc_subsecs(3),
            expires_at: draft.expires_at,
            revoked_at: None,
        };
        self.store.insert_token(&stored, &[made(&stored, by)]).await?;
        let token = ApiToken::of_store(stored).ok_or_else(|| StoreError::Broken("a new token is not read".into()))?;
        let token = Arc::new(token);
        self.tokens.write().insert(token.id, Arc::clone(&token));
        Ok(token)
    }

    /// Revokes a token, at once. False when there is none of that id, or it was revoked before.
    ///
    /// # Errors
    /// The store's; if it is in doubt, the token is dead in memory all the same.
    pub async fn revoke(&self, id: Uuid, by: &Origin) -> Result<bool, StoreError> {
        let _turn = self.turn.lock().await;
        let now = self.clock.wall().trunc_subsecs(3);
        let told = by.did(Action::TokenRevoke, now).of_object(&id.to_string());
        let revoked = self.store.revoke_token(id, now, &[told]).await;
        if matches!(revoked, Ok(true) | Err(StoreError::Unavailable { doubtful: true, .. })) {
            let mut tokens = self.tokens.write();
            if let Some(token) = tokens.get(&id).map(|token| token.revoked(now)) {
                tokens.insert(id, Arc::new(token));
            }
        }
        revoked
    }
}

/// What the audit log tells of a new token: nothing of its secret.
fn made(token: &StoredToken, by: &Origin) -> AuditEntry {
    let entry = by.did(Action::TokenCreate, token.created_at).of_object(&token.id.to_string());
    let entry = entry.with("name", json!(token.name)).with("role", json!(token.role));
    entry.with("scope", json!(token.scope)).with("expires_at", json!(token.expires_at))
}
