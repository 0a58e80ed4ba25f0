//! What somebody whom the hub knows may do: as their groups are granted here, or as the hub's own rules say.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fleetbeat_actors::ports::Clock;
use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::{Grants, Role, Scope, grants::strongest};
use crate::hub::{AskRights, HubError, Reviewed, Right};

/// How long what the hub said of somebody's rights stands. So long one that was taken away may go on being used.
const STANDS_FOR: Duration = Duration::from_secs(10);
/// People remembered.
const REMEMBERED: usize = 1_024;
/// Parts of the fleet that the hub is asked about at once.
const AT_ONCE: usize = 8;

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
            Self::Rules(rules) => rules.of(user).await,
        }
    }
}

type Granted = Option<(Role, Scope)>;
type Memory = HashMap<Arc<Reviewed>, (Instant, Granted)>;

/// A part of the fleet that rules of the hub name.
#[derive(Clone, Debug)]
pub struct Part {
    /// The name that rules use (`resourceNames`).
    pub name: String,
    /// What it has of the fleet.
    pub scope: Scope,
}

/// Roles by rights on the hub (SubjectAccessReview): each role has a right, and needs those of the roles before it, too. They are
/// had over the whole fleet, or over parts of it that have a name.
pub struct Rules {
    hub: Arc<dyn AskRights>,
    clock: Arc<dyn Clock>,
    needed: [(Role, Right); 3],
    parts: Vec<Part>,
    known: Mutex<Memory>,
}

impl Rules {
    /// Asks `hub` for the right that `needed` names for a role.
    pub fn new(hub: Arc<dyn AskRights>, clock: Arc<dyn Clock>, needed: impl Fn(Role) -> Right) -> Self {
        let needed = Role::ALL.map(|role| (role, needed(role)));
        Self { hub, clock, needed, parts: Vec::new(), known: Mutex::default() }
    }

    /// Asks about these parts, too, where somebody is no administrator of the whole fleet.
    #[must_use]
    pub fn with_parts(self, parts: Vec<Part>) -> Self {
        Self { parts, ..self }
    }

    async fn of(&self, user: &Arc<Reviewed>) -> Result<Granted, HubError> {
        let now = self.clock.now();
        let known = self.known.lock().get(user).filter(|(until, _)| now < *until).map(|(_, granted)| granted.clone());
        if let Some(granted) = known {
            return Ok(granted);
        }
        let granted = self.ask(user).await?;
        self.remember(user, granted.clone());
        Ok(granted)
    }

    async fn ask(&self, user: &Reviewed) -> Result<Granted, HubError> {
        let everywhere = self.highest(user, None, None).await?;
        let mut granted: Vec<(Role, &Scope)> = everywhere.map(|role| (role, &Scope::Everything)).into_iter().collect();
        if everywhere != Some(Role::Admin) {
            for parts in self.parts.chunks(AT_ONCE) {
                let asked = parts.iter().map(|part| self.highest(user, Some(part), everywhere));
                let found = try_join_all(asked).await?.into_iter().zip(parts);
                granted.extend(found.filter_map(|(role, part)| Some((role?, &part.scope))));
            }
        }
        Ok(strongest(granted.into_iter()))
    }

    /// The highest role over a part, or over everything, of somebody who has one over everything already.
    async fn highest(
        &self,
        user: &Reviewed,
        part: Option<&Part>,
        already: Option<Role>,
    ) -> Result<Option<Role>, HubError> {
        let mut highest = already;
        for (role, right) in self.needed.iter().filter(|(role, _)| Some(*role) > already) {
            let right = Right { name: part.map(|part| part.name.clone()), ..right.clone() };
            if !self.hub.may(user, &right).await? {
                break;
            }
            highest = Some(*role);
        }
        Ok(highest)
    }

    fn remember(&self, user: &Arc<Reviewed>, granted: Granted) {
        let (now, mut known) = (self.clock.now(), self.known.lock());
        if known.len() >= REMEMBERED {
            known.retain(|_, (until, _)| now < *until);
        }
        // A memory full of what is fresh takes nothing more: the hub is asked once more instead.
        if known.len() < REMEMBERED {
            known.insert(Arc::clone(user), (now + STANDS_FOR, granted));
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use fleetbeat_actors::testing::TestClock;

    use super::*;

    /// Allows each user the verbs that their name lists, `verb@part` in one part only; counts what it is asked.
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
            let verb = right.verb.as_str();
            let here = right.name.as_ref().map(|name| format!("{verb}@{name}"));
            asked.push(here.clone().unwrap_or_else(|| verb.to_owned()));
            Ok(user.user.split('+').any(|word| word == verb || Some(word) == here.as_deref()))
        }
    }

    fn rights(silent_from: Option<usize>) -> (Arc<Fake>, Rights) {
        let fake = Arc::new(Fake { silent_from, ..Fake::default() });
        (Arc::clone(&fake), Rights::Rules(Box::new(rules(fake))))
    }

    fn rules(fake: Arc<Fake>) -> Rules {
        let right =
            |role: Role| Right { group: String::new(), resource: "x".to_owned(), verb: role.to_string(), name: None };
        Rules::new(fake, Arc::new(TestClock::default()), right)
    }

    fn of_team(team: &str) -> Scope {
        Scope::labels(format!("team={team}")).expect("a selector")
    }

    /// Rights over the whole fleet, and over the parts `blue` and `red`.
    fn rights_over_parts(silent_from: Option<usize>) -> (Arc<Fake>, Rights) {
        let fake = Arc::new(Fake { silent_from, ..Fake::default() });
        let parts = ["blue", "red"].map(|name| Part { name: name.to_owned(), scope: of_team(name) });
        (Arc::clone(&fake), Rights::Rules(Box::new(rules(fake).with_parts(parts.into()))))
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
    async fn a_role_over_a_part_is_none_over_the_rest() {
        let both = || Scope::Any(vec![of_team("blue"), of_team("red")]);
        for (name, expected) in [
            ("viewer@blue", Some((Role::Viewer, of_team("blue")))),
            ("viewer@blue+viewer@red", Some((Role::Viewer, both()))),
            ("viewer@blue+operator@blue+viewer@red", Some((Role::Operator, of_team("blue")))),
            ("viewer+operator@red", Some((Role::Operator, of_team("red")))),
            ("viewer+operator", Some((Role::Operator, Scope::Everything))),
            ("viewer+operator+admin@blue", Some((Role::Admin, of_team("blue")))),
            ("viewer+operator+admin", Some((Role::Admin, Scope::Everything))),
            ("operator@blue+admin@blue", None),
            ("viewer@green", None),
        ] {
            let (_, rights) = rights_over_parts(None);
            assert_eq!(rights.of(&user(name)).await.unwrap(), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_hub_is_asked_once_about_a_part_and_not_at_all_about_those_of_an_administrator() {
        let (fake, rights) = rights_over_parts(None);
        rights.of(&user("viewer+operator+admin")).await.unwrap();
        assert_eq!(fake.asked.lock().drain(..).collect::<Vec<_>>(), ["viewer", "operator", "admin"]);
        for _ in 0..2 {
            rights.of(&user("viewer@blue")).await.unwrap();
        }
        let expected = ["viewer", "viewer@blue", "operator@blue", "viewer@red"];
        assert_eq!(*fake.asked.lock(), expected);
        for silent_from in 0..4 {
            let (_, rights) = rights_over_parts(Some(silent_from));
            assert!(rights.of(&user("viewer@blue")).await.is_err(), "{silent_from}: half an answer is none");
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
