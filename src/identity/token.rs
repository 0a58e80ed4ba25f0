//! API tokens: how they look, and how one is told from a forgery. Only the hash of a token's secret part is ever kept.

use aws_lc_rs::{constant_time, digest, rand};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{Role, Scope};
use crate::store::StoredToken;

/// Every token begins with this: a scanner of leaked secrets finds it.
const PREFIX: &str = "fbt_";
/// Bytes of the secret part: 256 bits.
const SECRET: usize = 32;

/// A token as the registry knows it.
#[derive(Clone, Debug)]
pub struct ApiToken {
    /// Its public id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// Which clusters its bearer may see.
    pub scope: Scope,
    /// Who made it.
    pub created_by: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it stops being valid.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    hash: [u8; 32],
}

/// A token as its bearer presents it: `fbt_<id>_<secret>`, both in hex.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The public id.
    pub id: Uuid,
    secret: SecretString,
}

impl Presented {
    /// Takes a bearer's text apart. `None` when it is no token of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex(id, 32) || !hex(secret, SECRET * 2) {
            return None;
        }
        Some(Self { id: Uuid::try_parse(id).ok()?, secret: secret.into() })
    }

    /// A new one, at random. `None` when the system has no random numbers.
    pub fn generate() -> Option<Self> {
        let mut secret = [0; SECRET];
        rand::fill(&mut secret).ok()?;
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { id: Uuid::now_v7(), secret: hex.into() })
    }

    /// The text that its bearer keeps.
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}_{}", self.id.simple(), self.secret.expose_secret()).into()
    }

    /// What the registry keeps of it.
    pub fn hash(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, self.secret.expose_secret().as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        hash
    }
}

impl ApiToken {
    /// A token as the store keeps it; `None` when this binary does not understand it.
    pub fn of_store(stored: StoredToken) -> Option<Self> {
        Some(Self {
            id: stored.id,
            name: stored.name,
            role: stored.role.parse().ok()?,
            scope: Scope::read(&serde_json::from_str(&stored.scope).ok()?).ok()?,
            created_by: stored.created_by,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            revoked_at: stored.revoked_at,
            hash: stored.hash,
        })
    }

    /// Does this prove to be the bearer? Takes the same time whatever differs.
    pub fn is_proved_by(&self, presented: &Presented) -> bool {
        constant_time::verify_slices_are_equal(&self.hash, &presented.hash()).is_ok()
    }

    /// The same, revoked.
    #[must_use]
    pub fn revoked(&self, at: DateTime<Utc>) -> Self {
        Self { revoked_at: Some(at), ..self.clone() }
    }

    /// Is it valid at this time?
    pub fn is_valid_at(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_differs_from_every_other() {
        let (one, other) = (Presented::generate().expect("random"), Presented::generate().expect("random"));
        let read = Presented::parse(one.reveal().expose_secret()).expect("ours");
        assert_eq!((read.id, read.hash()), (one.id, one.hash()));
        assert_ne!(one.hash(), other.hash());
    }

    #[test]
    fn what_is_not_shaped_like_a_token_is_none() {
        let good = Presented::generate().expect("random").reveal();
        let good = good.expose_secret();
        for bad in ["", "fbt_", &good[1..], &good[..good.len() - 1], &format!("{good}0"), &good.replace("fbt_", "FBT_")]
        {
            assert!(Presented::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_not_displayed() {
        let token = Presented::generate().expect("random");
        assert!(!format!("{token:?}").contains(token.secret.expose_secret()));
    }
}
