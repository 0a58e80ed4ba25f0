//! The ways a caller can come in: what each takes, and how a test walks through it.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, request::Builder},
};
use chrono::TimeDelta;
use fleetbeat::{
    audit::Origin,
    hub::{AskHub, HubError, Review, Reviewed, Reviews},
    identity::{
        Gateway, Grant, Grants, Identity, Kubernetes, Peer, Person, Rights, Role, Scope, Sessions,
        oidc::{ALGORITHMS, Login, LoginRules, Oidc, OidcRules, Provider, Wire},
    },
};
use fleetbeat_actors::ports::Clock;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    house::House,
    support::{Issuer, issuer::AUDIENCE},
};

/// The group that every test's caller is in.
const GROUP: &str = "team";
/// A token that the hub knows.
const HUB_TOKEN: &str = "sha256~a-token-of-openshift";
/// The cookie of a session.
pub const SESSION: &str = "__Host-fleetbeat-session";
/// The name in a gateway's certificate.
const GATEWAY: &str = "gateway.example";

/// A way in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Door {
    /// A token of the API.
    Token,
    /// A token of an OpenID issuer.
    Oidc,
    /// A browser that signed in there.
    Session,
    /// A token that the hub's Kubernetes knows.
    Kubernetes,
    /// The word of a gateway.
    Gateway,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Token, Self::Oidc, Self::Session, Self::Kubernetes, Self::Gateway];
}

/// Somebody who came in, or tries to.
#[derive(Clone)]
pub struct Entrance {
    /// The API behind this door.
    pub router: Router,
    headers: Vec<(&'static str, String)>,
    peer: Peer,
}

impl Entrance {
    /// Somebody with a bearer token.
    pub fn bearing(router: Router, token: &str) -> Self {
        Self { router, headers: vec![("authorization", format!("Bearer {token}"))], peer: Peer::default() }
    }

    /// Somebody with nothing to show.
    pub fn bare(router: Router) -> Self {
        Self { router, headers: Vec::new(), peer: Peer::default() }
    }

    /// Shows one more header.
    pub fn showing(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Comes over a connection with a client certificate of this name.
    pub fn proved_as(mut self, name: &str) -> Self {
        self.peer.client_cert_names = [name.to_owned()].into();
        self
    }

    /// Dresses a request as theirs.
    pub fn dress(&self, mut request: Builder, body: Body) -> Request<Body> {
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(self.peer.clone());
        request
    }
}

/// What the doors stand on.
pub struct Doors {
    /// The issuer of tokens.
    pub issuer: Issuer,
    provider: Arc<Provider>,
}

impl Doors {
    /// With an issuer of their own.
    pub async fn new(clock: &Arc<dyn Clock>) -> Self {
        let issuer = Issuer::start().await;
        let provider = provider(&issuer, clock);
        Self { issuer, provider }
    }

    /// Somebody of this role and scope comes into a house through a door.
    pub async fn enter(&self, house: &House, door: Door, role: Role, scope: Scope) -> Entrance {
        let clusters = match &scope {
            Scope::Clusters(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            _ => "*".to_owned(),
        };
        match door {
            Door::Token => Entrance::bearing(house.router.clone(), &house.token(role, scope).await),
            Door::Oidc => {
                let oidc = self.oidc(house, vec![grant(GROUP, role, scope)]);
                let router = house.router_with(Identity::open().with_oidc(oidc), None);
                Entrance::bearing(router, &self.issuer.token(now(house), "ada", &["others", GROUP]))
            }
            Door::Session => {
                let (login, id) = self.login(house, vec![grant(GROUP, role, scope)]).await;
                let router = house.router_with(Identity::open().with_login(login), None);
                let cookie = format!("{SESSION}={id}");
                Entrance::bare(router).showing("cookie", &cookie).showing("x-fleetbeat-request", "1")
            }
            Door::Kubernetes => {
                let kubernetes = kubernetes(house, vec![grant(GROUP, role, scope)]);
                let router = house.router_with(Identity::open().with_kubernetes(kubernetes), None);
                Entrance::bearing(router, HUB_TOKEN)
            }
            Door::Gateway => {
                let router = house.router_with(Identity::open().with_gateway(gateway(role)), None);
                let entrance = Entrance::bare(router).proved_as(GATEWAY).showing("x-user-id", "ada@example.com");
                entrance.showing("x-user-groups", &format!("others,{GROUP}")).showing("x-cluster-access", &clusters)
            }
        }
    }

    /// The issuer, believed for these grants.
    pub fn oidc(&self, house: &House, grants: Vec<Grant>) -> Arc<Oidc> {
        let (provider, clock) = (Arc::clone(&self.provider), Arc::clone(&house.clock));
        Arc::new(Oidc::new(provider, clock, rules(), Grants::new(grants)))
    }

    /// Browsers may sign in at the issuer, and one did: the id of its session.
    pub async fn login(&self, house: &House, grants: Vec<Grant>) -> (Arc<Login>, String) {
        let (store, clock) = (Arc::clone(&house.store), Arc::clone(&house.clock));
        let sessions = Arc::new(Sessions::load(store, Arc::clone(&clock), TimeDelta::hours(1)).await.unwrap());
        let groups = vec!["others".to_owned(), GROUP.to_owned()];
        let person = Person { subject: "ada".to_owned(), name: "Ada".to_owned(), groups };
        let id = sessions.begin(&person, &Origin::system("test")).await.unwrap().expose_secret().to_owned();
        let rules = LoginRules {
            client_id: "fleetbeat".to_owned(),
            client_secret: None,
            scopes: vec!["openid".to_owned()],
            public_url: "https://fleet.example".parse().unwrap(),
            name: "Single sign-on".to_owned(),
        };
        (Arc::new(Login::new(self.oidc(house, grants), sessions, clock, rules).unwrap()), id)
    }

    /// Every method at once, all for administrators.
    pub async fn all(&self, house: &House) -> Identity {
        let grants = || vec![grant(GROUP, Role::Admin, Scope::Everything)];
        let (login, _) = self.login(house, grants()).await;
        let identity = Identity::open().with_tokens(Arc::clone(&house.keyring)).with_login(login);
        let identity = identity.with_oidc(self.oidc(house, grants())).with_kubernetes(kubernetes(house, grants()));
        identity.with_gateway(gateway(Role::Admin))
    }
}

/// Now, in seconds, as the house sees it.
pub fn now(house: &House) -> i64 {
    house.clock.wall().timestamp()
}

/// The word of a grant.
pub fn grant(group: &str, role: Role, scope: Scope) -> Grant {
    Grant { group: group.to_owned(), role, scope }
}

/// A hub that knows one token.
struct FakeHub;

#[async_trait::async_trait]
impl AskHub for FakeHub {
    async fn ask(&self, token: &SecretString, audience: &str) -> Result<Review, HubError> {
        if token.expose_secret() != HUB_TOKEN || audience != "fleetbeat" {
            return Ok(Review::Refused);
        }
        let groups = vec!["system:authenticated".to_owned(), GROUP.to_owned()];
        let user = "system:serviceaccount:x:ada".to_owned();
        Ok(Review::Accepted(Arc::new(Reviewed { user, groups, ..Reviewed::default() })))
    }
}

fn kubernetes(house: &House, grants: Vec<Grant>) -> Arc<Kubernetes> {
    let reviews = Reviews::new(Arc::new(FakeHub), Arc::clone(&house.clock));
    let rights = Rights::Grants(Grants::new(grants));
    Arc::new(Kubernetes::new(reviews, Arc::clone(&house.clock), "fleetbeat".to_owned(), rights))
}

fn gateway(role: Role) -> Arc<Gateway> {
    let grants = Grants::new(vec![grant(GROUP, role, Scope::Everything)]);
    Arc::new(Gateway::new([GATEWAY.to_owned()], false, grants))
}

/// What is known of an issuer, nothing yet.
pub fn provider(issuer: &Issuer, clock: &Arc<dyn Clock>) -> Arc<Provider> {
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), issuer.ca_pem()).unwrap();
    let wire = Wire::new(Some(authority.path())).unwrap();
    Arc::new(Provider::new(issuer.url().to_owned(), wire, Arc::clone(clock)))
}

/// The rules that tests believe an issuer by.
pub fn rules() -> OidcRules {
    OidcRules {
        audiences: vec![AUDIENCE.to_owned()],
        algorithms: ALGORITHMS.to_vec(),
        needs_nbf: true,
        skew: TimeDelta::seconds(30),
        name_claim: "preferred_username".to_owned(),
        groups_claim: "groups".to_owned(),
    }
}
