//! How a spec is changed: `PUT` replaces the fields it carries, `PATCH` is a JSON merge patch. Pure.

use fleetbeat_actors::roll::Cluster;
use serde_json::{Map, Value};

use super::{invalid::Invalid, spec::Spec};

/// A change as a caller asks for it.
#[derive(Clone, Debug)]
pub enum Change {
    /// Each field carried replaces the whole field; `null` sets it back to its default.
    Fields(Map<String, Value>),
    /// RFC 7396: objects are merged into each other, `null` removes.
    Merge(Map<String, Value>),
}

impl Change {
    /// The spec after the change, and which fields differ.
    ///
    /// # Errors
    /// Whatever [`Spec::read`] finds wrong with the result; a name that would change.
    pub fn apply(self, cluster: &Cluster) -> Result<(Spec, Vec<String>), Invalid> {
        self.onto(&Spec::of(cluster))
    }

    /// As [`Change::apply`], for what is known of a cluster's spec.
    ///
    /// # Errors
    /// As for [`Change::apply`].
    pub fn onto(self, spec: &Spec) -> Result<(Spec, Vec<String>), Invalid> {
        let before = spec.to_map();
        let mut map = before.clone();
        match self {
            Self::Fields(fields) => map.extend(fields),
            Self::Merge(patch) => merge(&mut map, patch),
        }
        if map.get("name").is_some_and(|name| name != &spec.name) {
            return Err(Invalid::one("name", "never changes; delete the cluster and register it anew"));
        }
        let after = Spec::read(map)?;
        let shown = after.to_map();
        let changed = shown.iter().filter(|(field, value)| before.get(*field) != Some(value));
        Ok((after.clone(), changed.map(|(field, _)| field.clone()).collect()))
    }
}

fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (field, value) in patch {
        match value {
            Value::Null => drop(target.remove(&field)),
            Value::Object(patch) => {
                let inner = target.entry(field).or_insert_with(|| Value::Object(Map::new()));
                if !inner.is_object() {
                    *inner = Value::Object(Map::new());
                }
                if let Value::Object(inner) = inner {
                    merge(inner, patch);
                }
            }
            other => drop(target.insert(field, other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn cluster() -> Cluster {
        let given = json!({
            "name": "abc", "api_server_url": "https://a:6443", "region": "eu", "labels": {"a": "1", "b": "2"},
            "endpoints": {"loki_url": "http://l", "tempo_url": "http://t"},
        });
        Spec::read(given.as_object().unwrap().clone()).unwrap().enrol(DateTime::UNIX_EPOCH, None)
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_put_replaces_whole_fields_and_leaves_the_others() {
        let (spec, changed) =
            Change::Fields(object(json!({"labels": {"c": "3"}, "region": null}))).apply(&cluster()).unwrap();
        assert_eq!(spec.labels.into_iter().collect::<Vec<_>>(), [("c".to_owned(), "3".to_owned())]);
        assert_eq!((spec.region, changed), (None, vec!["labels".to_owned(), "region".to_owned()]));
        assert_eq!(spec.endpoints, cluster().endpoints);
    }

    #[test]
    fn a_merge_patch_merges_and_null_removes() {
        let patch = json!({"labels": {"a": null, "c": "3"}, "endpoints": {"loki_url": null}});
        let (spec, changed) = Change::Merge(object(patch)).apply(&cluster()).unwrap();
        assert_eq!(spec.labels.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!((spec.endpoints.loki_url, changed.len()), (None, 2));
    }

    #[test]
    fn a_change_that_changes_nothing_is_seen() {
        let same = json!({"region": "eu", "labels": {"b": "2"}});
        assert_eq!(Change::Merge(object(same)).apply(&cluster()).unwrap().1, Vec::<String>::new());
    }

    #[test]
    fn the_name_never_changes_and_required_fields_stay() {
        assert!(Change::Fields(object(json!({"name": "xyz"}))).apply(&cluster()).is_err());
        assert!(Change::Merge(object(json!({"name": null}))).apply(&cluster()).is_err());
        assert!(Change::Merge(object(json!({"api_server_url": null}))).apply(&cluster()).is_err());
        assert!(Change::Fields(object(json!({"name": "abc"}))).apply(&cluster()).is_ok());
    }
}
