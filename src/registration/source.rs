//! Where clusters were imported from: which registered cluster an item of an import means. Pure.

use std::collections::HashMap;

use fleetbeat_actors::{board::Board, roll::ClusterId};
use serde_json::{Map, Value};

/// A name that an import may not have: it is that of a cluster from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// The cluster was imported from another source.
    #[error("a cluster named '{name}' is registered already, imported from {source_key}")]
    Source {
        /// Its name.
        name: String,
        /// Where it was imported from.
        source_key: String,
    },
    /// The cluster was registered by itself, at another address.
    #[error("a cluster named '{0}' is registered already, at another address, and was not imported")]
    Address(String),
}

/// May an item of an import change the cluster that has its name? One without a source may; one with a source only a cluster
/// of that source, or one of none that is at the same address.
///
/// # Errors
/// [`Foreign`] when it may not.
pub fn claim(item: &Map<String, Value>, name: &str, source: Option<&str>, api_server_url: &str) -> Result<(), Foreign> {
    let told = |field: &str| item.get(field).and_then(Value::as_str);
    match (told("source"), source) {
        (None, _) => Ok(()),
        (Some(own), Some(theirs)) if own == theirs => Ok(()),
        (Some(_), Some(theirs)) => Err(Foreign::Source { name: name.to_owned(), source_key: theirs.to_owned() }),
        (Some(_), None) if told("api_server_url").is_some_and(|url| same_place(url, api_server_url)) => Ok(()),
        (Some(_), None) => Err(Foreign::Address(name.to_owned())),
    }
}

fn same_place(one: &str, other: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').to_ascii_lowercase();
    plain(one) == plain(other)
}

/// The source of an item, where it has one.
pub(super) fn of(item: &Map<String, Value>) -> Option<&str> {
    item.get("source").and_then(Value::as_str)
}

/// The cluster of every source on the board; of none when nothing asks for it.
pub(super) fn known<'a>(board: &Board, mut asked: impl Iterator<Item = Option<&'a str>>) -> HashMap<String, ClusterId> {
    let mut known = HashMap::new();
    if asked.any(|source| source.is_some()) {
        board.each(|entry| {
            known.extend(entry.cluster.source.clone().map(|source| (source, entry.cluster.id)));
        });
    }
    known
}

/// Does a cluster other than `own` have this source?
pub(super) fn is_taken(board: &Board, source: &str, own: ClusterId) -> bool {
    let mut is_taken = false;
    board.each(|entry| is_taken |= entry.cluster.id != own && entry.cluster.source.as_deref() == Some(source));
    is_taken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claimed(item: Value, source: Option<&str>) -> Result<(), Foreign> {
        claim(item.as_object().unwrap(), "prod", source, "https://a.example:6443")
    }

    #[test]
    fn a_cluster_of_another_source_keeps_its_name() {
        let item = json!({ "name": "prod", "source": "capi:hub/ns/prod", "api_server_url": "https://a.example:6443" });
        assert_eq!(claimed(item.clone(), Some("capi:hub/ns/prod")), Ok(()));
        let refused = claimed(item, Some("argocd:hub/argocd/prod")).unwrap_err();
        assert!(refused.to_string().contains("argocd:hub/argocd/prod"), "{refused}");
    }

    #[test]
    fn a_cluster_registered_by_hand_is_taken_over_at_the_same_address_only() {
        let item = |url: &str| json!({ "name": "prod", "source": "capi:hub/ns/prod", "api_server_url": url });
        assert_eq!(claimed(item("https://A.example:6443/"), None), Ok(()));
        assert_eq!(claimed(item("https://b.example:6443"), None), Err(Foreign::Address("prod".to_owned())));
        assert_eq!(
            claimed(json!({ "name": "prod" }), Some("capi:hub/ns/prod")),
            Ok(()),
            "a file names clusters itself"
        );
    }
}
