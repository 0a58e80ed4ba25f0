//! Renewal: a service account's token is replaced before it ends by a new one that the cluster itself makes
//! (TokenRequest), proven before the swap. Whatever fails, the old one stays until it ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{board::Board, health::Endpoint, ports::Clock, roll::ClusterId};
use futures_util::{StreamExt, stream};
use metrics::{counter, describe_counter};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize};
use serde::Deserialize;
use serde_json::json;

use crate::{
    credentials::{Account, Credential, Foresight, Lookup, material},
    discovery::{Budget, Gap, Inquirer, Interview, Question},
    registration::Registration,
};

/// How often the fleet is looked through for tokens to renew.
const LOOK: Duration = Duration::from_secs(5);
/// Renewals at once.
const AT_ONCE: usize = 8;
/// Renewals before the fleet is looked through again, so that clusters that keep us waiting keep nobody else waiting for long.
const IN_A_ROW: usize = 16;
/// The least time between two renewals of a cluster, whatever it says of when its new token ends.
const LEAST: TimeDelta = TimeDelta::minutes(5);
/// What one renewal may take of its cluster.
const BUDGET: Budget = Budget { time: Duration::from_secs(20), bytes: 256 * 1024, questions: 2 };
/// The shortest life that Kubernetes gives a token.
const SHORTEST: TimeDelta = TimeDelta::minutes(10);

/// Decides when a token is renewed. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// After this share of a token's life, percent; never when 0.
    pub at_percent: u8,
}

impl Schedule {
    /// When the token of `account` is to be renewed. Up to a tenth earlier than its share of the life, each cluster at
    /// another moment; after a failure, after a tenth of what is left, a minute at least and an hour at most.
    pub fn renew_at(self, id: ClusterId, account: &Account, before: Before) -> Option<DateTime<Utc>> {
        if self.at_percent == 0 {
            return None;
        }
        let wait = (account.expires - account.issued) / 100 * i32::from(self.at_percent);
        let jitter = wait / 10 / 1_000 * i32::try_from(id.spread() % 1_000).unwrap_or(0);
        let first = account.issued + wait - jitter;
        let first = before.renewed.map_or(first, |at| first.max(at + LEAST));
        Some(match before.failed {
            None => first,
            Some(at) => {
                let pause = ((account.expires - at) / 10).clamp(TimeDelta::minutes(1), TimeDelta::hours(1));
                first.max(at + pause)
            }
        })
    }
}

/// What became of a cluster's last renewals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// When the one of the token that it has now failed.
    pub failed: Option<DateTime<Utc>>,
    /// When one succeeded.
    pub renewed: Option<DateTime<Utc>>,
}

/// A token to be renewed.
struct Due {
    id: ClusterId,
    credential: Arc<Credential>,
    account: Account,
    failed: bool,
}

/// The next ones: what failed before comes after what did not, what ends first before what ends later.
fn next(mut due: Vec<Due>) -> Vec<Due> {
    due.sort_by_key(|due| (due.failed, due.account.expires));
    due.truncate(IN_A_ROW);
    due
}

/// May the token of `new` take the place of the one of `old`?
fn succeeds(old: &Account, new: &Account) -> bool {
    (&old.namespace, &old.name) == (&new.namespace, &new.name)
}

/// A new token.
#[derive(Debug)]
pub struct Fresh {
    /// The token.
    pub token: SecretString,
}

/// Asks the cluster for a new token of the account, as long-lived as the old one.
///
/// # Errors
/// Why there is none.
pub async fn fresh_token(interview: &mut Interview, account: &Account) -> Result<Fresh, Gap> {
    let seconds = (account.expires - account.issued).max(SHORTEST).num_seconds();
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", account.namespace, account.name);
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "expirationSeconds": seconds },
    });
    let reply = interview.ask(Question::post(path, &request)).await?;
    read_token(&reply.body).ok_or(Gap::Malformed)
}

/// A token of the answer, if it is one of the form that tokens have.
fn read_token(body: &[u8]) -> Option<Fresh> {
    #[derive(Deserialize)]
    struct Answer {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        token: String,
    }
    let mut answer: Answer = serde_json::from_slice(body).ok()?;
    let token = material::token(&answer.status.token).ok();
    answer.status.token.zeroize();
    Some(Fresh { token: token? })
}

/// Renews tokens.
pub struct Renewals {
    board: Arc<Board>,
    foresight: Arc<Foresight>,
    registration: Arc<Registration>,
    inquirer: Arc<dyn Inquirer>,
    clock: Arc<dyn Clock>,
    schedule: Schedule,
}

/// What is remembered of renewals: of failed ones with the version of the credentials.
#[derive(Default)]
struct Past {
    failed: HashMap<ClusterId, (u64, DateTime<Utc>)>,
    renewed: HashMap<ClusterId, DateTime<Utc>>,
}

impl Past {
    fn of(&self, id: ClusterId, version: u64) -> Before {
        let failed = self.failed.get(&id).filter(|(known, _)| *known == version).map(|(_, at)| *at);
        Before { failed, renewed: self.renewed.get(&id).copied() }
    }
}

/// What a renewal came to.
enum Outcome {
    Renewed,
    /// Someone else replaced the credentials meanwhile.
    Overtaken,
    Failed(String),
}

impl Renewals {
    /// Renews the tokens of the fleet as `schedule` says.
    pub fn new(
        board: Arc<Board>,
        foresight: Arc<Foresight>,
        registration: Arc<Registration>,
        inquirer: Arc<dyn Inquirer>,
        clock: Arc<dyn Clock>,
        schedule: Schedule,
    ) -> Self {
        Self { board, foresight, registration, inquirer, clock, schedule }
    }

    /// Renews for ever.
    pub async fn run(self) {
        describe_counter!("fleetbeat_token_renewals_total", "Renewals of service-account tokens, by result.");
        let mut past = Past::default();
        loop {
            tokio::time::sleep(LOOK).await;
            let due = next(self.due(&past));
            let done: Vec<_> = stream::iter(due)
                .map(async |due| (due.id, due.credential.version, self.renew(&due).await))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            for (id, version, outcome) in done {
                self.note(&mut past, id, version, outcome);
            }
            past.failed.retain(|id, (version, _)| self.current(*id).is_some_and(|now| now.version == *version));
            past.renewed.retain(|_, at| *at + LEAST > self.clock.wall());
        }
    }

    fn note(&self, past: &mut Past, id: ClusterId, version: u64, outcome: Outcome) {
        let result = match outcome {
            Outcome::Renewed => {
                past.renewed.insert(id, self.clock.wall());
                self.foresight.renewed(id);
                tracing::info!(%id, "a service account's token was renewed");
                "renewed"
            }
            Outcome::Overtaken => "overtaken",
            Outcome::Failed(reason) => {
                past.failed.insert(id, (version, self.clock.wall()));
                tracing::warn!(%id, reason, "a service account's token could not be renewed; the old one stays");
                self.foresight.not_renewed(id, version, reason);
                "failed"
            }
        };
        counter!("fleetbeat_token_renewals_total", "result" => result).increment(1);
    }

    fn current(&self, id: ClusterId) -> Option<Arc<Credential>> {
        match self.foresight.vault().get(id) {
            Lookup::Some(credential) => Some(credential),
            Lookup::None | Lookup::Unavailable => None,
        }
    }

    /// Whose token is to be renewed now. What has ended already cannot renew itself.
    fn due(&self, past: &Past) -> Vec<Due> {
        let now = self.clock.wall();
        let mut due = Vec::new();
        for (id, credential) in self.foresight.vault().memory().all() {
            let account = credential.part(Endpoint::ApiServer).and_then(|part| Account::of(part));
            let Some(account) = account.filter(|account| account.expires > now) else { continue };
            let before = past.of(id, credential.version);
            if self.schedule.renew_at(id, &account, before).is_some_and(|at| at <= now) {
                due.push(Due { id, credential, account, failed: before.failed.is_some() });
            }
        }
        due
    }

    async fn renew(&self, due: &Due) -> Outcome {
        let Due { id, credential, account, .. } = due;
        let id = *id;
        let Some(entry) = self.board.get(id) else { return Outcome::Overtaken };
        let target = Arc::new(self.registration.target(&entry.cluster));
        let conversation = match self.inquirer.converse(target, Arc::clone(credential)).await {
            Ok(conversation) => conversation,
            Err(silence) => return Outcome::Failed(silence.as_str().to_owned()),
        };
        let fresh = fresh_token(&mut Interview::begin(conversation, BUDGET), account).await;
        let token = match fresh {
            Ok(fresh) => fresh.token,
            Err(gap) => return Outcome::Failed(gap.shown("create tokens of its service account").message),
        };
        if Account::of_token(token.expose_secret()).is_some_and(|new| !succeeds(account, &new)) {
            return Outcome::Failed("the cluster gave a token of another account".to_owned());
        }
        match self.registration.renew_token(id, credential, token).await {
            Ok(true) => Outcome::Renewed,
            Ok(false) => Outcome::Overtaken,
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn account(life: i64) -> Account {
        Account { namespace: "n".to_owned(), name: "a".to_owned(), issued: at(0), expires: at(life) }
    }

    #[test]
    fn a_token_is_renewed_after_its_share_of_life_and_not_everywhere_at_once() {
        let schedule = Schedule { at_percent: 70 };
        let moments: Vec<_> = (0..1_000)
            .map(|_| schedule.renew_at(ClusterId::generate(), &account(36_000), Before::default()).unwrap())
            .collect();
        assert!(moments.iter().all(|moment| (at(22_680)..=at(25_200)).contains(moment)));
        let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
        assert!((*last - *first).num_seconds() > 2_000, "spread over {}", *last - *first);
    }

    #[test]
    fn after_a_failure_it_is_tried_again_and_more_often_towards_the_end() {
        let (schedule, id) = (Schedule { at_percent: 70 }, ClusterId::generate());
        let after = |failed: i64| Before { failed: Some(at(failed)), ..Before::default() };
        let again = |failed: i64| schedule.renew_at(id, &account(36_000), after(failed)).unwrap() - at(failed);
        assert_eq!(again(26_000).num_seconds(), 1_000);
        assert_eq!(again(35_900).num_seconds(), 60);
        let long = schedule.renew_at(id, &account(10_000_000), after(7_500_000)).unwrap();
        assert_eq!(long, at(7_503_600));
    }

    #[test]
    fn nothing_is_renewed_where_that_is_switched_off() {
        assert_eq!(Schedule { at_percent: 0 }.renew_at(ClusterId::generate(), &account(600), Before::default()), None);
    }

    #[test]
    fn tokens_that_end_at_once_are_not_renewed_on_and_on() {
        let (schedule, id) = (Schedule { at_percent: 70 }, ClusterId::generate());
        let before = Before { renewed: Some(at(0)), ..Before::default() };
        for life in [1, 60, 299] {
            let next = schedule.renew_at(id, &account(life), before).unwrap();
            assert!(next >= at(300), "a token of {life} s: {next}");
        }
        assert!(
            schedule.renew_at(id, &account(600), before).unwrap() < at(600),
            "the shortest real one is renewed in time"
        );
    }

    #[test]
    fn clusters_that_never_answer_do_not_stand_before_others() {
        let due = |life: i64, failed: bool| Due {
            id: ClusterId::generate(),
            credential: Arc::default(),
            account: account(life),
            failed,
        };
        let mut all: Vec<_> = (0..1_000).map(|_| due(60, true)).collect();
        all.extend([due(900, false), due(600, false)]);
        let next: Vec<_> = next(all).iter().map(|due| (due.account.expires, due.failed)).collect();
        assert_eq!(next.len(), IN_A_ROW);
        assert_eq!(next[..3], [(at(600), false), (at(900), false), (at(60), true)]);
    }

    #[test]
    fn a_token_of_another_account_takes_nobodys_place() {
        let other = Account { name: "b".to_owned(), ..account(600) };
        assert!(succeeds(&account(600), &account(900)) && !succeeds(&account(600), &other));
    }

    #[test]
    fn only_what_has_the_form_of_a_token_is_taken() {
        assert!(read_token(br#"{"status":{"token":"e30.e30.c2ln","expirationTimestamp":"x"}}"#).is_some());
        for wrong in [r#"{"status":{"token":""}}"#, r#"{"status":{"token":"a b"}}"#, r#"{"status":{}}"#, "{}", "x"] {
            assert!(read_token(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
