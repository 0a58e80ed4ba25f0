//! A webhook: who it belongs to, what it wants to be told, and where to. Converts from and to what the store keeps.

use std::fmt;

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::Board,
    event::{Event, EventType},
};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::zeroize::{Zeroize, Zeroizing};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::{
    courier::Letter,
    format::{Format, News},
    sign::Secret,
};
use crate::{
    credentials::{KeyError, Sealer},
    identity::Scope,
    store::{StoredWebhook, WebhookSeal},
};

/// Room for a sealed address with its secret, bytes.
const ROOM: usize = 8 * 1024;

/// A webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// How its messages are written.
    pub format: Format,
    /// Of what it wants to be told; of everything when empty.
    pub event_types: Vec<EventType>,
    /// Of which clusters, as it was written; of all when empty.
    pub label_selector: String,
    /// The same as it is understood.
    pub wanted: Scope,
    /// What whoever made it may see: it is told nothing else.
    pub scope: Scope,
    /// Is it told anything?
    pub enabled: bool,
    /// Where to, as far as everybody may know it.
    pub shown_url: String,
    /// Is there a secret that signs?
    pub signed: bool,
    /// Where to; `None` when no key opens it.
    pub target: Option<Target>,
    /// Who made it.
    pub created_by: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Where messages go, and what signs them.
#[derive(Clone)]
pub struct Target {
    /// The whole address, which may hold secrets.
    pub url: Url,
    /// What signs.
    pub secret: Option<Secret>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("origin", &self.url.origin().ascii_serialization()).finish_non_exhaustive()
    }
}

/// What stands inside the seal. Wiped when dropped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.url.zeroize();
        self.secret.zeroize();
    }
}

impl Webhook {
    /// Does it want to be told of this event, and may it be?
    pub fn wants(&self, event: &Event, board: &Board) -> bool {
        (self.event_types.is_empty() || self.event_types.contains(&event.event_type))
            && self.wanted.admits_event(event, board)
            && self.scope.admits_event(event, board)
    }

    /// May somebody of this scope know of it? What it is told must not be more than they may see.
    pub fn is_seen_by(&self, scope: &Scope) -> bool {
        scope.is_everything() || *scope == self.scope
    }

    /// As the store keeps it, sealed anew.
    ///
    /// # Errors
    /// When there is no key.
    pub fn to_store(&self, target: &Target, sealer: &Sealer) -> Result<StoredWebhook, KeyError> {
        let plain = Plain {
            url: target.url.to_string(),
            secret: target.secret.as_ref().map(|secret| secret.reveal().to_owned()),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *bytes, &plain).map_err(|_| KeyError::NoRandomness)?;
        let words: Vec<&str> = self.event_types.iter().map(|event_type| event_type.as_str()).collect();
        Ok(StoredWebhook {
            id: self.id,
            name: self.name.clone(),
            format: self.format.as_str().to_owned(),
            shown_url: self.shown_url.clone(),
            event_types: serde_json::json!(words).to_string(),
            label_selector: self.label_selector.clone(),
            scope: self.scope.to_json().to_string(),
            enabled: self.enabled,
            signed: self.signed,
            created_by: self.created_by.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            seal: sealer.seal(self.id, bytes)?,
        })
    }

    /// As the store has it; `None` where its words are not understood.
    pub fn of_store(row: StoredWebhook, sealer: &Sealer) -> Option<Self> {
        let words: Vec<String> = serde_json::from_str(&row.event_types).ok()?;
        let event_types = words.iter().map(|word| word.parse().ok()).collect::<Option<Vec<EventType>>>()?;
        let target = open(row.id, &row.seal, sealer);
        if target.is_none() {
            tracing::error!(name = row.name, "the address of a webhook does not open; set it again");
        }
        Some(Self {
            id: row.id,
            format: Format::of_word(&row.format)?,
            event_types,
            wanted: wanted(&row.label_selector).ok()?,
            scope: Scope::read(&serde_json::from_str(&row.scope).ok()?).ok()?,
            label_selector: row.label_selector,
            name: row.name,
            enabled: row.enabled,
            shown_url: row.shown_url,
            signed: row.signed,
            target,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// What a label selector chooses; everything when it is empty.
///
/// # Errors
/// In words, what is wrong.
pub fn wanted(label_selector: &str) -> Result<Scope, String> {
    if label_selector.trim().is_empty() {
        return Ok(Scope::Everything);
    }
    Scope::labels(label_selector.to_owned()).map_err(|why| why.trim_start_matches("label_selector ").to_owned())
}

/// What everybody may know of an address: neither its query nor, for a format whose addresses are secrets, its path.
pub fn shown(url: &Url, format: Format) -> String {
    let origin = url.origin().ascii_serialization();
    match format {
        Format::CloudEvents if url.query().is_none() => format!("{origin}{}", url.path()),
        Format::CloudEvents => format!("{origin}{}?…", url.path()),
        Format::Slack => format!("{origin}/…"),
    }
}

fn open(id: Uuid, seal: &WebhookSeal, sealer: &Sealer) -> Option<Target> {
    let bytes = sealer.open(id, seal)?;
    let mut plain: Plain = serde_json::from_slice(&bytes).ok()?;
    let secret = match plain.secret.take() {
        None => None,
        Some(text) => Some(Secret::given(text).ok()?),
    };
    Some(Target { url: Url::parse(&plain.url).ok()?, secret })
}

impl Webhook {
    /// The message that tells it, signed where it has a secret; `None` while nobody can read where to.
    pub(super) fn letter(&self, news: &News, now: DateTime<Utc>, line: Option<Uuid>) -> Option<Letter> {
        let target = self.target.as_ref()?;
        let (body, id, timestamp) = (self.format.body(news), news.id.to_string(), now.timestamp());
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(self.format.content_type()))]);
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if let Some(secret) = &target.secret {
            set("webhook-signature", secret.sign(&id, timestamp, &body));
        }
        set("webhook-timestamp", timestamp.to_string());
        set("webhook-id", id);
        Some(Letter { line, url: target.url.clone(), headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_address_holds_no_secret() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let (plain, query) = (url("https://a.example:8443/in/x"), url("https://a.example/in?token=s3cret"));
        assert_eq!(shown(&plain, Format::CloudEvents), "https://a.example:8443/in/x");
        assert_eq!(shown(&query, Format::CloudEvents), "https://a.example/in?…");
        assert_eq!(
            shown(&url("https://hooks.slack.com/services/T/B/s3cret"), Format::Slack),
            "https://hooks.slack.com/…"
        );
        let target = Target { url: query, secret: None };
        assert!(!format!("{target:?}").contains("s3cret"));
    }
}
