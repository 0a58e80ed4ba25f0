//! Labels of a hub's objects that say something about a cluster, and words of the hub's own. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::registration::validate;

/// The labels of an object that are worth to carry over: fit ones, without those of the keeper's own machinery.
pub(super) fn carried(labels: Option<&BTreeMap<String, String>>, is_machinery: impl Fn(&str) -> bool) -> Value {
    let labels = labels.into_iter().flatten().filter(|(key, value)| {
        !is_machinery(key) && validate::label_key(key).is_ok() && validate::label_value(value).is_ok()
    });
    labels
        .take(validate::MAX_LABELS)
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect::<Map<_, _>>()
        .into()
}

/// The domain of a label's key; nothing where it has none.
pub(super) fn domain(key: &str) -> &str {
    key.split_once('/').map_or("", |(domain, _)| domain)
}

/// Adds what a registered cluster has of labels besides those of the hub: an import takes no label away.
pub(super) fn keep(fields: &mut Map<String, Value>, known: Option<&Value>) {
    let Some(theirs) = known.and_then(|cluster| cluster.get("labels")).and_then(Value::as_object) else { return };
    let own = fields.entry("labels").or_insert_with(|| Map::new().into());
    if let Value::Object(own) = own {
        for (key, value) in theirs {
            own.entry(key).or_insert_with(|| value.clone());
        }
    }
}

/// The name of a namespace.
pub(super) fn dns_label(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let valid = (1..=63).contains(&text.len()) && text.bytes().all(fits);
    if valid { Ok(text.to_owned()) } else { Err("is not the name of a namespace".to_owned()) }
}

/// What a hub may be called.
pub(super) fn hub_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let valid = (1..=63).contains(&text.len()) && text.bytes().all(fits);
    if valid { Ok(text.to_owned()) } else { Err("must be 1 to 63 letters, digits, '.', '_' or '-'".to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_fit_labels_of_people_are_carried_over() {
        let labels = [("team", "core"), ("argocd.argoproj.io/secret-type", "cluster"), ("x/y", "not fit!"), ("-", "x")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(carried(Some(&labels), |key| domain(key) == "argocd.argoproj.io"), json!({ "team": "core" }));
        assert_eq!(carried(None, |_| false), json!({}));
    }

    #[test]
    fn labels_given_to_a_registered_cluster_stay() {
        let known = json!({ "labels": { "team": "old", "mine": "1" } });
        let mut fields = Map::from_iter([("labels".to_owned(), json!({ "team": "core" }))]);
        keep(&mut fields, Some(&known));
        assert_eq!(fields["labels"], json!({ "team": "core", "mine": "1" }));
        let mut fields = Map::new();
        keep(&mut fields, None);
        assert_eq!(fields, Map::new());
    }
}
