//! Rows of the audit log and how they are chained: each holds the hash of the one before it, and positions have no gaps.

use std::{borrow::Cow, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, SubsecRound, Utc};
use fleetbeat_actors::roll::ClusterId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What every hash begins with: another form of row would get another number.
const FORM: &[u8] = b"fleetbeat audit 1\0";
/// Longest text of a field, characters.
const MAX_TEXT: usize = 256;
/// Longest details, bytes of JSON.
const MAX_DETAILS: usize = 4_096;

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Succeeded,
    /// Whoever asked may not have it, or asked wrongly.
    Refused,
    /// It could not be done.
    Failed,
}

impl AuditOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Refused, Self::Failed];

    /// The word in the log and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A word that is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of succeeded, refused, failed")]
pub struct UnknownOutcome;

impl FromStr for AuditOutcome {
    type Err = UnknownOutcome;
    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or(UnknownOutcome)
    }
}

/// What the audit log tells of one deed. Never holds a secret: fields are ids, names and words of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in whole microseconds.
    pub at: DateTime<Utc>,
    /// Who: a stable name.
    pub actor: String,
    /// What people call them.
    pub actor_name: Option<String>,
    /// How they proved to be themselves.
    pub method: Cow<'static, str>,
    /// What was done or asked for.
    pub action: Cow<'static, str>,
    /// How it ended.
    pub outcome: Cow<'static, str>,
    /// Why it was refused or failed: the code of the error.
    pub cause: Option<String>,
    /// The cluster it concerns.
    pub cluster_id: Option<String>,
    /// What else it concerns: a cluster's name, a token's id.
    pub object: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// The request's `X-Request-ID`.
    pub request_id: Option<String>,
    /// A JSON object.
    pub details: String,
}

impl AuditEntry {
    /// Something done well, by somebody whose origin is still to be told.
    pub fn new(at: DateTime<Utc>, action: &'static str) -> Self {
        Self {
            at: at.trunc_subsecs(6),
            actor: "system".to_owned(),
            actor_name: None,
            method: "none".into(),
            action: action.into(),
            outcome: AuditOutcome::Succeeded.as_str().into(),
            cause: None,
            cluster_id: None,
            object: None,
            address: None,
            request_id: None,
            details: "{}".to_owned(),
        }
    }

    /// About this cluster.
    #[must_use]
    pub fn of_cluster(self, id: ClusterId) -> Self {
        Self { cluster_id: Some(id.to_string()), ..self }
    }

    /// About this thing.
    #[must_use]
    pub fn of_object(self, object: &str) -> Self {
        Self { object: Some(plain(object)), ..self }
    }

    /// It ended otherwise, for this reason.
    #[must_use]
    pub fn ended(self, outcome: AuditOutcome, cause: &str) -> Self {
        Self { outcome: outcome.as_str().into(), cause: Some(plain(cause)), ..self }
    }

    /// With one more detail. Texts are cut; what does not fit any more is left out.
    #[must_use]
    pub fn with(self, key: &str, value: Value) -> Self {
        let mut details: Map<String, Value> = serde_json::from_str(&self.details).unwrap_or_default();
        details.insert(key.to_owned(), cut(value));
        let text = Value::Object(details).to_string();
        if text.len() > MAX_DETAILS { self } else { Self { details: text, ..self } }
    }

    /// The janitor removed `rows` rows, the last of which was this one.
    pub fn pruned(at: DateTime<Utc>, last: &AuditLink, rows: u64) -> Self {
        let entry = Self::new(at, AUDIT_PRUNED).with("up_to", json!(last.position));
        entry.with("hash", json!(hex(&last.hash))).with("rows", json!(rows))
    }

    /// Does this tell that everything up to `anchor` was removed?
    pub fn tells_of_pruning(&self, anchor: &AuditLink) -> bool {
        let details: Value = serde_json::from_str(&self.details).unwrap_or_default();
        self.action == AUDIT_PRUNED
            && details["up_to"] == json!(anchor.position)
            && details["hash"] == json!(hex(&anchor.hash))
    }
}

/// The action of [`AuditEntry::pruned`].
pub const AUDIT_PRUNED: &str = "audit.prune";

/// A text that fits a field: no control characters, not too long.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

fn cut(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(&text)),
        Value::Array(items) => Value::Array(items.into_iter().take(64).map(cut).collect()),
        other => other,
    }
}

/// A place in the chain: the position of a row and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditLink {
    /// Position; 0 before the first row.
    pub position: i64,
    /// Hash; zeros before the first row.
    pub hash: [u8; 32],
}

impl AuditLink {
    /// Where every chain begins.
    pub const START: Self = Self { position: 0, hash: [0; 32] };

    /// A stored link. A hash of the wrong length, which somebody else wrote, becomes one that fits nothing.
    pub(super) fn stored(position: i64, hash: &[u8]) -> Self {
        Self { position, hash: stored_hash(hash) }
    }

    /// The row that tells of `entry` after this place.
    pub fn next(&self, entry: AuditEntry) -> AuditRow {
        let position = self.position.saturating_add(1);
        let hash = digest(position, &self.hash, &entry);
        AuditRow { position, entry, previous: self.hash, hash }
    }
}

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// 1, 2, 3, …
    pub position: i64,
    /// What it tells.
    pub entry: AuditEntry,
    /// Hash of the row before it.
    pub previous: [u8; 32],
    /// Its own.
    pub hash: [u8; 32],
}

impl AuditRow {
    /// Its place.
    pub fn link(&self) -> AuditLink {
        AuditLink { position: self.position, hash: self.hash }
    }

    /// Is its hash that of what it tells?
    pub fn is_whole(&self) -> bool {
        self.hash == digest(self.position, &self.previous, &self.entry)
    }
}

/// A stored hash; zeros for what is none, which then fits no row.
pub(super) fn stored_hash(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or([0; 32])
}

/// A hash as people read it.
pub fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 over position, previous hash and every field; texts with their lengths, so that no two rows read alike.
fn digest(position: i64, previous: &[u8; 32], entry: &AuditEntry) -> [u8; 32] {
    let mut sha = Context::new(&SHA256);
    sha.update(FORM);
    sha.update(&position.to_be_bytes());
    sha.update(previous);
    sha.update(&entry.at.timestamp_micros().to_be_bytes());
    let fields = [
        Some(entry.actor.as_str()),
        entry.actor_name.as_deref(),
        Some(&*entry.method),
        Some(&*entry.action),
        Some(&*entry.outcome),
        entry.cause.as_deref(),
        entry.cluster_id.as_deref(),
        entry.object.as_deref(),
        entry.address.as_deref(),
        entry.request_id.as_deref(),
        Some(entry.details.as_str()),
    ];
    for field in fields {
        sha.update(&[u8::from(field.is_some())]);
        let text = field.unwrap_or_default().as_bytes();
        sha.update(&(text.len() as u64).to_be_bytes());
        sha.update(text);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(sha.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry::new(DateTime::UNIX_EPOCH, "cluster.create").of_object("spoke").with("generation", json!(1))
    }

    #[test]
    fn every_field_is_in_the_hash() {
        let row = AuditLink::START.next(entry());
        assert!(row.is_whole());
        let text = || "x".to_owned();
        let changed = [
            AuditEntry { at: DateTime::from_timestamp_micros(1).expect("a time"), ..entry() },
            AuditEntry { actor: text(), ..entry() },
            AuditEntry { actor_name: Some(text()), ..entry() },
            AuditEntry { method: "token".into(), ..entry() },
            AuditEntry { action: "cluster.delete".into(), ..entry() },
            AuditEntry { outcome: "refused".into(), ..entry() },
            AuditEntry { cause: Some(text()), ..entry() },
            AuditEntry { cluster_id: Some(text()), ..entry() },
            AuditEntry { object: None, ..entry() },
            AuditEntry { address: Some(text()), ..entry() },
            AuditEntry { request_id: Some(String::new()), ..entry() },
            AuditEntry { details: "{}".to_owned(), ..entry() },
        ];
        for other in changed {
            assert!(!AuditRow { entry: other.clone(), ..row.clone() }.is_whole(), "{other:?}");
        }
        assert!(!AuditRow { position: 2, ..row.clone() }.is_whole());
        assert!(!AuditRow { previous: [1; 32], ..row }.is_whole());
    }

    #[test]
    fn a_text_that_moves_from_one_field_to_the_next_changes_the_hash() {
        let one = AuditEntry { cause: Some("ab".to_owned()), object: Some("c".to_owned()), ..entry() };
        let other = AuditEntry { cause: Some("a".to_owned()), object: Some("bc".to_owned()), ..entry() };
        assert_ne!(AuditLink::START.next(one).hash, AuditLink::START.next(other).hash);
    }

    #[test]
    fn texts_are_cut_and_details_that_do_not_fit_are_left_out() {
        let long = "x".repeat(10_000);
        let cut = entry().of_object(&format!("a\u{0}b\n{long}")).with("note", json!(long));
        assert_eq!(cut.object.map(|text| (text.starts_with("abx"), text.len())), Some((true, MAX_TEXT)));
        assert!(cut.details.len() < 1_000);
        let many: Vec<_> = (0..1_000).map(|_| long.clone()).collect();
        assert_eq!(entry().with("many", json!(many)).details, entry().details);
    }

    #[test]
    fn a_row_about_pruning_names_its_anchor() {
        let anchor = AuditLink { position: 7, hash: [3; 32] };
        let told = AuditEntry::pruned(DateTime::UNIX_EPOCH, &anchor, 7);
        assert!(told.tells_of_pruning(&anchor));
        assert!(!told.tells_of_pruning(&AuditLink { position: 8, ..anchor }));
        assert!(!told.tells_of_pruning(&AuditLink { hash: [4; 32], ..anchor }));
    }
}
