//! Credentials of watched clusters: what they are, how they are read from what people upload, how they are sealed, and the
//! port through which the probes read them. Nothing here opens a connection to a cluster.

mod account;
mod binding;
mod cache;
mod expiry;
mod foresight;
mod keyed_hash;
mod keys;
pub mod kubeconfig;
pub mod material;
mod part;
mod sealed;
mod sealer;
mod store;
mod vault;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    health::{CheckReport, Endpoint},
    roll::ClusterId,
    target::Target,
};
use futures_util::{FutureExt, future::BoxFuture};

pub use account::Account;
pub use binding::Binding;
pub(crate) use binding::url_of;
pub use cache::{InMemoryCredentials, Keeper};
pub use expiry::{Expiries, Expiry, ExpiryKind};
pub use foresight::{End, Foresight, Stage};
pub use keyed_hash::KeyedHasher;
pub use keys::{KeyError, KeySource, Keyring};
pub use part::{AuthType, ClientCertificate, Credential, Part};
pub use sealed::{RotationError, SealedStore};
pub use sealer::Sealer;
pub use store::{Change, CredentialStore, Found};
pub use vault::Vault;

/// Reads the credentials of a cluster. Called before every check: answers from memory, at once.
pub trait Credentials: Send + Sync + 'static {
    /// What is known for `id` now.
    fn get(&self, id: ClusterId) -> Lookup;

    /// What is kept for `id`, because its cluster refused what is known: asked where it is kept, if others may change it there.
    fn ask_again(&self, id: ClusterId) -> BoxFuture<'_, Lookup> {
        std::future::ready(self.get(id)).boxed()
    }
}

/// The answer of a credential store.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The cluster has no credentials.
    None,
    /// These.
    Some(Arc<Credential>),
    /// The store did not answer, so nobody knows; the check must not run as if there were none.
    Unavailable,
}

/// Tries credentials on the live cluster, the way a check would use them.
pub trait Prover: Send + Sync + 'static {
    /// One check of `target` over fresh connections with `credential` in place of what is stored.
    fn prove(&self, target: Arc<Target>, credential: Arc<Credential>) -> BoxFuture<'static, CheckReport>;

    /// When the certificates end that a cluster's servers showed, as far as known.
    fn serving_ends(&self, _id: ClusterId) -> Vec<(Endpoint, DateTime<Utc>)> {
        Vec::new()
    }

    /// A number that grows whenever servers show something else than before.
    fn serving_changes(&self) -> u64 {
        0
    }

    /// Forgets a cluster that is gone.
    fn forget(&self, _id: ClusterId) {}
}
