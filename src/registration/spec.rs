//! A cluster's spec: the part of it that callers decide. Reading it from JSON is where all input is checked.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::{CheckOverrides, Cluster, ClusterId, ClusterType, Endpoints, Environment, Platform};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    invalid::Invalid,
    reader::{Reader, kind},
    validate,
};

/// Fields of a cluster that only the registry sets.
const READ_ONLY: [&str; 9] =
    ["id", "status", "capabilities", "generation", "created_by", "created_at", "updated_at", "last_seen_at", "check"];

/// Fields that callers decide.
const FIELDS: [&str; 14] = [
    "name",
    "display_name",
    "api_server_url",
    "cluster_type",
    "platform",
    "platform_version",
    "region",
    "environment",
    "labels",
    "endpoints",
    "ca_bundle",
    "tls_server_name",
    "health_check",
    "source",
];

/// What callers decide about a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// See [`Cluster::name`].
    pub name: String,
    /// See [`Cluster::display_name`].
    pub display_name: Option<String>,
    /// See [`Cluster::api_server_url`].
    pub api_server_url: String,
    /// See [`Cluster::cluster_type`]; SPOKE when left out.
    pub cluster_type: ClusterType,
    /// See [`Cluster::platform`]; OPENSHIFT when left out.
    pub platform: Platform,
    /// See [`Cluster::platform_version`].
    pub platform_version: Option<String>,
    /// See [`Cluster::region`].
    pub region: Option<String>,
    /// See [`Cluster::environment`]; DEVELOPMENT when left out.
    pub environment: Environment,
    /// See [`Cluster::labels`].
    pub labels: BTreeMap<String, String>,
    /// See [`Cluster::endpoints`].
    pub endpoints: Endpoints,
    /// See [`Cluster::ca_bundle`].
    pub ca_bundle: Option<String>,
    /// See [`Cluster::tls_server_name`].
    pub tls_server_name: Option<String>,
    /// See [`Cluster::health_check`].
    pub health_check: CheckOverrides,
    /// See [`Cluster::source`].
    pub source: Option<String>,
}

impl Spec {
    /// Reads and checks a whole spec. Fields left out or `null` have their defaults.
    ///
    /// # Errors
    /// Every field that is wrong, unknown or missing.
    pub fn read(map: Map<String, Value>) -> Result<Self, Invalid> {
        let mut reader = Reader::new(map, "");
        let (name, bad_name) = read_name(&mut reader);
        let api_server_url = required(&mut reader, "api_server_url", validate::url);
        let spec = Self {
            name: name.unwrap_or_default(),
            display_name: reader.text("display_name", |text| validate::text(text, 128)),
            api_server_url: api_server_url.unwrap_or_default(),
            cluster_type: reader.word("cluster_type").unwrap_or(ClusterType::Spoke),
            platform: reader.word("platform").unwrap_or(Platform::Openshift),
            platform_version: reader.text("platform_version", |text| validate::text(text, 20)),
            region: reader.text("region", |text| validate::text(text, 64)),
            environment: reader.word("environment").unwrap_or(Environment::Development),
            labels: read_labels(&mut reader),
            endpoints: read_endpoints(&mut reader),
            ca_bundle: reader.text("ca_bundle", validate::ca_bundle),
            tls_server_name: reader.text("tls_server_name", validate::dns_name),
            health_check: read_overrides(&mut reader),
            source: reader.text("source", validate::source),
        };
        reader.finish(&READ_ONLY, bad_name)?;
        Ok(spec)
    }

    /// The spec within a cluster as the API tells it: whatever callers do not decide is left aside.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn told(cluster: &Map<String, Value>) -> Result<Self, Invalid> {
        let decided = cluster.iter().filter(|(field, _)| FIELDS.contains(&field.as_str()));
        Self::read(decided.map(|(field, value)| (field.clone(), value.clone())).collect())
    }

    /// The spec of a registered cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            name: cluster.name.clone(),
            display_name: cluster.display_name.clone(),
            api_server_url: cluster.api_server_url.clone(),
            cluster_type: cluster.cluster_type,
            platform: cluster.platform,
            platform_version: cluster.platform_version.clone(),
            region: cluster.region.clone(),
            environment: cluster.environment,
            labels: cluster.labels.clone(),
            endpoints: cluster.endpoints.clone(),
            ca_bundle: cluster.ca_bundle.clone(),
            tls_server_name: cluster.tls_server_name.clone(),
            health_check: cluster.health_check,
            source: cluster.source.clone(),
        }
    }

    /// A new cluster of this spec.
    pub fn enrol(self, now: DateTime<Utc>, created_by: Option<String>) -> Cluster {
        let blank = Cluster {
            id: ClusterId::generate(),
            name: self.name.clone(),
            display_name: None,
            api_server_url: String::new(),
            cluster_type: self.cluster_type,
            platform: self.platform,
            platform_version: None,
            region: None,
            environment: self.environment,
            labels: BTreeMap::new(),
            endpoints: Endpoints::default(),
            ca_bundle: None,
            tls_server_name: None,
            health_check: CheckOverrides::default(),
            source: None,
            capabilities: None,
            generation: 1,
            created_by,
            created_at: now,
            updated_at: now,
        };
        self.apply(blank)
    }

    /// The next generation of `cluster`, with this spec.
    pub fn succeed(self, cluster: &Cluster, now: DateTime<Utc>) -> Cluster {
        let generation = cluster.generation + 1;
        self.apply(Cluster { generation, updated_at: now.max(cluster.updated_at), ..cluster.clone() })
    }

    fn apply(self, cluster: Cluster) -> Cluster {
        Cluster {
            display_name: self.display_name,
            api_server_url: self.api_server_url,
            cluster_type: self.cluster_type,
            platform: self.platform,
            platform_version: self.platform_version,
            region: self.region,
            environment: self.environment,
            labels: self.labels,
            endpoints: self.endpoints,
            ca_bundle: self.ca_bundle,
            tls_server_name: self.tls_server_name,
            health_check: self.health_check,
            source: self.source,
            ..cluster
        }
    }

    /// The spec as JSON, for changing it.
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

fn read_name(reader: &mut Reader) -> (Option<String>, bool) {
    let mut bad = false;
    let name = required(reader, "name", |text| validate::name(text).inspect_err(|_| bad = true));
    (name, bad)
}

fn required(reader: &mut Reader, field: &str, rule: impl FnOnce(&str) -> validate::Verdict) -> Option<String> {
    let mut present = false;
    let value = reader.text_seen(field, &mut present, rule);
    if !present {
        reader.wrong(field, "is required");
    }
    value
}

fn read_labels(reader: &mut Reader) -> BTreeMap<String, String> {
    let Some(mut inner) = reader.object("labels") else { return BTreeMap::new() };
    let mut labels = BTreeMap::new();
    let given = inner.rest();
    if given.len() > validate::MAX_LABELS {
        reader.wrong("labels", format!("must have at most {} entries, has {}", validate::MAX_LABELS, given.len()));
        return labels;
    }
    for (key, value) in given {
        let shown: String = key.chars().take(64).filter(|c| !c.is_control()).collect();
        match (validate::label_key(&key), value) {
            (Err(message), _) => inner.wrong(&shown, message),
            (Ok(()), Value::String(value)) => match validate::label_value(&value) {
                Ok(()) => drop(labels.insert(key, value)),
                Err(message) => inner.wrong(&shown, message),
            },
            (Ok(()), other) => inner.wrong(&shown, format!("must be a string, is {}", kind(&other))),
        }
    }
    reader.absorb(inner, &[]);
    labels
}

fn read_endpoints(reader: &mut Reader) -> Endpoints {
    let Some(mut inner) = reader.object("endpoints") else { return Endpoints::default() };
    let endpoints = Endpoints {
        prometheus_url: inner.text("prometheus_url", validate::url),
        tempo_url: inner.text("tempo_url", validate::url),
        loki_url: inner.text("loki_url", validate::url),
    };
    reader.absorb(inner, &[]);
    endpoints
}

fn read_overrides(reader: &mut Reader) -> CheckOverrides {
    let Some(mut inner) = reader.object("health_check") else { return CheckOverrides::default() };
    let threshold = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let overrides = CheckOverrides {
        interval_seconds: inner.integer("interval_seconds", 5, 3600),
        timeout_seconds: inner.integer("timeout_seconds", 1, 300),
        failure_threshold: inner.integer("failure_threshold", 1, 10).map(threshold),
        success_threshold: inner.integer("success_threshold", 1, 10).map(threshold),
    };
    if let (Some(interval), Some(timeout)) = (overrides.interval_seconds, overrides.timeout_seconds)
        && timeout > interval
    {
        inner.wrong("timeout_seconds", "must not exceed interval_seconds");
    }
    reader.absorb(inner, &[]);
    overrides
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Spec, Invalid> {
        Spec::read(value.as_object().expect("an object").clone())
    }

    #[test]
    fn callers_decide_every_field_of_a_spec_and_no_other() {
        let spec = read(json!({"name": "abc", "api_server_url": "https://a:6443"})).unwrap();
        let mut fields = FIELDS.map(str::to_owned);
        fields.sort();
        assert_eq!(spec.to_map().into_iter().map(|(field, _)| field).collect::<Vec<_>>(), fields);
        assert!(READ_ONLY.iter().all(|field| !FIELDS.contains(field)));
        let mut told = spec.to_map();
        told.insert("status".to_owned(), json!({"state": "ONLINE"}));
        assert_eq!(Spec::told(&told).unwrap(), spec);
    }

    #[test]
    fn a_minimal_spec_has_the_defaults_of_the_seed() {
        let spec = read(json!({"name": "abc", "api_server_url": "https://a:6443", "region": null})).unwrap();
        assert_eq!(spec.cluster_type, ClusterType::Spoke);
        assert_eq!(spec.platform, Platform::Openshift);
        assert_eq!(spec.environment, Environment::Development);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let invalid = read(json!({
            "name": "Bad Name", "cluster_type": "MOON", "regoin": "x", "id": "1", "region": 5,
            "labels": {"team": 1, "-x": "y"}, "endpoints": {"loki_url": "ftp://x", "grafana_url": "https://g"},
            "health_check": {"interval_seconds": 10, "timeout_seconds": 20, "failure_threshold": 0},
        }))
        .unwrap_err();
        let mut fields: Vec<_> = invalid.details.iter().map(|detail| detail.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "api_server_url",
                "cluster_type",
                "endpoints.grafana_url",
                "endpoints.loki_url",
                "health_check.failure_threshold",
                "health_check.timeout_seconds",
                "id",
                "labels.-x",
                "labels.team",
                "name",
                "region",
                "regoin",
            ]
        );
        assert!(invalid.bad_name);
    }

    #[test]
    fn a_spec_survives_the_way_through_json() {
        let spec = read(json!({
            "name": "abc", "api_server_url": "https://a:6443", "labels": {"a": "b"},
            "endpoints": {"tempo_url": "http://t"}, "health_check": {"timeout_seconds": 3},
        }))
        .unwrap();
        assert_eq!(Spec::read(spec.to_map()), Ok(spec));
    }
}
