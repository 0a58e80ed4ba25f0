//! Who is calling, and what they may do and see. Decides; knows nothing of HTTP routes.

mod author;
mod bootstrap;
mod caller;
mod doors;
mod gateway;
mod grants;
mod keyring;
mod knock;
mod kubernetes;
pub mod oidc;
mod rights;
mod role;
mod scope;
mod sessions;
mod token;

pub use crate::listener::Peer;
pub use author::Author;
pub use bootstrap::{FIRST_TOKEN_FILE, first_token};
pub use caller::{Caller, Method, Unknown};
pub use doors::Identity;
pub use gateway::Gateway;
pub use grants::{Grant, Grants};
pub use keyring::{KeyError, Keyring, MAX_TOKENS, TokenDraft};
pub use knock::Knock;
pub use kubernetes::Kubernetes;
pub use rights::{Part, Rights, Rules};
pub use role::{Role, UnknownRole};
pub use scope::Scope;
pub use sessions::{Person, Sessions, public_id};
pub use token::{ApiToken, Presented};
