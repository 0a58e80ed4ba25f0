//! Doors: the methods that are set, and which of them a request has to pass. Exactly one decides about each request; what one
//! refuses no other is asked about.

use std::sync::Arc;

use super::{Caller, Keyring, Knock, Method, Presented, Unknown, caller::Standing};

/// The methods that are set.
#[derive(Clone, Default)]
pub struct Identity {
    keyring: Option<Arc<Keyring>>,
}

impl Identity {
    /// No method: everybody is [`Caller::open`].
    pub fn open() -> Self {
        Self::default()
    }

    /// Accepts API tokens, too.
    #[must_use]
    pub fn with_tokens(mut self, keyring: Arc<Keyring>) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// The tokens, where they are accepted.
    pub fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.keyring.as_ref()
    }

    /// Keeps what it knows fresh, for ever.
    pub async fn keep_fresh(&self) {
        match &self.keyring {
            Some(keyring) => Arc::clone(keyring).keep_fresh().await,
            None => std::future::pending().await,
        }
    }

    /// Is no method set?
    pub fn is_open(&self) -> bool {
        self.keyring.is_none()
    }

    /// The methods that are set; none where everybody may call.
    pub fn methods(&self) -> Vec<Method> {
        self.keyring.iter().map(|_| Method::Token).collect()
    }

    /// Whose request is this?
    ///
    /// # Errors
    /// [`Unknown`]: the same for every reason, so that nobody learns which part was right.
    pub async fn identify(&self, knock: Knock<'_>) -> Result<Caller, Unknown> {
        if self.is_open() {
            return Ok(Caller::open());
        }
        let bearer = knock.bearer()?.ok_or(Unknown::Nobody)?;
        self.identify_bearer(bearer).await
    }

    /// Is this caller, who was identified a while ago, still one? A revoked token ends what it began.
    pub fn is_still(&self, caller: &Caller) -> bool {
        match caller.standing {
            Standing::Open => self.is_open(),
            Standing::Token(id) => self.keyring.as_ref().is_some_and(|keyring| keyring.holds(id)),
        }
    }

    /// Whose bearer token is this?
    ///
    /// # Errors
    /// [`Unknown::Refused`]
    pub async fn identify_bearer(&self, bearer: &str) -> Result<Caller, Unknown> {
        if self.is_open() {
            return Ok(Caller::open());
        }
        let ours = Presented::parse(bearer).zip(self.keyring.as_ref());
        let token = ours.and_then(|(presented, keyring)| keyring.check(&presented)).ok_or(Unknown::Refused)?;
        Ok(Caller::of_token(&token))
    }
}
