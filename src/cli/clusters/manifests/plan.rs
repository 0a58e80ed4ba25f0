//! What has to be done so that the fleet is as files want it. Decides; does nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::files::Wanted;
use crate::cli::error::Refusal;
use crate::cli::paint::Paint;
use crate::registration::Spec;

/// What to do with one cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Register it.
    Create,
    /// Change these fields.
    Change(Vec<Difference>),
    /// Nothing.
    Keep,
    /// Remove it, by its id.
    Remove(String),
    /// Nothing can be done: what the file says is wrong.
    Wrong(Refusal),
}

/// A field that would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its name.
    pub field: String,
    /// What it is.
    pub before: Value,
    /// What it would be.
    pub after: Value,
}

/// What to do, by the names of clusters.
pub type Plan = BTreeMap<String, Step>;

/// Compares files with the fleet: `known` has the clusters that the server knows, in full where a file wants them. With
/// `prune`, those of `prunable` that no file wants are to be removed.
pub fn plan(wanted: &[Wanted], known: &BTreeMap<String, Value>, prunable: Option<&BTreeMap<String, String>>) -> Plan {
    let mut plan: Plan =
        wanted.iter().map(|wanted| (wanted.name.clone(), step(wanted, known.get(&wanted.name)))).collect();
    let names: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    let surplus = prunable.into_iter().flatten().filter(|(name, _)| !names.contains(name.as_str()));
    plan.extend(surplus.map(|(name, id)| (name.clone(), Step::Remove(id.clone()))));
    plan
}

fn step(wanted: &Wanted, known: Option<&Value>) -> Step {
    let Some(known) = known else {
        return Spec::read(wanted.fields.clone())
            .map_or_else(|invalid| Step::Wrong(Refusal::of_invalid(&invalid)), |_| Step::Create);
    };
    let before = match Spec::told(known.as_object().unwrap_or(&Map::new())) {
        Ok(spec) => spec.to_map(),
        Err(invalid) => return Step::Wrong(Refusal::of_invalid(&invalid)),
    };
    let mut fields: Map<String, Value> = before.clone();
    fields.extend(wanted.fields.clone());
    let after = match Spec::read(fields) {
        Ok(spec) => spec.to_map(),
        Err(invalid) => return Step::Wrong(Refusal::of_invalid(&invalid)),
    };
    let changed = after.into_iter().filter_map(|(field, after)| {
        let before = before.get(&field).cloned().unwrap_or_default();
        (before != after).then_some(Difference { field, before, after })
    });
    let changed: Vec<Difference> = changed.collect();
    if changed.is_empty() { Step::Keep } else { Step::Change(changed) }
}

impl Step {
    /// Does it change anything?
    pub fn differs(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// Lines for people: the name with a mark before it, and every field that differs.
    pub fn lines(&self, name: &str, paint: Paint) -> Vec<String> {
        let head = |mark: String| format!("{mark} {}", paint.strong(name));
        match self {
            Self::Create => vec![head(paint.good("+"))],
            Self::Remove(_) => vec![head(paint.bad("-"))],
            Self::Keep => Vec::new(),
            Self::Wrong(refusal) => {
                let told = refusal.details.iter().map(|(field, message)| format!("    {field}: {message}"));
                std::iter::once(head(paint.bad("!"))).chain(told).collect()
            }
            Self::Change(differences) => {
                let told = differences.iter().map(|different| different.line(paint));
                std::iter::once(head(paint.warn("~"))).chain(told).collect()
            }
        }
    }

    /// The fields that differ, for programs.
    pub fn differences(&self) -> &[Difference] {
        if let Self::Change(differences) = self { differences } else { &[] }
    }

    /// What was done, or would be.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change(_) => "change",
            Self::Keep => "keep",
            Self::Remove(_) => "remove",
            Self::Wrong(_) => "wrong",
        }
    }
}

impl Difference {
    fn line(&self, paint: Paint) -> String {
        let shown = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            Value::String(text) if text.contains('\n') => format!("({} lines)", text.lines().count()),
            Value::Object(map) => {
                let told: Map<_, _> =
                    map.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
                Value::from(told).to_string()
            }
            other => other.to_string(),
        };
        let (before, after) = (shown(&self.before), shown(&self.after));
        format!("    {}: {} {} {}", self.field, paint.bad(&before), paint.faint("→"), paint.good(&after))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(fields: Value) -> Wanted {
        let fields = fields.as_object().unwrap().clone();
        Wanted { name: fields["name"].as_str().unwrap().to_owned(), fields }
    }

    fn known() -> BTreeMap<String, Value> {
        let cluster = json!({
            "id": "1", "name": "abc", "api_server_url": "https://a:6443", "region": "eu", "labels": {"team": "core"},
            "generation": 3, "status": {"state": "ONLINE"}, "health_check": {}, "endpoints": {},
        });
        BTreeMap::from([("abc".to_owned(), cluster)])
    }

    #[test]
    fn what_a_file_leaves_out_stays_and_what_it_says_counts() {
        let same = wanted(json!({"name": "abc", "api_server_url": "https://a:6443"}));
        assert_eq!(plan(&[same], &known(), None)["abc"], Step::Keep);
        let other = wanted(json!({"name": "abc", "region": null, "labels": {"team": "edge"}}));
        let plan = plan(&[other], &known(), None);
        assert_eq!(
            plan["abc"].differences().iter().map(|d| d.field.as_str()).collect::<Vec<_>>(),
            ["labels", "region"]
        );
        assert_eq!(
            plan["abc"].lines("abc", Paint::PLAIN),
            ["~ abc", "    labels: {\"team\":\"core\"} → {\"team\":\"edge\"}", "    region: \"eu\" → nothing"]
        );
    }

    #[test]
    fn an_unknown_cluster_is_created_and_a_wrong_one_told() {
        let new = wanted(json!({"name": "new", "api_server_url": "https://n:6443"}));
        let wrong = wanted(json!({"name": "wrong", "api_server_url": "ftp://n", "colour": "red"}));
        let plan = plan(&[new, wrong], &known(), None);
        assert_eq!(plan["new"], Step::Create);
        let Step::Wrong(refusal) = &plan["wrong"] else { panic!("{:?}", plan["wrong"]) };
        assert_eq!(refusal.details.len(), 2);
    }

    #[test]
    fn only_pruning_removes() {
        let prunable = BTreeMap::from([("abc".to_owned(), "1".to_owned())]);
        assert!(plan(&[], &known(), None).is_empty());
        assert_eq!(plan(&[], &known(), Some(&prunable))["abc"], Step::Remove("1".to_owned()));
        let kept = wanted(json!({"name": "abc"}));
        assert_eq!(plan(&[kept], &known(), Some(&prunable))["abc"], Step::Keep);
    }
}
