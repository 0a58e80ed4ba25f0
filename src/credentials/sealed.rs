//! Credentials sealed in the database, with the cluster, the kind and the place they are bound to as associated data: a row
//! moved or changed by hand does not open.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use fleetbeat_actors::{
    event::Event,
    health::Endpoint,
    ports::{Clock, StoreError},
    roll::ClusterId,
};
use parking_lot::RwLock;
use secrecy::{
    ExposeSecret, SecretString,
    zeroize::{Zeroize, Zeroizing},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    AuthType, Binding, Change, ClientCertificate, Credential, CredentialStore, Found, KeyError, KeySource, Keyring,
    Part, keys, sealer,
};
use crate::{
    audit::{Action, Origin},
    store::{AuditEntry, SealedRow, Store},
};

/// Rows read or re-sealed at once.
const BATCH: u32 = 500;
/// Room for the largest credential, bytes.
const ROOM: usize = 256 * 1024;

/// Credentials sealed in the database.
pub struct SealedStore {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    source: KeySource,
    keyring: RwLock<Keyring>,
}

impl SealedStore {
    /// Over a store, with the keys of a source.
    ///
    /// # Errors
    /// When there is no key.
    pub fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>, source: KeySource) -> Result<Self, KeyError> {
        let keyring = RwLock::new(source.load()?);
        Ok(Self { store, clock, source, keyring })
    }

    /// Rotates the key: begins with a new one where none is waiting, re-seals every row under it, and forgets the old one.
    /// Broken off, it goes on where it was when it is called again. Returns how many rows were re-sealed.
    ///
    /// # Errors
    /// [`RotationError::Unopened`] names a cluster whose row does not open; the old key stays then.
    pub async fn rotate_keys(&self, by: &Origin) -> Result<u64, RotationError> {
        *self.keyring.write() = self.source.begin_rotation()?;
        let mut moved = 0;
        // Until nothing is left: a writer that did not see the new key may still have used the old one.
        loop {
            let pass = self.reseal_all(by).await? + self.reseal_webhooks(by).await?;
            moved += pass;
            if pass == 0 {
                break;
            }
        }
        *self.keyring.write() = self.source.end_rotation()?;
        self.store.append_audit(&[self.rotated(by, moved, true)]).await?;
        Ok(moved)
    }

    /// What the audit log tells of a key's rotation, or of a part of it.
    fn rotated(&self, by: &Origin, rows: u64, complete: bool) -> AuditEntry {
        let entry = by.did(Action::KeysRotate, self.clock.wall()).of_object(self.keys().current_id());
        entry.with("rows", json!(rows)).with("complete", json!(complete))
    }

    async fn reseal_all(&self, by: &Origin) -> Result<u64, RotationError> {
        let (mut moved, mut after) = (0, None);
        loop {
            let rows = self.store.sealed_credentials(after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(moved) };
            after = Some((last.cluster_id, last.kind));
            let keyring = self.keys();
            let old = rows.iter().filter(|row| row.key_id != keyring.current_id());
            let again = old.map(|row| reseal(&keyring, row).ok_or(RotationError::Unopened(row.cluster_id)));
            let again = again.collect::<Result<Vec<_>, _>>()?;
            let told = self.rotated(by, again.len() as u64, false);
            moved += self.store.reseal_credentials(&again, &[told]).await?;
        }
    }

    async fn reseal_webhooks(&self, by: &Origin) -> Result<u64, RotationError> {
        let (rows, keyring) = (self.store.webhooks().await?, self.keys());
        let old = rows.iter().map(|(row, _)| row).filter(|row| row.seal.key_id != keyring.current_id());
        let again = old.map(|row| sealer::reseal(&keyring, row).ok_or(RotationError::Webhook(row.name.clone())));
        let again = again.collect::<Result<Vec<_>, _>>()?;
        if again.is_empty() {
            return Ok(0);
        }
        let told = self.rotated(by, again.len() as u64, false);
        Ok(self.store.reseal_webhooks(&again, &[told]).await?)
    }

    fn keys(&self) -> Keyring {
        self.keyring.read().clone()
    }

    /// The keys as they are now: another process may have begun or ended a rotation.
    fn fresh_keys(&self) -> Keyring {
        if let Ok(keyring) = self.source.load() {
            *self.keyring.write() = keyring;
        }
        self.keys()
    }

    fn seal(&self, keyring: &Keyring, id: ClusterId, kind: Endpoint, part: &Part) -> Result<SealedRow, StoreError> {
        let broken = |why: &str| StoreError::Broken(format!("a credential cannot be sealed: {why}"));
        let bound_to = part.bound_to.as_ref().ok_or_else(|| broken("it is bound to no place"))?;
        let row = SealedRow {
            cluster_id: id,
            kind,
            auth_type: part.auth_type.as_str().to_owned(),
            bound_to: bound_to.as_str().to_owned(),
            key_id: String::new(),
            nonce: Vec::new(),
            sealed: Vec::new(),
            expires_at: part.expiries().identity(),
            updated_at: self.clock.wall(),
        };
        let plain = Plain::of(part).to_bytes().ok_or_else(|| broken("it has no text"))?;
        let closed = keyring.seal(&context(&row), plain).ok_or_else(|| broken("the key failed"))?;
        Ok(SealedRow { key_id: closed.key_id, nonce: closed.nonce, sealed: closed.sealed, ..row })
    }
}

/// Why a rotation did not end.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A credential that does not open with any key there is.
    #[error("the credentials of cluster {0} do not open with any known key; upload them again or delete them")]
    Unopened(ClusterId),
    /// A webhook whose address does not open with any key there is.
    #[error("the address of webhook {0} does not open with any known key; set it again or delete the webhook")]
    Webhook(String),
}

#[async_trait]
impl CredentialStore for SealedStore {
    async fn load(&self) -> Result<Vec<Found>, StoreError> {
        let mut found: BTreeMap<ClusterId, Option<Credential>> = BTreeMap::new();
        let mut after = None;
        let mut keyring = self.fresh_keys();
        loop {
            let rows = self.store.sealed_credentials(after, BATCH).await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.cluster_id, last.kind));
            if rows.iter().any(|row| !keyring.knows(&row.key_id)) {
                keyring = self.fresh_keys();
            }
            for row in &rows {
                let kept = found.entry(row.cluster_id).or_insert_with(|| Some(Credential::default()));
                let part = open(&keyring, row);
                if part.is_none() {
                    tracing::error!(id = %row.cluster_id, kind = row.kind.as_str(), "a stored credential does not open");
                }
                *kept = kept.take().zip(part).map(|(credential, part)| credential.with(row.kind, part));
            }
        }
        Ok(found.into_iter().collect())
    }

    async fn write(
        &self,
        id: ClusterId,
        change: &Change,
        events: &[Arc<Event>],
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        let keyring = self.fresh_keys();
        let rows = change.put.iter().map(|(kind, part)| self.seal(&keyring, id, *kind, part));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        self.store.write_credentials(id, &rows, &change.gone, events, audit).await
    }
}

/// What a row is sealed for.
fn context(row: &SealedRow) -> String {
    format!("fleetbeat credential 1\n{}\n{}\n{}\n{}", row.cluster_id, row.kind.as_str(), row.auth_type, row.bound_to)
}

fn closed(row: &SealedRow) -> keys::Closed {
    keys::Closed { key_id: row.key_id.clone(), nonce: row.nonce.clone(), sealed: row.sealed.clone() }
}

fn open(keyring: &Keyring, row: &SealedRow) -> Option<Part> {
    let bytes = keyring.open(&context(row), &closed(row))?;
    let plain: Plain = serde_json::from_slice(&bytes).ok()?;
    plain.into_part(AuthType::of_word(&row.auth_type)?, Binding::stored(row.bound_to.clone()))
}

/// The row under the current key, with the nonce it had before.
fn reseal(keyring: &Keyring, row: &SealedRow) -> Option<(Vec<u8>, SealedRow)> {
    let closed = keyring.seal(&context(row), keyring.open(&context(row), &closed(row))?)?;
    let again = SealedRow { key_id: closed.key_id, nonce: closed.nonce, sealed: closed.sealed, ..row.clone() };
    Some((row.nonce.clone(), again))
}

/// What stands inside the seal. Wiped when dropped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain_pem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_pem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<String>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.token.zeroize();
        self.key_pem.zeroize();
    }
}

impl Plain {
    fn of(part: &Part) -> Self {
        let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
        Self {
            token: part.token.as_ref().map(exposed),
            chain_pem: part.certificate.as_ref().map(|certificate| certificate.chain_pem.clone()),
            key_pem: part.certificate.as_ref().map(|certificate| exposed(&certificate.key_pem)),
            ca_pem: part.ca_pem.clone(),
            tls_server_name: part.tls_server_name.clone(),
        }
    }

    /// As bytes with room for the tag, so that sealing leaves no copy behind.
    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *bytes, self).ok()?;
        Some(bytes)
    }

    fn into_part(mut self, auth_type: AuthType, bound_to: Binding) -> Option<Part> {
        let certificate = match (self.chain_pem.take(), self.key_pem.take()) {
            (None, None) => None,
            (Some(chain_pem), Some(key)) => Some(ClientCertificate { chain_pem, key_pem: key.into() }),
            _ => return None,
        };
        Some(Part {
            auth_type,
            token: self.token.take().map(SecretString::from),
            certificate,
            ca_pem: self.ca_pem.take(),
            tls_server_name: self.tls_server_name.take(),
            bound_to: Some(bound_to),
        })
    }
}
