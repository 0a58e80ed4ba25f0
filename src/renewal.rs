//! Renewal: a service account's token is replaced before it ends by a new one that the cluster itself makes
//! (TokenRequest), proven before the swap. Whatever fails, the old one stays until it ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::{board::Board, health::Endpoint, ports::Clock, roll::ClusterId};
use futures_util::{StreamExt, stream};
use metrics::{counter, describe_counter};
use secrecy::{SecretString, zeroize::Zeroize};
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
const AT_ONCE: usize = 4;
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
    /// another moment; after a failure at `failed`, after a tenth of what is left, a minute at least and an hour at most.
    pub fn renew_at(self, id: ClusterId, account: &Account, failed: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        if self.at_percent == 0 {
            return None;
        }
        let wait = (account.expires - account.issued) / 100 * i32::from(self.at_percent);
        let jitter = wait / 10 / 1_000 * i32::try_from(id.spread() % 1_000).unwrap_or(0);
        let first = account.issued + wait - jitter;
        Some(match failed {
            None => first,
            Some(at) => {
                let pause = ((account.expires - at) / 10).clamp(TimeDelta::minutes(1), TimeDelta::hours(1));
                first.max(at + pause)
            }
        })
    }
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
        let mut failed: HashMap<ClusterId, (u64, DateTime<Utc>)> = HashMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let due = self.due(&failed);
            let done: Vec<_> = stream::iter(due)
                .map(async |(id, credential, account)| {
                    (id, credential.version, self.renew(id, &credential, &account).await)
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            for (id, version, outcome) in done {
                self.note(&mut failed, id, version, outcome);
            }
            failed.retain(|id, (version, _)| self.current(*id).is_some_and(|now| now.version == *version));
        }
    }

    fn note(
        &self,
        failed: &mut HashMap<ClusterId, (u64, DateTime<Utc>)>,
        id: ClusterId,
        version: u64,
        outcome: Outcome,
    ) {
        let result = match outcome {
            Outcome::Renewed => {
                self.foresight.renewed(id);
                tracing::info!(%id, "a service account's token was renewed");
                "renewed"
            }
            Outcome::Overtaken => "overtaken",
            Outcome::Failed(reason) => {
                failed.insert(id, (version, self.clock.wall()));
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
    fn due(&self, failed: &HashMap<ClusterId, (u64, DateTime<Utc>)>) -> Vec<(ClusterId, Arc<Credential>, Account)> {
        let now = self.clock.wall();
        let mut due = Vec::new();
        for (id, credential) in self.foresight.vault().memory().all() {
            let account = credential.part(Endpoint::ApiServer).and_then(|part| Account::of(part));
            let Some(account) = account.filter(|account| account.expires > now) else { continue };
            let before = failed.get(&id).filter(|(version, _)| *version == credential.version).map(|(_, at)| *at);
            if self.schedule.renew_at(id, &account, before).is_some_and(|at| at <= now) {
                due.push((id, credential, account));
            }
        }
        due
    }

    async fn renew(&self, id: ClusterId, credential: &Arc<Credential>, account: &Account) -> Outcome {
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
        let moments: Vec<_> =
            (0..1_000).map(|_| schedule.renew_at(ClusterId::generate(), &account(36_000), None).unwrap()).collect();
        assert!(moments.iter().all(|moment| (at(22_680)..=at(25_200)).contains(moment)));
        let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
        assert!((*last - *first).num_seconds() > 2_000, "spread over {}", *last - *first);
    }

    #[test]
    fn after_a_failure_it_is_tried_again_and_more_often_towards_the_end() {
        let (schedule, id) = (Schedule { at_percent: 70 }, ClusterId::generate());
        let again = |failed: i64| schedule.renew_at(id, &account(36_000), Some(at(failed))).unwrap() - at(failed);
        assert_eq!(again(26_000).num_seconds(), 1_000);
        assert_eq!(again(35_900).num_seconds(), 60);
        let long = schedule.renew_at(id, &account(10_000_000), Some(at(7_500_000))).unwrap();
        assert_eq!(long, at(7_503_600));
    }

    #[test]
    fn nothing_is_renewed_where_that_is_switched_off() {
        assert_eq!(Schedule { at_percent: 0 }.renew_at(ClusterId::generate(), &account(600), None), None);
    }

    #[test]
    fn only_what_has_the_form_of_a_token_is_taken() {
        assert!(read_token(br#"{"status":{"token":"e30.e30.c2ln","expirationTimestamp":"x"}}"#).is_some());
        for wrong in [r#"{"status":{"token":""}}"#, r#"{"status":{"token":"a b"}}"#, r#"{"status":{}}"#, "{}", "x"] {
            assert!(read_token(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
