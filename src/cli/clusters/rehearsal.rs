//! What an import would do: judged by the same rules as the server's, and by the clusters that it knows. Changes nothing.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use super::list::{Filter, select};
use super::outcome::Item;
use super::{Desk, look};
use crate::cli::error::{CliError, Refusal};
use crate::registration::{self, Change, Spec};

/// Clusters that are read in full at once.
const AT_ONCE: usize = 16;

/// Fields that credentials are bound to.
const BINDS: [&str; 3] = ["api_server_url", "ca_bundle", "tls_server_name"];

/// The clusters that the server knows, as it lists them.
#[derive(Default)]
pub(super) struct Known {
    clusters: Vec<Value>,
    by_name: HashMap<String, usize>,
    by_source: HashMap<String, usize>,
}

impl Known {
    /// Asks the server.
    ///
    /// # Errors
    /// Those of the client.
    pub(super) async fn read(desk: &Desk) -> Result<Self, CliError> {
        Ok(Self::of(select(&desk.client, &Filter::default(), None).await?.clusters))
    }

    fn of(clusters: Vec<Value>) -> Self {
        let by = |place: &str| {
            let key = |(at, cluster): (usize, &Value)| Some((cluster.get(place)?.as_str()?.to_owned(), at));
            clusters.iter().enumerate().filter_map(key).collect()
        };
        Self { by_name: by("name"), by_source: by("source"), clusters }
    }

    /// The cluster of a source.
    pub(super) fn of_source(&self, source: &str) -> Option<&Value> {
        self.by_source.get(source).map(|&at| &self.clusters[at])
    }

    /// The cluster that an item means: that of its source, else that of its name.
    fn meant(&self, item: &Value) -> Option<(usize, Kin)> {
        let text = |field| item.get(field).and_then(Value::as_str);
        let by_source = text("source").and_then(|source| self.by_source.get(source)).map(|&at| (at, Kin::Source));
        by_source.or_else(|| self.by_name.get(text("name")?).map(|&at| (at, Kin::Name)))
    }
}

/// How a known cluster was found.
#[derive(Clone, Copy, PartialEq)]
enum Kin {
    Source,
    Name,
}

/// What would become of clusters.
///
/// # Errors
/// Those of the client.
pub(super) async fn rehearse(desk: &Desk, clusters: &[Value], known: &Known) -> Result<Vec<Item>, CliError> {
    let full = read_in_full(desk, clusters, known).await?;
    let mut seen = HashSet::new();
    Ok(clusters.iter().map(|cluster| judge(cluster, known, &full, &mut seen)).collect())
}

/// The clusters that are meant and whose bundle counts, which lists leave out.
async fn read_in_full(desk: &Desk, items: &[Value], known: &Known) -> Result<HashMap<usize, Value>, CliError> {
    let bundled = items.iter().filter(|item| item.get("ca_bundle").is_some());
    let reads = bundled.filter_map(|item| known.meant(item)).map(|(at, _)| async move {
        let path = format!("/api/v1/clusters/{}", look::text(&known.clusters[at], "/id"));
        desk.client.get(&path).await.map(|answer| (at, answer.json))
    });
    stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
}

fn judge(item: &Value, known: &Known, full: &HashMap<usize, Value>, seen: &mut HashSet<String>) -> Item {
    let fields = item.as_object().cloned().unwrap_or_default();
    let name = look::text(item, "/name");
    let Some((at, kin)) = known.meant(item) else {
        return match Spec::read(fields) {
            Ok(_) if !seen.insert(name.clone()) => Item::failed(name, "name: occurs twice in this import".to_owned()),
            Ok(_) => Item::settled(&name, "would be created"),
            Err(invalid) => Item::invalid(name, &invalid),
        };
    };
    let cluster = full.get(&at).unwrap_or(&known.clusters[at]);
    let theirs = look::text(cluster, "/name");
    if kin == Kin::Name {
        let source = cluster.get("source").and_then(Value::as_str);
        if let Err(foreign) = registration::claim(&fields, &name, source, &look::text(cluster, "/api_server_url")) {
            let refusal = Refusal::told("CLUSTER_ALREADY_EXISTS", foreign.to_string());
            return Item { refusal: Some(refusal), ..Item::settled(&name, "failed") };
        }
    }
    would_change(fields, cluster, theirs)
}

fn would_change(mut fields: Map<String, Value>, cluster: &Value, name: String) -> Item {
    fields.remove("name");
    let id = || Some(look::text(cluster, "/id"));
    let spec = Spec::told(cluster.as_object().unwrap_or(&Map::new()));
    match spec.and_then(|spec| Change::Fields(fields).onto(&spec)) {
        Ok((_, changed)) if changed.is_empty() => Item { id: id(), ..Item::settled(&name, "unchanged") },
        // Where it moves, its credentials go: there is nothing yet to try the new ones on.
        Ok((_, changed)) if changed.iter().any(|field| BINDS.contains(&field.as_str())) => {
            Item::settled(&name, "would change")
        }
        Ok(_) => Item { id: id(), ..Item::settled(&name, "would change") },
        Err(invalid) => Item::invalid(name, &invalid),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known() -> Known {
        Known::of(vec![
            json!({ "id": "1", "name": "prod", "api_server_url": "https://a:6443", "source": "capi:hub/ns/prod",
                "generation": 3, "status": {}, "labels": {}, "endpoints": {}, "health_check": {} }),
            json!({ "id": "2", "name": "hand-made", "api_server_url": "https://b:6443", "labels": {},
                "endpoints": {}, "health_check": {} }),
        ])
    }

    fn judged(item: Value) -> (String, String) {
        let item = judge(&item, &known(), &HashMap::new(), &mut HashSet::new());
        (item.name, item.result)
    }

    fn item(name: &str, url: &str, source: &str) -> Value {
        json!({ "name": name, "api_server_url": url, "source": source })
    }

    #[test]
    fn what_is_known_by_its_source_keeps_its_name() {
        let same = judged(item("renamed", "https://a:6443", "capi:hub/ns/prod"));
        assert_eq!(same, ("prod".to_owned(), "unchanged".to_owned()));
        let moved = judged(item("renamed", "https://c:6443", "capi:hub/ns/prod"));
        assert_eq!(moved, ("prod".to_owned(), "would change".to_owned()));
    }

    #[test]
    fn a_name_from_elsewhere_is_a_conflict() {
        assert_eq!(judged(item("prod", "https://a:6443", "argocd:hub/argocd/prod")).1, "failed");
        assert_eq!(judged(item("hand-made", "https://c:6443", "argocd:hub/argocd/x")).1, "failed");
        assert_eq!(judged(item("hand-made", "https://b:6443", "argocd:hub/argocd/x")).1, "would change");
        assert_eq!(judged(item("new", "https://c:6443", "argocd:hub/argocd/new")).1, "would be created");
    }
}
