//! Sessions of browsers: every one in memory, changed together with the store. Only the hash of a session's id is kept.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_lc_rs::{digest, rand};
use chrono::{SubsecRound, TimeDelta};
use fleetbeat_actors::ports::{Clock, StoreError};
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::store::{Store, StoredSession};

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

    /// Begins a session; its id is told this once.
    ///
    /// # Errors
    /// The store's, or that the system has no random numbers.
    pub async fn begin(&self, person: &Person) -> Result<SecretString, StoreError> {
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
        for hash in self.surplus(&person.subject) {
            self.store.delete_session(&hash).await?;
            self.known.write().remove(&hash);
        }
        self.store.insert_session(&session).await?;
        self.known.write().insert(session.hash, Arc::new(session));
        Ok(id)
    }

    /// Those that make room for one more.
    fn surplus(&self, subject: &str) -> Vec<Hash> {
        let known = self.known.read();
        let mut all: Vec<_> = known.values().collect();
        all.sort_by_key(|session| session.created_at);
        let own: Vec<_> = all.iter().filter(|session| session.subject == subject).collect();
        let excess = (own.len() + 1).saturating_sub(MAX_OF_ONE);
        let mut gone: Vec<_> = own.iter().take(excess).map(|session| session.hash).collect();
        if known.len() - gone.len() >= MAX_SESSIONS {
            gone.extend(all.iter().map(|session| session.hash).find(|hash| !gone.contains(hash)));
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

    /// Ends the session of this id, at once.
    ///
    /// # Errors
    /// The store's; it is ended in memory all the same.
    pub async fn end(&self, id: &str) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let hash = hash(id);
        self.known.write().remove(&hash);
        self.store.delete_session(&hash).await?;
        Ok(())
    }
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

    #[tokio::test]
    async fn a_session_lasts_until_its_end_or_until_it_is_ended_and_its_id_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&StoreOptions::new(Place::File(folder.path().join("f.db")))).await.unwrap();
        let load = |life| Sessions::load(Arc::clone(&store), Arc::new(TestClock::default()), life);
        let sessions = load(TimeDelta::hours(1)).await.unwrap();
        let id = sessions.begin(&ada()).await.unwrap();
        let found = sessions.find(id.expose_secret()).unwrap();
        assert_eq!((found.subject.as_str(), found.groups.as_str()), ("ada", r#"["admins"]"#));
        assert!(!format!("{:?}", store.sessions().await.unwrap()).contains(id.expose_secret()));
        assert!(load(TimeDelta::hours(1)).await.unwrap().find(id.expose_secret()).is_some(), "it survives a restart");
        for wrong in ["", "x", &id.expose_secret().to_uppercase(), &id.expose_secret()[1..]] {
            assert!(sessions.find(wrong).is_none());
        }
        sessions.end(id.expose_secret()).await.unwrap();
        assert!(sessions.find(id.expose_secret()).is_none() && store.sessions().await.unwrap().is_empty());
        let over = load(TimeDelta::zero()).await.unwrap();
        let id = over.begin(&ada()).await.unwrap();
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
            sessions.begin(&ada()).await.unwrap();
        }
        assert_eq!(store.sessions().await.unwrap().len(), MAX_OF_ONE);
    }
}
