//! The settings of who may call the API. What each key means and its default stand in `config/default.yaml`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{durations::seconds, hidden::Hidden};

/// Who may call the API.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// API tokens.
    pub tokens: AuthTokens,
    /// An OpenID issuer.
    pub oidc: AuthOidc,
    /// Tokens that the hub's Kubernetes knows.
    pub kubernetes: AuthKubernetes,
    /// A gateway in front.
    pub gateway: AuthGateway,
}

impl Auth {
    /// Is any method on?
    pub fn is_on(&self) -> bool {
        self.tokens.enabled || self.oidc.is_on() || self.kubernetes.enabled || self.gateway.is_on()
    }
}

/// API tokens.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthTokens {
    /// Whether they are accepted.
    pub enabled: bool,
}

/// What the members of a group may do and see.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthGrant {
    /// The group; `*` for everybody.
    pub group: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// Which clusters they may see; all when neither this nor a selector is set.
    #[serde(default)]
    pub cluster_ids: Vec<String>,
    /// Those whose labels match.
    #[serde(default)]
    pub label_selector: String,
}

/// An OpenID issuer.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthOidc {
    /// Its name and address; empty for none.
    pub issuer: String,
    /// For whom a bearer token has to be.
    pub audiences: Vec<String>,
    /// How a token may be signed.
    pub algorithms: Vec<String>,
    /// Whether a bearer token has to say from when it is valid.
    pub require_nbf: bool,
    /// How far the issuer's clock may be off.
    #[serde(rename = "clock_skew_seconds", with = "seconds")]
    pub clock_skew: Duration,
    /// Claim with a person's name.
    pub name_claim: String,
    /// Claim with their groups.
    pub groups_claim: String,
    /// What groups may do and see.
    pub grants: Vec<AuthGrant>,
    /// PEM file of authorities trusted for the issuer in place of the system's own; empty for those.
    pub ca_file: PathBuf,
    /// Our name at the issuer; empty: browsers cannot sign in.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Hidden,
    /// File of it.
    pub client_secret_file: PathBuf,
    /// What is asked for when a browser signs in.
    pub scopes: Vec<String>,
    /// Where browsers reach fleetbeat.
    pub public_url: String,
    /// What people call the issuer.
    pub login_name: String,
    /// How long a browser's session lasts.
    pub session_hours: u32,
}

impl AuthOidc {
    /// Is it on?
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// Can browsers sign in?
    pub fn is_login_on(&self) -> bool {
        self.is_on() && !self.client_id.is_empty()
    }
}

/// Tokens that the hub's Kubernetes knows.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthKubernetes {
    /// Whether they are accepted.
    pub enabled: bool,
    /// For whom they have to be.
    pub audience: String,
    /// Where rights come from.
    pub rights: RightsFrom,
    /// What groups may do and see.
    pub grants: Vec<AuthGrant>,
    /// What the hub is asked about.
    pub access_review: AuthAccessReview,
}

/// Where the rights of those come from whom the hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum RightsFrom {
    /// From grants in the settings.
    Grants,
    /// From the hub, which is asked (SubjectAccessReview).
    AccessReview,
}

impl TryFrom<String> for RightsFrom {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "grants" => Ok(Self::Grants),
            "access_review" => Ok(Self::AccessReview),
            _ => Err("must be `grants` or `access_review`".to_owned()),
        }
    }
}

impl From<RightsFrom> for String {
    fn from(value: RightsFrom) -> Self {
        match value {
            RightsFrom::Grants => "grants",
            RightsFrom::AccessReview => "access_review",
        }
        .to_owned()
    }
}

/// What the hub is asked about.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthAccessReview {
    /// Group of the resource.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// What viewers have to be allowed.
    pub viewer_verb: String,
    /// What operators have to be allowed as well.
    pub operator_verb: String,
    /// What administrators have to be allowed as well.
    pub admin_verb: String,
    /// Parts of the fleet that rules may name.
    pub parts: Vec<AuthPart>,
}

/// A part of the fleet that rules of the hub name.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthPart {
    /// The name that rules use (`resourceNames`).
    pub name: String,
    /// Which clusters it has.
    #[serde(default)]
    pub cluster_ids: Vec<String>,
    /// Or those whose labels match.
    #[serde(default)]
    pub label_selector: String,
}

/// A gateway in front.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthGateway {
    /// Names in client certificates that are gateways.
    pub client_names: Vec<String>,
    /// Whether whoever reaches the unix socket is one.
    pub unix_socket: bool,
    /// What groups may do.
    pub grants: Vec<AuthGrant>,
}

impl AuthGateway {
    /// Is it on?
    pub fn is_on(&self) -> bool {
        self.unix_socket || !self.client_names.is_empty()
    }
}
