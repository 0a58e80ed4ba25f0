//! What the account of a cluster may not do that fleetbeat would want: asked of the cluster itself, by
//! SelfSubjectAccessReview, for each probe, each step of discovery, and the renewal of tokens.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{ask::Question, gap::Gap, interview::Interview, read};
use crate::credentials::Account;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Something that an account should be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    wanted_for: &'static str,
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
}

const fn list(wanted_for: &'static str, group: &'static str, resource: &'static str) -> Need {
    Need { wanted_for, verb: "list", group, resource }
}

const NEEDS: [Need; 9] = [
    list("probe:api_server", "", "namespaces"),
    list("discovery:namespaces", "", "namespaces"),
    list("discovery:nodes", "", "nodes"),
    list("discovery:pods", "", "pods"),
    list("discovery:services", "", "services"),
    list("discovery:sriov", "sriovnetwork.openshift.io", "sriovnetworknodepolicies"),
    list("discovery:ptp", "ptp.openshift.io", "ptpconfigs"),
    list("discovery:routes", "route.openshift.io", "routes"),
    Need { wanted_for: "discovery:platform", verb: "get", group: "config.openshift.io", resource: "clusterversions" },
];

/// A permission that is lacking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LackingPermission)]
pub struct Lacking {
    /// What it is wanted for: `probe:api_server`, `discovery:nodes`, `renewal`, …
    pub wanted_for: String,
    /// Verb of Kubernetes.
    pub verb: String,
    /// Group of the API, empty for the core.
    pub group: String,
    /// Resource, with its subresource.
    pub resource: String,
    /// Namespace, where it is wanted in one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub namespace: Option<String>,
}

/// What was found out about permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// These are lacking, of all that were asked for.
    Known(Vec<Lacking>),
    /// The cluster did not say.
    Unknown(Gap),
}

/// Asks the cluster what its account may not do. `account` is the service account whose token could be renewed, if any.
pub async fn lacking(interview: &mut Interview, account: Option<&Account>) -> Permissions {
    let mut lacking = Vec::new();
    for need in NEEDS {
        match allowed(interview, need, None).await {
            Ok(true) => {}
            Ok(false) => lacking.push(need.lacking()),
            Err(gap) => return Permissions::Unknown(gap),
        }
    }
    if let Some(account) = account {
        let need = Need { wanted_for: "renewal", verb: "create", group: "", resource: "serviceaccounts/token" };
        match allowed(interview, need, Some(account)).await {
            Ok(true) => {}
            Ok(false) => lacking.push(Lacking { namespace: Some(account.namespace.clone()), ..need.lacking() }),
            Err(gap) => return Permissions::Unknown(gap),
        }
    }
    Permissions::Known(lacking)
}

async fn allowed(interview: &mut Interview, need: Need, of: Option<&Account>) -> Result<bool, Gap> {
    let (resource, subresource) = need.resource.split_once('/').unwrap_or((need.resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": {
            "verb": need.verb,
            "group": need.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": of.map(|account| account.namespace.as_str()).unwrap_or_default(),
            "name": of.map(|account| account.name.as_str()).unwrap_or_default(),
        } },
    });
    interview.learn(Question::post(REVIEWS, &review), read::allowed).await
}

impl Need {
    fn lacking(self) -> Lacking {
        Lacking {
            wanted_for: self.wanted_for.to_owned(),
            verb: self.verb.to_owned(),
            group: self.group.to_owned(),
            resource: self.resource.to_owned(),
            namespace: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::discovery::{interview::Budget, testing::Scripted};

    const BUDGET: Budget = Budget { time: Duration::from_secs(5), bytes: 100_000, questions: 50 };

    async fn with(answer: impl Fn(&serde_json::Value) -> (u16, String) + Send + 'static) -> Permissions {
        let account = Account {
            namespace: "fleetbeat".to_owned(),
            name: "spoke".to_owned(),
            issued: chrono::DateTime::UNIX_EPOCH,
            expires: chrono::DateTime::UNIX_EPOCH,
        };
        let scripted = Scripted::conversation(move |question| {
            assert_eq!(question.path, REVIEWS);
            let body: serde_json::Value = serde_json::from_slice(question.body.as_ref().unwrap()).unwrap();
            Ok(answer(&body["spec"]["resourceAttributes"]))
        });
        lacking(&mut Interview::begin(scripted, BUDGET), Some(&account)).await
    }

    #[tokio::test]
    async fn what_is_not_allowed_is_listed() {
        let found = with(|asked| {
            let allowed = asked["resource"] == "namespaces" || asked["resource"] == "pods";
            (201, json!({ "status": { "allowed": allowed, "reason": "<b>" } }).to_string())
        })
        .await;
        let Permissions::Known(lacking) = found else { panic!("{found:?}") };
        let words: Vec<_> = lacking.iter().map(|one| one.wanted_for.as_str()).collect();
        let discovery =
            ["nodes", "services", "sriov", "ptp", "routes", "platform"].map(|step| format!("discovery:{step}"));
        assert_eq!(words[..6], discovery);
        assert_eq!((words[6], lacking[6].namespace.as_deref()), ("renewal", Some("fleetbeat")));
    }

    #[tokio::test]
    async fn a_cluster_that_does_not_say_leaves_it_unknown() {
        assert_eq!(with(|_| (404, String::new())).await, Permissions::Unknown(Gap::Absent));
        assert_eq!(with(|_| (201, "{}".to_owned())).await, Permissions::Unknown(Gap::Malformed));
    }
}
