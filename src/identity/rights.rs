//! What somebody whom the hub knows may do: as their groups are granted here, or as the hub's own rules say.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fleetbeat_actors::ports::Clock;
use parking_lot::Mutex;

use super::{Grants, Role, Scope};
use crate::hub::{AskRights, HubError, Reviewed, Right};

/// How long what the hub said of somebody's rights stands. So long one that was taken away may go on being used.
const STANDS_FOR: Duration = Duration::from_secs(10);
/// People remembered.
const REMEMBERED: usize = 1_024;

/// Where rights come from.
pub enum Rights {
    /// From the settings: groups are granted roles and scopes.
    Grants(Grants),
    /// From the hub's rules.
    Rules(Box<Rules>),
}

impl Rights {
    /// What this person may do and see; `None` when nothing.
    ///
    /// # Errors
    /// When the hub has to be asked and does not say.
    pub async fn of(&self, user: &Arc<Reviewed>) -> Result<Option<(Role, Scope)>, HubError> {
        match self {
            Self::Grants(grants) => Ok(grants.of(user.groups.iter().map(String::as_str))),
            Self::Rules(rules) => Ok(rules.role_of(user).await?.map(|role| (role, Scope::Everything))),
        }
    }
}

type Memory = HashMap<Arc<Reviewed>, (Instant, Option<Role>)>;

/// Roles by rights on the hub (SubjectAccessReview): each role has a right, and needs those of the roles before it, too.
pub struct Rules {
    hub: Arc<dyn AskRights>,
    clock: Arc<dyn Clock>,
    needed: [(Role, Right); 3],
    known: Mutex<Memory>,
}

impl Rules {
    /// Asks `hub` for the right that `needed` names for a role.
    pub fn new(hub: Arc<dyn AskRights>, clock: Arc<dyn Clock>, needed: impl Fn(Role) -> Right) -> Self {
        let needed = Role::ALL.map(|role| (role, needed(role)));
        Self { hub, clock, needed, known: Mutex::default() }
    }

    async fn role_of(&self, user: &Arc<Reviewed>) -> Result<Option<Role>, HubError> {
        let now = self.clock.now();
        let known = self.known.lock().get(user).filter(|(until, _)| now < *until).map(|(_, role)| *role);
        if let Some(role) = known {
            return Ok(role);
        }
        let role = self.ask(user).await?;
        self.remember(user, role);
        Ok(role)
    }

    async fn ask(&self, user: &Reviewed) -> Result<Option<Role>, HubError> {
        let mut highest = None;
        for (role, right) in &self.needed {
            if !self.hub.may(user, right).await? {
                break;
            }
            highest = Some(*role);
        }
        Ok(highest)
    }

    fn remember(&self, user: &Arc<Reviewed>, role: Option<Role>) {
        let (now, mut known) = (self.clock.now(), self.known.lock());
        if known.len() >= REMEMBERED {
            known.retain(|_, (until, _)| now < *until);
        }
        // A memory full of what is fresh takes nothing more: the hub is asked once more instead.
        if known.len() < REMEMBERED {
            known.insert(Arc::clone(user), (now + STANDS_FOR, role));
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use fleetbeat_actors::testing::TestClock;

    use super::*;

    /// Allows each user the verbs that their name lists; counts what it is asked.
    #[derive(Default)]
    struct Fake {
        asked: Mutex<Vec<String>>,
        /// From this question on it says nothing.
        silent_from: Option<usize>,
    }

    #[async_trait]
    impl AskRights for Fake {
        async fn may(&self, user: &Reviewed, right: &Right) -> Result<bool, HubError> {
            let mut asked = self.asked.lock();
            if self.silent_from.is_some_and(|from| asked.len() >= from) {
                return Err(HubError::Unavailable("away".to_owned()));
            }
            asked.push(right.verb.clone());
            Ok(user.user.split('+').any(|verb| verb == right.verb))
        }
    }

    fn rights(silent_from: Option<usize>) -> (Arc<Fake>, Rights) {
        let fake = Arc::new(Fake { silent_from, ..Fake::default() });
        let right = |role: Role| Right { group: String::new(), resource: "x".to_owned(), verb: role.to_string() };
        let clock = Arc::new(TestClock::default());
        (Arc::clone(&fake), Rights::Rules(Box::new(Rules::new(fake, clock, right))))
    }

    fn user(name: &str) -> Arc<Reviewed> {
        Arc::new(Reviewed { user: name.to_owned(), ..Reviewed::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_needs_its_right_and_those_of_the_roles_before_it() {
        let (_, rights) = rights(None);
        for (name, role) in [
            ("viewer", Some(Role::Viewer)),
            ("viewer+operator", Some(Role::Operator)),
            ("viewer+operator+admin", Some(Role::Admin)),
            ("viewer+admin", Some(Role::Viewer)),
            ("operator+admin", None),
            ("nothing", None),
        ] {
            let expected = role.map(|role| (role, Scope::Everything));
            assert_eq!(rights.of(&user(name)).await.unwrap(), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_a_while_and_for_nobody_else() {
        let (fake, rights) = rights(None);
        for _ in 0..3 {
            rights.of(&user("viewer")).await.unwrap();
        }
        assert_eq!(*fake.asked.lock(), ["viewer", "operator"]);
        let narrowed = Reviewed { extra: [("scopes".to_owned(), Vec::new())].into(), ..(*user("viewer")).clone() };
        rights.of(&Arc::new(narrowed)).await.unwrap();
        assert_eq!(fake.asked.lock().len(), 4, "the same name with a narrower token is somebody else");
        tokio::time::advance(STANDS_FOR).await;
        rights.of(&user("viewer")).await.unwrap();
        assert_eq!(fake.asked.lock().len(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_falls_silent_gives_no_rights_at_all() {
        for silent_from in 0..3 {
            let (_, rights) = rights(Some(silent_from));
            for _ in 0..2 {
                assert!(rights.of(&user("viewer+operator+admin")).await.is_err(), "{silent_from}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let (fake, rights) = rights(None);
        for n in 0..REMEMBERED + 50 {
            rights.of(&user(&format!("nobody {n}"))).await.unwrap();
        }
        let Rights::Rules(rules) = &rights else { panic!("rules") };
        assert_eq!((rules.known.lock().len(), fake.asked.lock().len()), (REMEMBERED, REMEMBERED + 50));
    }
}
