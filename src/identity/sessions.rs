//! Sessions of browsers: every one in memory, changed together with the store. Only the hash of a session's id is kept.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_lc_rs::{digest, rand};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use fleetbeat_actors::ports::{Clock, StoreError};
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    audit::{Action, Origin},
    store::{AuditEntry, Store, StoredSession},
};

/// Most sessions of all, and of one person: the oldest go.
const MAX_SESSIONS: usize = 10_000;
const MAX_OF_ONE: usize = 20;
/// How often sessions that another process began or ended are read.
const RELOAD: Duration = Duration::from_secs(5);
/// Bytes of an id: 256 bits.
const ID: usize = 32;

type Hash = [u8; 32];

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Whose session it is, as the issuer says.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// Their groups when they signed in.
    pub groups: Vec<String>,
}

/// Every session.
pub struct Sessions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    life: TimeDelta,
    known: RwLock<HashMap<Hash, Arc<StoredSession>>>,
    /// One change at a time: memory and store say the same.
    turn: Mutex<()>,
}

impl Sessions {
    /// The sessions that the store has; new ones last so long.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(store: Arc<dyn Store>, clock: Arc<dyn Clock>, life: TimeDelta) -> Result<Self, StoreError> {
        let sessions = Self { store, clock, life, known: RwLock::default(), turn: Mutex::default() };
        sessions.reload().await?;
        Ok(sessions)
    }

    /// How long a new one lasts.
    pub fn life(&self) -> TimeDelta {
        self.life
    }

    /// Reads the store again and removes what is over, now and then, for ever.
    pub async fn keep_fresh(&self) {
        loop {
            tokio::time::sleep(RELOAD).await;
            if let Err(error) = self.reload().await {
                tracing::debug!(%error, "the sessions could not be read again");
            }
        }
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let now = self.clock.wall();
        if self.known.read().values().any(|session| session.expires_at <= now) {
            self.store.delete_sessions_over(now).await?;
        }
        let stored = self.store.sessions().await?;
        *self.known.write() = stored.into_iter().map(|session| (session.hash, Arc::new(session))).collect();
        Ok(())
    }

    /// Begins a session on behalf of its person; its id is told this once.
    ///
    /// # Errors
    /// The store's, or that the system has no random numbers.
    pub async fn begin(&self, person: &Person, by: &Origin) -> Result<SecretString, StoreError> {
        let mut id = [0; ID];
        rand::fill(&mut id).map_err(|_| StoreError::Broken("the system has no random numbers".into()))?;
        let id = SecretString::from(id.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let now = self.clock.wall().trunc_subsecs(3);
        let session = StoredSession {
            hash: hash(id.expose_secret()),
            subject: person.subject.clone(),
            name: person.name.clone(),
            groups: serde_json::Value::from(person.groups.clone()).to_string(),
            created_at: now,
            expires_at: now + self.life,
        };
        let _turn = self.turn.lock().await;
        for surplus in self.surplus(&person.subject) {
            let told = told(&surplus, Action::SessionEnd, now, by).with("because", json!("too many"));
            self.remove(&surplus.hash, told).await?;
        }
        self.store.insert_session(&session, &[told(&session, Action::SessionBegin, now, by)]).await?;
        self.known.write().insert(session.hash, Arc::new(session));
        Ok(id)
    }

    /// Those that make room for one more.
    fn surplus(&self, subject: &str) -> Vec<Arc<StoredSession>> {
        let mut all: Vec<_> = self.known.read().values().cloned().collect();
        all.sort_by_key(|session| session.created_at);
        let count = all.len();
        let (mut gone, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|session| session.subject == subject);
        let kept = gone.split_off((gone.len() + 1).saturating_sub(MAX_OF_ONE));
        if count - gone.len() >= MAX_SESSIONS {
            gone.extend(kept.into_iter().chain(others).min_by_key(|session| session.created_at));
        }
        gone
    }

    /// The session of this id, while it lasts.
    pub fn find(&self, id: &str) -> Option<Arc<StoredSession>> {
        let shaped = id.len() == ID * 2 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let session = shaped.then(|| self.known.read().get(&hash(id)).cloned()).flatten()?;
        (self.clock.wall() < session.expires_at).then_some(session)
    }

    /// Does the session of this hash last?
    pub fn holds(&self, hash: &Hash) -> bool {
        let now = self.clock.wall();
        self.known.read().get(hash).is_some_and(|session| now < session.expires_at)
    }

    /// Those that last, the oldest first.
    pub fn list(&self) -> Vec<Arc<StoredSession>> {
        let now = self.clock.wall();
        let mut all: Vec<_> = self.known.read().values().filter(|session| now < session.expires_at).cloned().collect();
        all.sort_by_key(|session| (session.created_at, session.hash));
        all
    }

    /// Ends the session of this id, at once.
    ///
    /// # Errors
    /// The store's; it is ended in memory all the same.
    pub async fn end(&self, id: &str, by: &Origin) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let ended = self.known.write().remove(&hash(id));
        if let Some(session) = ended {
            let told = told(&session, Action::SessionEnd, self.clock.wall(), by);
            self.remove(&session.hash, told).await?;
        }
        Ok(())
    }

    /// Ends the session that is called so in public, if it is this subject's where one is named; at once. False when there is
    /// none.
    ///
    /// # Errors
    /// The store's; if it is in doubt, the session is over in memory all the same.
    pub async fn end_called(&self, id: Uuid, of: Option<&str>, by: &Origin) -> Result<bool, StoreError> {
        let _turn = self.turn.lock().await;
        let found = self.list().into_iter().find(|session| public_id(&session.hash) == id);
        let Some(session) = found.filter(|session| of.is_none_or(|subject| session.subject == subject)) else {
            return Ok(false);
        };
        self.remove(&session.hash, told(&session, Action::SessionEnd, self.clock.wall(), by)).await
    }

    /// Removes one from the store and, unless it is surely still there, from memory.
    async fn remove(&self, hash: &Hash, told: AuditEntry) -> Result<bool, StoreError> {
        let removed = self.store.delete_session(hash, &[told]).await;
        if matches!(removed, Ok(_) | Err(StoreError::Unavailable { doubtful: true, .. })) {
            self.known.write().remove(hash);
        }
        removed
    }
}

/// What a session is called where people see it: cut from the hash of its id, which nobody can find again.
pub fn public_id(hash: &[u8; 32]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// What the audit log tells of a session: whose, and nothing that opens it.
fn told(session: &StoredSession, action: Action, at: DateTime<Utc>, by: &Origin) -> AuditEntry {
    let entry = by.did(action, at).of_object(&public_id(&session.hash).to_string());
    entry.with("subject", json!(session.subject)).with("expires_at", json!(session.expires_at))
}

fn hash(id: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, id.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use fleetbeat_actors::testing::TestClock;

    use super::*;
    use crate::store::{Place, StoreOptions, open};

    fn ada() -> Person {
        Person { subject: "ada".to_owned(), name: "Ada".to_owned(), groups: vec!["admins".to_owned()] }
    }

    fn by() -> Origin {
        Origin::system("test")
    }

    #[tokio::test]
    async fn a_session_lasts_until_its_end_or_until_it_is_ended_and_its_id_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&StoreOptions::new(Place::File(folder.path().join("f.db")))).await.unwrap();
        let load = |life| Sessions::load(Arc::clone(&store), Arc::new(TestClock::default()), life);
        let sessions = load(TimeDelta::hours(1)).await.unwrap();
        let id = sessions.begin(&ada(), &by()).await.unwrap();
        let found = sessions.find(id.expose_secret()).unwrap();
        assert_eq!((found.subject.as_str(), found.groups.as_str()), ("ada", r#"["admins"]"#));
        assert!(!format!("{:?}", store.sessions().await.unwrap()).contains(id.expose_secret()));
        assert!(load(TimeDelta::hours(1)).await.unwrap().find(id.expose_secret()).is_some(), "it survives a restart");
        for wrong in ["", "x", &id.expose_secret().to_uppercase(), &id.expose_secret()[1..]] {
            assert!(sessions.find(wrong).is_none());
        }
        sessions.end(id.expose_secret(), &by()).await.unwrap();
        assert!(sessions.find(id.expose_secret()).is_none() && store.sessions().await.unwrap().is_empty());
        let over = load(TimeDelta::zero()).await.unwrap();
        let id = over.begin(&ada(), &by()).await.unwrap();
        assert!(over.find(id.expose_secret()).is_none());
        over.reload().await.unwrap();
        assert!(store.sessions().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_person_has_a_bounded_number_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&StoreOptions::new(Place::File(folder.path().join("f.db")))).await.unwrap();
        let clock = Arc::new(TestClock::default());
        let sessions = Sessions::load(Arc::clone(&store), clock, TimeDelta::hours(1)).await.unwrap();
        for _ in 0..MAX_OF_ONE + 5 {
            sessions.begin(&ada(), &by()).await.unwrap();
        }
        assert_eq!(store.sessions().await.unwrap().len(), MAX_OF_ONE);
    }

    #[tokio::test]
    async fn a_session_is_ended_by_its_public_name_and_only_by_its_person_where_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&StoreOptions::new(Place::File(folder.path().join("f.db")))).await.unwrap();
        let clock = Arc::new(TestClock::default());
        let sessions = Sessions::load(Arc::clone(&store), clock, TimeDelta::hours(1)).await.unwrap();
        let id = sessions.begin(&ada(), &by()).await.unwrap();
        let name = public_id(&sessions.list()[0].hash);
        assert!(sessions.find(&name.simple().to_string()).is_none(), "the name opens nothing");
        assert!(!sessions.end_called(name, Some("eve"), &by()).await.unwrap());
        assert!(!sessions.end_called(Uuid::nil(), None, &by()).await.unwrap());
        assert!(sessions.find(id.expose_secret()).is_some());
        assert!(sessions.end_called(name, Some("ada"), &by()).await.unwrap());
        assert!(sessions.find(id.expose_secret()).is_none() && sessions.list().is_empty());
        assert!(!sessions.end_called(name, None, &by()).await.unwrap());
    }
}
