//! What a spoke serves: its API server and its optional endpoints, and how a change names them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One server of a spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The Kubernetes API server; every spoke has one.
    Api,
    /// Prometheus, optional.
    Prometheus,
    /// Tempo, optional.
    Tempo,
    /// Loki, optional.
    Loki,
}

impl Role {
    /// Every role, the API server first.
    pub const ALL: [Role; 4] = [Role::Api, Role::Prometheus, Role::Tempo, Role::Loki];
    /// The roles a spoke may lack.
    pub const OPTIONAL: [Role; 3] = [Role::Prometheus, Role::Tempo, Role::Loki];

    /// The word used in scripts, flags and the control API.
    pub fn word(self) -> &'static str {
        match self {
            Role::Api => "api",
            Role::Prometheus => "prometheus",
            Role::Tempo => "tempo",
            Role::Loki => "loki",
        }
    }

    /// What a monitor takes off the health score (100) while this role is down.
    pub fn penalty(self) -> u8 {
        match self {
            Role::Api => 50,
            Role::Prometheus => 20,
            Role::Tempo | Role::Loki => 15,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A role was named that no spoke can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no role: use api, prometheus, tempo or loki")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// What a change is about: one role of a spoke, or all that it has (the whole cluster).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every role the spoke has.
    #[default]
    All,
    /// That role alone.
    One(Role),
}

impl Scope {
    /// Whether `role` is meant.
    pub fn covers(self, role: Role) -> bool {
        match self {
            Scope::All => true,
            Scope::One(one) => one == role,
        }
    }
}

impl From<Role> for Scope {
    fn from(role: Role) -> Self {
        Scope::One(role)
    }
}

impl FromStr for Scope {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        if text == "all" { Ok(Scope::All) } else { text.parse().map(Scope::One) }
    }
}

impl TryFrom<String> for Scope {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, UnknownRole> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("all"),
            Scope::One(role) => role.fmt(f),
        }
    }
}
