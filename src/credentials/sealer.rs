//! Sealing of what belongs to no cluster: addresses and secrets of webhooks, under the same keys as credentials.

use parking_lot::RwLock;
use secrecy::zeroize::Zeroizing;
use uuid::Uuid;

use super::{KeyError, KeySource, Keyring, keys::Closed};
use crate::store::{StoredWebhook, WebhookSeal};

/// Seals and opens. The key is read, or made, when it is needed first.
pub struct Sealer {
    source: KeySource,
    keyring: RwLock<Option<Keyring>>,
}

impl Sealer {
    /// With the keys of a source.
    pub fn new(source: KeySource) -> Self {
        Self { source, keyring: RwLock::new(None) }
    }

    /// Seals `plain` for the webhook of this id. Leaves no copy behind where `plain` has room for 16 bytes more.
    ///
    /// # Errors
    /// When there is no key.
    pub fn seal(&self, id: Uuid, plain: Zeroizing<Vec<u8>>) -> Result<WebhookSeal, KeyError> {
        let closed = self.fresh()?.seal(&context(id), plain).ok_or(KeyError::NoRandomness)?;
        Ok(WebhookSeal { key_id: closed.key_id, nonce: closed.nonce, sealed: closed.sealed })
    }

    /// What was sealed for the webhook of this id, if there is a key that opens it.
    pub fn open(&self, id: Uuid, seal: &WebhookSeal) -> Option<Zeroizing<Vec<u8>>> {
        let known = self.keyring.read().clone().filter(|keyring| keyring.knows(&seal.key_id));
        known.or_else(|| self.fresh().ok())?.open(&context(id), &closed(seal))
    }

    /// The keys as they are now: another process may have begun or ended a rotation.
    fn fresh(&self) -> Result<Keyring, KeyError> {
        let keyring = self.source.load()?;
        *self.keyring.write() = Some(keyring.clone());
        Ok(keyring)
    }
}

/// The seal of a webhook under the current key, with its id and the nonce that it had before.
pub(super) fn reseal(keyring: &Keyring, row: &StoredWebhook) -> Option<(Uuid, Vec<u8>, WebhookSeal)> {
    let again = keyring.seal(&context(row.id), keyring.open(&context(row.id), &closed(&row.seal))?)?;
    let seal = WebhookSeal { key_id: again.key_id, nonce: again.nonce, sealed: again.sealed };
    Some((row.id, row.seal.nonce.clone(), seal))
}

fn context(id: Uuid) -> String {
    format!("fleetbeat webhook 1\n{}", id.hyphenated())
}

fn closed(seal: &WebhookSeal) -> Closed {
    Closed { key_id: seal.key_id.clone(), nonce: seal.nonce.clone(), sealed: seal.sealed.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_for_its_own_webhook_only() {
        let directory = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(KeySource::File(directory.path().join("k")));
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        let seal = sealer.seal(mine, Zeroizing::new(b"secret".to_vec())).unwrap();
        assert_eq!(sealer.open(mine, &seal).as_deref().map(Vec::as_slice), Some(&b"secret"[..]));
        assert!(sealer.open(other, &seal).is_none());
    }
}
