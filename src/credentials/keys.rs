//! The keys that seal what is stored: where they come from, and sealing itself (AES-256-GCM, a random nonce each time).

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    hmac, rand,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::binding::{fingerprint, hex};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What a key for hashes is made for. Stored hashes depend on its bytes.
const HASHING: &[u8] = b"fleetbeat marks of credentials 1";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("{0} may be read by others; it must have mode 0600")]
    Open(PathBuf),
    /// It is no key.
    #[error("{0} must be 32 bytes in base64")]
    Malformed(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file, made at the first start: one key a line in base64, the first one seals, all of them open.
    File(PathBuf),
    /// Given by the settings: the key that seals, and the one before it during a rotation.
    Given {
        /// Seals and opens.
        current: SecretString,
        /// Only opens.
        previous: Option<SecretString>,
    },
}

/// One key.
#[derive(Clone)]
struct Key {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys: the first one seals, all of them open.
#[derive(Clone)]
pub struct Keyring(Vec<Key>);

/// What came out of sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) key_id: String,
    pub(super) nonce: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

impl KeySource {
    /// The keys. A file that is not there is made, with a new key, mode 0600.
    ///
    /// # Errors
    /// When it cannot be read or made, others may read it, or it holds something else.
    pub fn load(&self) -> Result<Keyring, KeyError> {
        match self {
            Self::Given { current, previous } => {
                let mut keys = vec![Key::parse(current.expose_secret(), "credentials.key")?];
                if let Some(previous) = previous {
                    keys.push(Key::parse(previous.expose_secret(), "credentials.previous_key")?);
                }
                Ok(Keyring(keys))
            }
            Self::File(path) => match fs::metadata(path) {
                Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => Err(KeyError::Open(path.clone())),
                Ok(_) => read(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let keyring = Keyring(vec![Key::generate()?]);
                    match write(path, &keyring, true) {
                        Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                            read(path)
                        }
                        done => done.map(|()| keyring),
                    }
                }
                Err(source) => Err(KeyError::File { path: path.clone(), source }),
            },
        }
    }

    /// Begins a rotation: a new key goes before those there are. With given keys the settings do that. A rotation that
    /// was begun and not ended is taken up again.
    ///
    /// # Errors
    /// As for [`KeySource::load`].
    pub fn begin_rotation(&self) -> Result<Keyring, KeyError> {
        let mut keyring = self.load()?;
        if let (Self::File(path), 1) = (self, keyring.0.len()) {
            keyring.0.insert(0, Key::generate()?);
            write(path, &keyring, false)?;
        }
        Ok(keyring)
    }

    /// Ends a rotation: only the first key stays.
    ///
    /// # Errors
    /// As for [`KeySource::load`].
    pub fn end_rotation(&self) -> Result<Keyring, KeyError> {
        let mut keyring = self.load()?;
        if let (Self::File(path), true) = (self, keyring.0.len() > 1) {
            keyring.0.truncate(1);
            write(path, &keyring, false)?;
        }
        Ok(keyring)
    }
}

fn read(path: &Path) -> Result<Keyring, KeyError> {
    let file = |source| KeyError::File { path: path.to_owned(), source };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(file)?);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<Key> =
        lines.map(|line| Key::parse(line, &path.display().to_string())).collect::<Result<_, KeyError>>()?;
    if keys.is_empty() { Err(KeyError::Malformed(path.display().to_string())) } else { Ok(Keyring(keys)) }
}

/// Writes a neighbour and moves it into place, so that no reader ever sees half a file.
fn write(path: &Path, keyring: &Keyring, new: bool) -> Result<(), KeyError> {
    let file = |source| KeyError::File { path: path.to_owned(), source };
    let mut text =
        Zeroizing::new(String::from("# Keys of fleetbeat's stored credentials. Whoever has them can open those.\n"));
    for key in &keyring.0 {
        text.push_str(&Zeroizing::new(BASE64_STANDARD.encode(*key.bytes)));
        text.push('\n');
    }
    let neighbour = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&neighbour);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&neighbour).map_err(file)?;
    let placed = out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).and_then(|()| {
        fs::set_permissions(&neighbour, Permissions::from_mode(0o600))?;
        if new { fs::hard_link(&neighbour, path) } else { fs::rename(&neighbour, path) }
    });
    let _ = fs::remove_file(&neighbour);
    placed.map_err(file)
}

impl Key {
    fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(&mut *bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self::of(bytes))
    }

    fn parse(text: &str, name: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(name.to_owned());
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(text.trim()).map_err(|_| malformed())?);
        let bytes: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| malformed())?;
        Ok(Self::of(Zeroizing::new(bytes)))
    }

    fn of(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let digits = Zeroizing::new(format!("fleetbeat key {}", *Zeroizing::new(hex(&*bytes))));
        Self { id: fingerprint(&digits)[..16].to_owned(), bytes }
    }
}

impl Keyring {
    /// Id of the key that seals.
    pub fn current_id(&self) -> &str {
        self.0.first().map_or("", |key| key.id.as_str())
    }

    /// Is a key before the current one still there?
    pub fn is_rotating(&self) -> bool {
        self.0.len() > 1
    }

    /// Seals `plain`; it opens only with the same `context`.
    pub(super) fn seal(&self, context: &str, mut plain: Zeroizing<Vec<u8>>) -> Option<Closed> {
        let key = self.0.first()?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*key.bytes).ok()?;
        let mut sealed = std::mem::take(&mut *plain);
        let nonce = cipher.seal_in_place_append_tag(Aad::from(context), &mut sealed).ok()?;
        Some(Closed { key_id: key.id.clone(), nonce: nonce.as_ref().to_vec(), sealed })
    }

    /// Opens what was sealed with the same `context`.
    pub(super) fn open(&self, context: &str, closed: &Closed) -> Option<Zeroizing<Vec<u8>>> {
        let key = self.0.iter().find(|key| key.id == closed.key_id)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*key.bytes).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(&closed.nonce).ok()?;
        let mut bytes = Zeroizing::new(closed.sealed.clone());
        let length = cipher.open_in_place(nonce, Aad::from(context), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// Keys for hashes of credentials, one made from each key; the first is that of the key that seals.
    pub(super) fn hash_keys(&self) -> Vec<hmac::Key> {
        let from = |key: &Key| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key.bytes), HASHING);
        self.0.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, from(key).as_ref())).collect()
    }

    /// Does it have the key of this id?
    pub(super) fn knows(&self, key_id: &str) -> bool {
        self.0.iter().any(|key| key.id == key_id)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(b"secret".to_vec())
    }

    #[test]
    fn the_key_file_is_made_once_and_only_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let source = KeySource::File(directory.path().join("credentials.key"));
        let first = source.load().unwrap();
        let mode = fs::metadata(directory.path().join("credentials.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(source.load().unwrap().current_id(), first.current_id());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k");
        let source = KeySource::File(path.clone());
        source.load().unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(source.load(), Err(KeyError::Open(_))));
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_context_only() {
        let directory = tempfile::tempdir().unwrap();
        let load = |name: &str| KeySource::File(directory.path().join(name)).load().unwrap();
        let (mine, strange) = (load("a"), load("b"));
        let closed = mine.seal("one", plain()).unwrap();
        assert_eq!(*mine.open("one", &closed).unwrap(), *plain());
        assert!(mine.open("two", &closed).is_none() && strange.open("one", &closed).is_none());
        let forged = Closed { key_id: strange.current_id().to_owned(), ..closed.clone() };
        assert!(strange.open("one", &forged).is_none());
        assert_ne!(mine.seal("one", plain()).unwrap().nonce, closed.nonce);
        for bit in 0..closed.sealed.len() {
            let mut changed = closed.clone();
            changed.sealed[bit] ^= 1;
            assert!(mine.open("one", &changed).is_none());
        }
    }

    #[test]
    fn during_a_rotation_both_keys_open_and_a_broken_one_is_taken_up_again() {
        let directory = tempfile::tempdir().unwrap();
        let source = KeySource::File(directory.path().join("k"));
        let before = source.load().unwrap();
        let closed = before.seal("x", plain()).unwrap();
        let during = source.begin_rotation().unwrap();
        assert!(during.is_rotating() && during.current_id() != before.current_id());
        assert!(during.open("x", &closed).is_some());
        assert_eq!(source.begin_rotation().unwrap().current_id(), during.current_id());
        let after = source.end_rotation().unwrap();
        assert!(!after.is_rotating() && after.current_id() == during.current_id());
        assert!(after.open("x", &closed).is_none());
    }
}
