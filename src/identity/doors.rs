//! Doors: the methods that are set, and which of them a request has to pass. Exactly one decides about each request; what one
//! refuses no other is asked about.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    Caller, Gateway, Keyring, Knock, Kubernetes, Method, Presented, Unknown,
    caller::Standing,
    oidc::{Login, Oidc},
};

/// The methods that are set.
#[derive(Clone, Default)]
pub struct Identity {
    keyring: Option<Arc<Keyring>>,
    oidc: Option<Arc<Oidc>>,
    login: Option<Arc<Login>>,
    kubernetes: Option<Arc<Kubernetes>>,
    gateway: Option<Arc<Gateway>>,
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

    /// Accepts bearer tokens of an OpenID issuer, too.
    #[must_use]
    pub fn with_oidc(mut self, oidc: Arc<Oidc>) -> Self {
        self.oidc = Some(oidc);
        self
    }

    /// Lets browsers sign in at that issuer, too.
    #[must_use]
    pub fn with_login(mut self, login: Arc<Login>) -> Self {
        self.login = Some(login);
        self
    }

    /// Accepts bearer tokens that the hub's Kubernetes knows, too.
    #[must_use]
    pub fn with_kubernetes(mut self, kubernetes: Arc<Kubernetes>) -> Self {
        self.kubernetes = Some(kubernetes);
        self
    }

    /// Believes a gateway, too.
    #[must_use]
    pub fn with_gateway(mut self, gateway: Arc<Gateway>) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// The tokens, where they are accepted.
    pub fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.keyring.as_ref()
    }

    /// The way in for browsers, where there is one.
    pub fn login(&self) -> Option<&Arc<Login>> {
        self.login.as_ref()
    }

    /// Keeps what it knows fresh, for ever.
    pub async fn keep_fresh(&self) {
        let keyring = async {
            match &self.keyring {
                Some(keyring) => Arc::clone(keyring).keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        let oidc = async {
            match &self.oidc {
                Some(oidc) => oidc.keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        let login = async {
            match &self.login {
                Some(login) => login.keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(keyring, oidc, login);
    }

    /// Is no method set?
    pub fn is_open(&self) -> bool {
        self.methods().next().is_none()
    }

    /// The methods that are set; none where everybody may call.
    pub fn methods(&self) -> impl Iterator<Item = Method> + use<> {
        let set = [
            (Method::Token, self.keyring.is_some()),
            (Method::Oidc, self.oidc.is_some()),
            (Method::Session, self.login.is_some()),
            (Method::Kubernetes, self.kubernetes.is_some()),
            (Method::Gateway, self.gateway.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(method, _)| method)
    }

    /// Whose request is this? A proved gateway speaks for its users, and only so; anybody else shows a bearer token, or
    /// else the session of a browser.
    ///
    /// # Errors
    /// [`Unknown`]: the same for every reason, so that nobody learns which part was right.
    pub async fn identify(&self, knock: Knock<'_>) -> Result<Caller, Unknown> {
        match self.recall(knock).await {
            Some(known) => known,
            None => self.ask_hub(knock.bearer()?.unwrap_or_default(), knock.address()).await,
        }
    }

    /// The same as far as it is known here; `None` for a bearer token that the hub has to be asked about.
    pub async fn recall(&self, knock: Knock<'_>) -> Option<Result<Caller, Unknown>> {
        if self.is_open() {
            return Some(Ok(Caller::open()));
        }
        if let Some(gateway) = self.gateway.as_ref().filter(|gateway| gateway.is_proved_by(knock.peer)) {
            return Some(gateway.identify(knock.headers));
        }
        match knock.bearer() {
            Ok(Some(bearer)) => self.recall_bearer(bearer).await,
            Ok(None) => {
                let session = self.login.as_ref().map(|login| login.identify(knock)).transpose();
                Some(session.and_then(|session| session.flatten().ok_or(Unknown::Nobody)))
            }
            Err(unknown) => Some(Err(unknown)),
        }
    }

    /// Whose bearer token is this, that somebody shows at this address? Its look decides who is asked: us, the issuer that it
    /// names, or else the hub.
    ///
    /// # Errors
    /// [`Unknown`], as for [`Identity::identify`].
    pub async fn identify_bearer(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller, Unknown> {
        match self.recall_bearer(bearer).await {
            Some(known) => known,
            None => self.ask_hub(bearer, address).await,
        }
    }

    async fn ask_hub(&self, bearer: &str, address: Option<IpAddr>) -> Result<Caller, Unknown> {
        match &self.kubernetes {
            Some(kubernetes) => kubernetes.identify(bearer, address).await,
            None => Err(Unknown::Refused),
        }
    }

    /// Tokens of the issuer are proved here: it is asked for its keys only, now and then.
    async fn recall_bearer(&self, bearer: &str) -> Option<Result<Caller, Unknown>> {
        if self.is_open() {
            return Some(Ok(Caller::open()));
        }
        if let Some(presented) = Presented::parse(bearer) {
            let token = self.keyring.as_ref().and_then(|keyring| keyring.check(&presented));
            return Some(token.map(|token| Caller::of_token(&token)).ok_or(Unknown::Refused));
        }
        match (&self.oidc, &self.kubernetes) {
            (Some(oidc), _) if oidc.is_named_by(bearer) => Some(oidc.identify(bearer).await),
            (_, Some(kubernetes)) => kubernetes.recall(bearer).await,
            (_, None) => Some(Err(Unknown::Refused)),
        }
    }

    /// Is this caller, who was identified a while ago, still one? A proof that ended or was revoked ends what it began.
    pub fn is_still(&self, caller: &Caller, now: DateTime<Utc>) -> bool {
        match caller.standing {
            Standing::Open => self.is_open(),
            Standing::Token(id) => self.keyring.as_ref().is_some_and(|keyring| keyring.holds(id)),
            Standing::Session(hash) => self.login.as_ref().is_some_and(|login| login.holds(&hash)),
            Standing::Until(end) => end.is_none_or(|end| now < end),
        }
    }
}
