//! Reviews of rights by the hub: may this user do that there? What cannot be asked is not allowed.

use async_trait::async_trait;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::{Api, PostParams};

use super::{Hub, HubError, Reviewed};

/// Something that the hub's rules let users do, or not. Its rules go by names: no such resource has to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Group of the resource, such as `fleetbeat.io`.
    pub group: String,
    /// The resource, such as `clusters`.
    pub resource: String,
    /// What is done with it, such as `get`.
    pub verb: String,
    /// The one of that name only (`resourceNames` of a rule); any of them where there is none.
    pub name: Option<String>,
}

/// Asks the hub about rights.
#[async_trait]
pub trait AskRights: Send + Sync + 'static {
    /// Has this user that right, everywhere on the hub?
    ///
    /// # Errors
    /// When the hub does not say: then nobody has it.
    async fn may(&self, user: &Reviewed, right: &Right) -> Result<bool, HubError>;
}

#[async_trait]
impl AskRights for Hub {
    async fn may(&self, user: &Reviewed, right: &Right) -> Result<bool, HubError> {
        let reviews: Api<SubjectAccessReview> = Api::all(self.client());
        let answer = reviews.create(&PostParams::default(), &asked(user, right)).await?;
        Ok(allows(answer.status))
    }
}

/// The question. All that the hub told of the user is told back: a narrowed token stays narrow.
fn asked(user: &Reviewed, right: &Right) -> SubjectAccessReview {
    let attributes = ResourceAttributes {
        group: Some(right.group.clone()),
        resource: Some(right.resource.clone()),
        verb: Some(right.verb.clone()),
        name: right.name.clone(),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.user.clone()),
        uid: user.uid.clone(),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}

/// Only a plain yes is one. An error beside it says that some rules could not be read, which takes nothing away.
fn allows(status: Option<SubjectAccessReviewStatus>) -> bool {
    status.is_some_and(|status| status.allowed && status.denied != Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Right {
        let name = Some("blue".to_owned());
        Right { group: "fleetbeat.io".to_owned(), resource: "clusters".to_owned(), verb: "get".to_owned(), name }
    }

    #[test]
    fn only_a_plain_yes_is_one() {
        let status = |allowed, denied| SubjectAccessReviewStatus { allowed, denied, ..Default::default() };
        assert!(allows(Some(status(true, None))) && allows(Some(status(true, Some(false)))));
        for no in [None, Some(status(false, None)), Some(status(true, Some(true))), Some(status(false, Some(true)))] {
            assert!(!allows(no.clone()), "{no:?}");
        }
    }

    #[test]
    fn the_question_tells_all_that_the_hub_knows_of_the_user() {
        let user = Reviewed {
            user: "ada".to_owned(),
            uid: Some("1".to_owned()),
            groups: vec!["people".to_owned()],
            extra: [("scopes.authorization.openshift.io".to_owned(), vec!["user:info".to_owned()])].into(),
        };
        let spec = asked(&user, &right()).spec;
        assert_eq!((spec.user.as_deref(), spec.uid, spec.groups), (Some("ada"), user.uid, Some(user.groups)));
        assert_eq!(spec.extra, Some(user.extra));
        let attributes = spec.resource_attributes.expect("a resource");
        assert_eq!((attributes.verb.as_deref(), attributes.namespace), (Some("get"), None));
        assert_eq!(attributes.name.as_deref(), Some("blue"));
    }
}
