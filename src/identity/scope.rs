//! Scopes: which clusters a caller may see. Whatever is outside does not exist for that caller.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use fleetbeat_actors::{
    board::Board,
    event::Event,
    roll::{Cluster, ClusterId},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::selector::Selector;

/// Most clusters that a scope names.
pub(super) const MAX_CLUSTERS: usize = 1_000;
/// Most scopes that add up to one.
const MAX_PARTS: usize = 256;

/// Which clusters a caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All, and what concerns the fleet as a whole.
    Everything,
    /// These.
    Clusters(BTreeSet<ClusterId>),
    /// Those whose labels match.
    Labels {
        /// As it was written.
        text: String,
        /// As it is understood.
        selector: Selector,
    },
    /// Whatever any of these lets see; at least two, none of them [`Scope::Everything`] or a list of its own.
    Any(Vec<Scope>),
}

impl Scope {
    /// Is this cluster inside?
    pub fn admits(&self, cluster: &Cluster) -> bool {
        match self {
            Self::Everything => true,
            Self::Clusters(ids) => ids.contains(&cluster.id),
            Self::Labels { selector, .. } => selector.matches(&cluster.labels),
            Self::Any(parts) => parts.iter().any(|part| part.admits(cluster)),
        }
    }

    /// May this event be seen? With a label selector both the labels that the event tells of and those of now have to
    /// match; of a cluster that is gone only events that tell its labels are shown.
    pub fn admits_event(&self, event: &Event, board: &Board) -> bool {
        let labels = OnceCell::new();
        self.admits_told(event.cluster_id, &|| labels.get_or_init(|| labels_in(&event.payload)).as_ref(), board)
    }

    /// The same for an event about this cluster that tells these labels; they are asked for only where it matters.
    pub fn admits_told<'a>(
        &self,
        cluster_id: ClusterId,
        labels: &dyn Fn() -> Option<&'a BTreeMap<String, String>>,
        board: &Board,
    ) -> bool {
        match self {
            Self::Everything => true,
            Self::Clusters(ids) => ids.contains(&cluster_id),
            Self::Labels { selector, .. } => {
                let now = board.get(cluster_id).map(|entry| selector.matches(&entry.cluster.labels));
                let then = labels().map(|labels| selector.matches(labels));
                match (now, then) {
                    (None, None) => false,
                    (now, then) => now.unwrap_or(true) && then.unwrap_or(true),
                }
            }
            Self::Any(parts) => parts.iter().any(|part| part.admits_told(cluster_id, labels, board)),
        }
    }

    /// The clusters that it names by their ids.
    pub fn named(&self) -> BTreeSet<ClusterId> {
        match self {
            Self::Clusters(ids) => ids.clone(),
            Self::Any(parts) => parts.iter().flat_map(Self::named).collect(),
            Self::Everything | Self::Labels { .. } => BTreeSet::new(),
        }
    }

    /// Do labels matter, so that it may have events of clusters that are gone?
    pub fn goes_by_labels(&self) -> bool {
        match self {
            Self::Labels { .. } => true,
            Self::Any(parts) => parts.iter().any(Self::goes_by_labels),
            Self::Everything | Self::Clusters(_) => false,
        }
    }

    /// Does it leave nothing out?
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }

    /// The scope on the wire and in the store.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Everything => json!({ "everything": true }),
            Self::Clusters(ids) => json!({ "cluster_ids": ids }),
            Self::Labels { text, .. } => json!({ "label_selector": text }),
            Self::Any(parts) => json!({ "any_of": parts.iter().map(Self::to_json).collect::<Vec<_>>() }),
        }
    }

    /// Reads what [`Scope::to_json`] writes.
    ///
    /// # Errors
    /// In words, what is wrong.
    pub fn read(value: &Value) -> Result<Self, String> {
        let wrong = "must have one of everything, cluster_ids, label_selector and any_of";
        let document = Document::deserialize(value).map_err(|_| wrong)?;
        match document {
            Document { any_of: Some(parts), everything: None, cluster_ids: None, label_selector: None } => {
                let fits =
                    (1..=MAX_PARTS).contains(&parts.len()) && parts.iter().all(|part| part.get("any_of").is_none());
                let parts: Result<_, _> = parts.iter().map(Self::read).collect();
                if fits { parts.map(Self::any) } else { Err(format!("any_of must have 1 to {MAX_PARTS} plain scopes")) }
            }
            Document { any_of: Some(_), .. } => Err(wrong.to_owned()),
            Document { everything: Some(true), cluster_ids: None, label_selector: None, .. } => Ok(Self::Everything),
            Document { everything: None, cluster_ids: Some(ids), label_selector: None, .. } => Self::clusters(&ids),
            Document { everything: None, cluster_ids: None, label_selector: Some(text), .. } => Self::labels(text),
            _ => Err(wrong.to_owned()),
        }
    }

    /// What these let see together. Of none: nothing.
    pub fn any(parts: Vec<Self>) -> Self {
        let (mut ids, mut others) = (BTreeSet::new(), Vec::new());
        for part in parts {
            match part {
                Self::Everything => return Self::Everything,
                Self::Clusters(more) => ids.extend(more),
                Self::Any(more) => others.extend(more),
                part if others.contains(&part) => {}
                part => others.push(part),
            }
        }
        if !ids.is_empty() || others.is_empty() {
            others.push(Self::Clusters(ids));
        }
        if others.len() == 1 { others.remove(0) } else { Self::Any(others) }
    }

    /// The clusters of these ids.
    ///
    /// # Errors
    /// When there is none, too many, or one is no UUID.
    pub fn clusters(ids: &[impl AsRef<str>]) -> Result<Self, String> {
        if ids.is_empty() || ids.len() > MAX_CLUSTERS {
            return Err(format!("cluster_ids must have 1 to {MAX_CLUSTERS} items"));
        }
        let id = |text: &str| (text.len() == 36).then(|| text.parse().ok()).flatten();
        let ids: Option<BTreeSet<ClusterId>> = ids.iter().map(|text| id(text.as_ref())).collect();
        match ids {
            Some(ids) if !ids.contains(&ClusterId::FLEET) => Ok(Self::Clusters(ids)),
            _ => Err("cluster_ids must be ids of clusters (UUIDs)".to_owned()),
        }
    }

    /// The clusters that a label selector matches.
    ///
    /// # Errors
    /// When it cannot be read, or requires nothing.
    pub fn labels(text: String) -> Result<Self, String> {
        let selector: Selector = text.parse().map_err(|wrong| format!("label_selector {wrong}"))?;
        if selector == Selector::default() {
            return Err("label_selector must require something".to_owned());
        }
        Ok(Self::Labels { text, selector })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    everything: Option<bool>,
    cluster_ids: Option<Vec<String>>,
    label_selector: Option<String>,
    any_of: Option<Vec<Value>>,
}

/// The labels that an event tells, where it does.
fn labels_in(payload: &str) -> Option<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Told {
        labels: Option<BTreeMap<String, String>>,
    }
    serde_json::from_str::<Told>(payload).ok()?.labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_what_it_writes() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        for scope in [
            Scope::Everything,
            Scope::clusters(&[id]).expect("one id"),
            Scope::labels("env in (lab,prod)".to_owned()).expect("a selector"),
            Scope::any(vec![
                Scope::labels("env=lab".to_owned()).expect("a selector"),
                Scope::clusters(&[id]).expect("one id"),
            ]),
        ] {
            assert_eq!(Scope::read(&scope.to_json()), Ok(scope));
        }
    }

    #[test]
    fn scopes_add_up_to_the_plainest_that_says_the_same() {
        let (one, other) = ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440001");
        let ids = |ids: &[&str]| Scope::clusters(ids).expect("ids");
        let blue = || Scope::labels("team=blue".to_owned()).expect("a selector");
        assert_eq!(Scope::any(vec![blue(), Scope::Everything]), Scope::Everything);
        assert_eq!(Scope::any(vec![ids(&[one]), ids(&[other])]), ids(&[one, other]));
        assert_eq!(Scope::any(vec![blue(), blue()]), blue());
        assert_eq!(Scope::any(vec![]), Scope::Clusters(BTreeSet::new()));
        assert_eq!(Scope::any(vec![ids(&[one]), blue()]), Scope::Any(vec![blue(), ids(&[one])]));
    }

    #[test]
    fn a_scope_that_says_nothing_or_two_things_is_refused() {
        for bad in [
            json!({}),
            json!({ "everything": false }),
            json!({ "cluster_ids": [] }),
            json!({ "cluster_ids": ["x"] }),
            json!({ "cluster_ids": ["00000000-0000-0000-0000-000000000000"] }),
            json!({ "label_selector": "" }),
            json!({ "label_selector": " " }),
            json!({ "everything": true, "label_selector": "a=b" }),
            json!({ "all": true }),
            json!({ "any_of": [] }),
            json!({ "any_of": [{ "everything": true }], "everything": true }),
            json!({ "any_of": [{ "any_of": [{ "everything": true }] }] }),
            json!("everything"),
        ] {
            assert!(Scope::read(&bad).is_err(), "{bad}");
        }
    }
}
