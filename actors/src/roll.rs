//! The roll: what a cluster is. Metadata only; what the engine found out about it lives in `health::Status`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identity of a cluster: a UUID that never changes and is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub Uuid);

impl ClusterId {
    /// The fleet itself: the `cluster_id` of events that tell of no single cluster (the nil UUID).
    pub const FLEET: Self = Self(Uuid::nil());

    /// A new identity (UUID v7: time-ordered, so new rows land at the end of an index).
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// A stable 64-bit hash of the id, for spreading work evenly.
    pub fn spread(self) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        let mut x = high ^ low.rotate_left(32);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ClusterId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// A word of a closed vocabulary arrived that is not in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown {kind} '{word}': expected one of {expected}")]
pub struct UnknownWord {
    /// Which vocabulary.
    pub kind: &'static str,
    /// The word, cut at 64 characters.
    pub word: String,
    /// The vocabulary.
    pub expected: String,
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident ($kind:literal) { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::roll::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word).ok_or_else(|| $crate::roll::UnknownWord {
                    kind: $kind,
                    word: word.chars().take(64).collect(),
                    expected: Self::ALL.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// What part a cluster plays in the fleet; decides how often and how patiently it is checked.
    ClusterType ("cluster type") {
        /// A hub: 15 s period, 5 s deadline by default.
        Hub = "HUB",
        /// A spoke: 30 s, 10 s.
        Spoke = "SPOKE",
        /// An edge site: 60 s, 15 s.
        Edge = "EDGE",
        /// A far-edge site: 120 s, 30 s.
        FarEdge = "FAR_EDGE",
    }
}

vocabulary! {
    /// The distribution a cluster runs.
    Platform ("platform") {
        /// OpenShift.
        Openshift = "OPENSHIFT",
        /// Kubernetes of any other make.
        Kubernetes = "KUBERNETES",
        /// MicroShift.
        Microshift = "MICROSHIFT",
    }
}

vocabulary! {
    /// What a cluster is used for.
    Environment ("environment") {
        /// Production.
        Production = "PRODUCTION",
        /// Staging.
        Staging = "STAGING",
        /// Development.
        Development = "DEVELOPMENT",
        /// Lab.
        Lab = "LAB",
    }
}

/// Optional endpoints of a cluster that are probed besides its API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// Prometheus (or Thanos querier), probed at `/-/ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_url: Option<String>,
    /// Tempo, probed at `/ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempo_url: Option<String>,
    /// Loki, probed at `/ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loki_url: Option<String>,
}

/// What one cluster asks to be checked by, in place of its type's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckOverrides {
    /// Period between checks, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// Deadline of every probe, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Failures in a row before the state worsens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u8>,
    /// Successes in a row before the state improves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u8>,
}

/// An entry of the registry: the metadata of one cluster. Its JSON is the seed's `Cluster` without `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Identity.
    pub id: ClusterId,
    /// DNS-like name, unique in the fleet, never changes.
    pub name: String,
    /// Name for people.
    pub display_name: Option<String>,
    /// `http(s)://host[:port][/path]` of the API server.
    pub api_server_url: String,
    /// Part in the fleet.
    pub cluster_type: ClusterType,
    /// Distribution.
    pub platform: Platform,
    /// Version of the distribution, as told or discovered.
    pub platform_version: Option<String>,
    /// Region, free text of at most 64 characters.
    pub region: Option<String>,
    /// Use.
    pub environment: Environment,
    /// User labels.
    pub labels: BTreeMap<String, String>,
    /// Optional endpoints.
    pub endpoints: Endpoints,
    /// PEM bundle that alone is trusted for this cluster's API server, when given.
    #[serde(default)]
    pub ca_bundle: Option<String>,
    /// Server name to verify (and to send as SNI) in place of the URL's host.
    #[serde(default)]
    pub tls_server_name: Option<String>,
    /// Overrides of the type's cadence and thresholds.
    #[serde(default)]
    pub health_check: CheckOverrides,
    /// Where it was imported from: what keeps its identity there when it is renamed. Unique in the fleet, where set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the cluster can do, once discovered.
    #[serde(default)]
    pub capabilities: Option<serde_json::Value>,
    /// Version of the spec: 1 at registration, +1 with every change.
    pub generation: i64,
    /// Who registered it, where known.
    #[serde(default)]
    pub created_by: Option<String>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When its spec last changed.
    pub updated_at: DateTime<Utc>,
}

impl Cluster {
    /// Would a probe do the same for both: same addresses, same trust?
    pub fn probes_alike(&self, other: &Self) -> bool {
        self.api_server_url == other.api_server_url
            && self.endpoints == other.endpoints
            && self.ca_bundle == other.ca_bundle
            && self.tls_server_name == other.tls_server_name
    }
}
