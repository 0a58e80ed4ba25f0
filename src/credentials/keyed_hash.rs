//! Keyed hashes of credentials: tell whether they are still the same, to whoever has the key they are made under, and nothing else.
//! So they may be remembered where credentials may not be.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::hmac::{self, Context};
use fleetbeat_actors::{health::Endpoint, roll::ClusterId};
use secrecy::ExposeSecret;

use super::{Credential, KeySource, Keyring, Part, binding::hex};

/// Makes keyed hashes (HMAC-SHA-256) under the key of stored credentials as it is then: another process may have begun or ended a rotation.
pub struct KeyedHasher {
    source: KeySource,
    has_warned: AtomicBool,
}

impl KeyedHasher {
    /// With the keys of a source.
    pub fn new(source: KeySource) -> Self {
        Self { source, has_warned: AtomicBool::new(false) }
    }

    /// The hash of what is kept for a cluster; `None` is what cannot be used. No hash without a key.
    pub fn hash(&self, id: ClusterId, kept: Option<&Credential>) -> Option<String> {
        let keys = self.keyring()?.hash_keys();
        keys.first().map(|key| hex(made(key, id, kept).as_ref()))
    }

    /// Is this the hash of what is kept now, under any of the keys?
    pub fn is_hash_of(&self, hash: &str, id: ClusterId, kept: Option<&Credential>) -> bool {
        let keys = self.keyring().map(|keyring| keyring.hash_keys()).unwrap_or_default();
        keys.iter().any(|key| hex(made(key, id, kept).as_ref()) == hash)
    }

    fn keyring(&self) -> Option<Keyring> {
        match self.source.load() {
            Ok(keyring) => Some(keyring),
            Err(error) => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "no key to hash credentials with; their Secrets' versions must do");
                }
                None
            }
        }
    }
}

fn made(key: &hmac::Key, id: ClusterId, kept: Option<&Credential>) -> hmac::Tag {
    let mut context = Context::with_key(key);
    add(&mut context, Some(id.to_string().as_bytes()));
    match kept {
        None => add(&mut context, None),
        Some(credential) => {
            for kind in Endpoint::ALL {
                add_part(&mut context, kind, credential.part(kind).map(|part| &**part));
            }
        }
    }
    context.sign()
}

fn add_part(context: &mut Context, kind: Endpoint, part: Option<&Part>) {
    let Some(part) = part else { return };
    let certificate = part.certificate.as_ref();
    let texts = [
        Some(kind.as_str()),
        Some(part.auth_type.as_str()),
        part.token.as_ref().map(ExposeSecret::expose_secret),
        certificate.map(|own| own.chain_pem.as_str()),
        certificate.map(|own| own.key_pem.expose_secret()),
        part.ca_pem.as_deref(),
        part.tls_server_name.as_deref(),
        part.bound_to.as_ref().map(|place| place.as_str()),
    ];
    for text in texts {
        add(context, text.map(str::as_bytes));
    }
}

/// Adds one value with its length, so that no two rows of values are the same bytes.
fn add(context: &mut Context, value: Option<&[u8]>) {
    let length = value.map_or(u64::MAX, |value| value.len() as u64);
    context.update(&length.to_be_bytes());
    context.update(value.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Binding;

    fn hasher(directory: &tempfile::TempDir, name: &str) -> KeyedHasher {
        KeyedHasher::new(KeySource::File(directory.path().join(name)))
    }

    fn one(token: &str) -> Credential {
        Credential::default().with(Endpoint::ApiServer, Part::of_token(token))
    }

    #[test]
    fn a_hash_is_of_what_opens_something_whatever_its_version() {
        let directory = tempfile::tempdir().unwrap();
        let (hasher, id) = (hasher(&directory, "k"), ClusterId::generate());
        let hash = hasher.hash(id, Some(&one("a"))).unwrap();
        assert!(hasher.is_hash_of(&hash, id, Some(&Credential { version: 7, ..one("a") })));
        let bound = Part { bound_to: Some(Binding::stored("https://a:1 -".to_owned())), ..Part::of_token("a") };
        let others = [
            one("b"),
            one("a").with(Endpoint::Loki, Part::of_token("a")),
            Credential::default(),
            Credential::default().with(Endpoint::Loki, Part::of_token("a")),
            Credential::default().with(Endpoint::ApiServer, bound),
        ];
        for other in &others {
            assert!(!hasher.is_hash_of(&hash, id, Some(other)), "{other:?}");
        }
        assert!(!hasher.is_hash_of(&hash, id, None) && !hasher.is_hash_of("", id, Some(&one("a"))));
        assert!(!hasher.is_hash_of(&hash, ClusterId::generate(), Some(&one("a"))));
    }

    #[test]
    fn a_hash_tells_nothing_without_the_key_and_lives_as_long_as_it() {
        let directory = tempfile::tempdir().unwrap();
        let (mine, strange, id) = (hasher(&directory, "a"), hasher(&directory, "b"), ClusterId::generate());
        let hash = mine.hash(id, Some(&one("a"))).unwrap();
        assert!(!strange.is_hash_of(&hash, id, Some(&one("a"))));
        let source = KeySource::File(directory.path().join("a"));
        source.begin_rotation().unwrap();
        assert!(hasher(&directory, "a").is_hash_of(&hash, id, Some(&one("a"))));
        assert_ne!(hasher(&directory, "a").hash(id, Some(&one("a"))), Some(hash.clone()));
        source.end_rotation().unwrap();
        assert!(!hasher(&directory, "a").is_hash_of(&hash, id, Some(&one("a"))));
    }

    #[test]
    fn there_is_no_hash_without_a_key() {
        let hasher = KeyedHasher::new(KeySource::File("/nowhere/at/all".into()));
        assert_eq!(hasher.hash(ClusterId::generate(), None), None);
        assert!(!hasher.is_hash_of("", ClusterId::generate(), None));
    }
}
