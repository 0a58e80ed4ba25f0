//! One simulated spoke as data: its name, kind, place, addresses, and how to register it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dice::{Dice, by_share, spread};
use super::error::FleetError;
use super::options::FleetOptions;
use super::role::{Role, Scope};

/// The kind of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterType {
    /// A hub.
    Hub,
    /// An ordinary spoke.
    Spoke,
    /// An edge site.
    Edge,
    /// A far-edge site.
    FarEdge,
}

impl ClusterType {
    /// Every type.
    pub const ALL: [ClusterType; 4] = [Self::Hub, Self::Spoke, Self::Edge, Self::FarEdge];
    /// 5 % hubs, 70 % spokes, 20 % edge, 5 % far edge.
    pub const USUAL_MIX: [(ClusterType, f64); 4] =
        [(Self::Hub, 5.0), (Self::Spoke, 70.0), (Self::Edge, 20.0), (Self::FarEdge, 5.0)];

    /// How often a monitor checks such a cluster by default, in milliseconds.
    pub fn period_ms(self) -> u64 {
        match self {
            Self::Hub => 15_000,
            Self::Spoke => 30_000,
            Self::Edge => 60_000,
            Self::FarEdge => 120_000,
        }
    }

    /// How long a monitor waits for such a cluster by default, in milliseconds.
    pub fn deadline_ms(self) -> u64 {
        match self {
            Self::Hub => 5_000,
            Self::Spoke => 10_000,
            Self::Edge => 15_000,
            Self::FarEdge => 30_000,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Spoke => "spoke",
            Self::Edge => "edge",
            Self::FarEdge => "far-edge",
        }
    }
}

impl fmt::Display for ClusterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for ClusterType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.to_ascii_lowercase().replace('_', "-");
        Self::ALL
            .into_iter()
            .find(|one| one.word() == word)
            .ok_or_else(|| format!("`{text}` is no cluster type: use hub, spoke, edge or far-edge"))
    }
}

/// One simulated spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spoke {
    /// Its index in the fleet, from 1.
    pub index: usize,
    /// Its name, unique in the fleet.
    pub name: String,
    /// Its kind.
    pub cluster_type: ClusterType,
    /// OPENSHIFT, KUBERNETES or MICROSHIFT.
    pub platform: &'static str,
    /// PRODUCTION, STAGING, DEVELOPMENT or LAB.
    pub environment: &'static str,
    /// Its region.
    pub region: &'static str,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its own loopback address.
    pub address: Ipv4Addr,
    /// What it serves, the API server first.
    pub endpoints: Vec<Endpoint>,
    /// The bearer token its API server wants, if it wants one.
    pub token: Option<String>,
}

/// One server of a spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// What it is.
    pub role: Role,
    /// Its port; known once the fleet has started.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
}

const REGIONS: [(&str, f64); 6] = [
    ("us-east-1", 30.0),
    ("us-west-2", 20.0),
    ("eu-west-1", 20.0),
    ("eu-central-1", 15.0),
    ("ap-southeast-1", 10.0),
    ("sa-east-1", 5.0),
];
const ENVIRONMENTS: [(&str, f64); 4] = [("PRODUCTION", 50.0), ("STAGING", 25.0), ("DEVELOPMENT", 20.0), ("LAB", 5.0)];
const TEAMS: [&str; 5] = ["platform", "retail", "radio", "data", "payments"];

impl Spoke {
    /// The spokes a fleet with these options has; ports are still the ones asked for.
    pub fn plan(options: &FleetOptions) -> Result<Vec<Spoke>, FleetError> {
        if options.count == 0 {
            return Err(FleetError::Empty);
        }
        (options.first..options.first + options.count).map(|index| Self::planned(index, options)).collect()
    }

    fn planned(index: usize, options: &FleetOptions) -> Result<Spoke, FleetError> {
        let seed = options.seed;
        let mut dice = Dice::new(seed, index as u64);
        let cluster_type = by_share(&options.mix, spread(index as u64, seed)).unwrap_or(ClusterType::Spoke);
        let region = by_share(&REGIONS, dice.unit()).unwrap_or("us-east-1");
        let environment = by_share(&ENVIRONMENTS, dice.unit()).unwrap_or("LAB");
        let team = dice.pick(&TEAMS).copied().unwrap_or("platform");
        let platform = platform(cluster_type, dice.unit());
        let token = dice.bits();
        let endpoints = planned_endpoints(options, &mut dice);
        Ok(Spoke {
            index,
            name: format!("{}{cluster_type}-{index:05}", options.prefix),
            cluster_type,
            platform,
            environment,
            region,
            labels: labels(team, region, &mut dice),
            address: address(index, options)?,
            endpoints,
            token: options.require_token.then(|| format!("sha256~{token:016x}{:016x}", token ^ seed)),
        })
    }

    /// Whether the spoke has this role, or any for `all`.
    pub fn has(&self, scope: Scope) -> bool {
        self.endpoints.iter().any(|endpoint| scope.covers(endpoint.role))
    }

    /// The endpoint of `role`, if the spoke has it.
    pub fn endpoint(&self, role: Role) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.role == role)
    }

    /// Where `role` listens.
    pub fn socket(&self, role: Role) -> Option<SocketAddr> {
        self.endpoint(role).map(|endpoint| SocketAddr::from((self.address, endpoint.port)))
    }

    /// The URL of `role`.
    pub fn url(&self, role: Role) -> Option<String> {
        self.endpoint(role).map(|endpoint| {
            let scheme = if endpoint.tls { "https" } else { "http" };
            format!("{scheme}://{}:{}", self.address, endpoint.port)
        })
    }

    /// The DNS name in its certificates.
    pub fn dns_name(&self) -> String {
        format!("{}.spokes.test", self.name)
    }

    /// What registers it through `POST /api/v1/clusters`.
    pub fn registration(&self, ca_bundle: &str) -> Registration {
        let url = |role| self.url(role);
        Registration {
            name: self.name.clone(),
            display_name: format!("Simulated {} {}", self.cluster_type, self.index),
            api_server_url: url(Role::Api).unwrap_or_default(),
            cluster_type: self.cluster_type,
            platform: self.platform.to_owned(),
            region: self.region.to_owned(),
            environment: self.environment.to_owned(),
            labels: self.labels.clone(),
            endpoints: EndpointUrls {
                prometheus_url: url(Role::Prometheus),
                tempo_url: url(Role::Tempo),
                loki_url: url(Role::Loki),
            },
            ca_bundle: self.endpoints.iter().any(|endpoint| endpoint.tls).then(|| ca_bundle.to_owned()),
        }
    }
}

fn platform(cluster_type: ClusterType, fraction: f64) -> &'static str {
    match cluster_type {
        ClusterType::FarEdge => "MICROSHIFT",
        _ if fraction < 0.65 => "OPENSHIFT",
        _ => "KUBERNETES",
    }
}

fn labels(team: &str, region: &str, dice: &mut Dice) -> BTreeMap<String, String> {
    let site = format!("{region}-{}", dice.between(1, 9));
    [("team", team.to_owned()), ("site", site), ("simulated", "true".to_owned())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

fn planned_endpoints(options: &FleetOptions, dice: &mut Dice) -> Vec<Endpoint> {
    Role::ALL
        .into_iter()
        .filter(|role| dice.unit() < options.endpoints.share(*role) || *role == Role::Api)
        .map(|role| Endpoint { role, port: options.ports.of(role), tls: !options.plain.contains(&role) })
        .collect()
}

fn address(index: usize, options: &FleetOptions) -> Result<Ipv4Addr, FleetError> {
    let too_far = || FleetError::Addresses { base: options.base, count: options.count };
    let offset = u32::try_from(index.saturating_sub(1)).map_err(|_| too_far())?;
    let address = options.base.to_bits().checked_add(offset).map(Ipv4Addr::from_bits);
    address.filter(|address| address.is_loopback() && *address != Ipv4Addr::new(127, 255, 255, 255)).ok_or_else(too_far)
}

/// The body of `POST /api/v1/clusters` for one spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Unique name.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// URL of the API server.
    pub api_server_url: String,
    /// Kind.
    pub cluster_type: ClusterType,
    /// Platform.
    pub platform: String,
    /// Region.
    pub region: String,
    /// Environment.
    pub environment: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Optional endpoints.
    pub endpoints: EndpointUrls,
    /// The authority that signed its certificates, PEM; absent when nothing of it speaks TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca_bundle: Option<String>,
}

/// URLs of the optional endpoints; absent ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointUrls {
    /// Prometheus.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prometheus_url: Option<String>,
    /// Tempo.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tempo_url: Option<String>,
    /// Loki.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loki_url: Option<String>,
}

/// A whole fleet as the body of `POST /api/v1/clusters:import`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistrationFile {
    /// One item per spoke.
    pub clusters: Vec<Registration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spokes::options::Endpoints;

    fn plan(count: usize, change: impl FnOnce(&mut FleetOptions)) -> Vec<Spoke> {
        let mut options = FleetOptions { count, ..FleetOptions::default() };
        change(&mut options);
        Spoke::plan(&options).unwrap()
    }

    #[test]
    fn the_types_come_in_the_usual_mix() {
        let spokes = plan(1_000, |_| ());
        let count = |kind| spokes.iter().filter(|spoke| spoke.cluster_type == kind).count();
        assert!((45..=55).contains(&count(ClusterType::Hub)));
        assert!((690..=710).contains(&count(ClusterType::Spoke)));
        assert!((190..=210).contains(&count(ClusterType::Edge)));
        assert!((45..=55).contains(&count(ClusterType::FarEdge)));
    }

    #[test]
    fn names_and_addresses_are_unique_and_fit_the_registry() {
        let spokes = plan(2_000, |_| ());
        let names: std::collections::HashSet<_> = spokes.iter().map(|s| &s.name).collect();
        let addresses: std::collections::HashSet<_> = spokes.iter().map(|s| s.address).collect();
        assert_eq!((names.len(), addresses.len()), (2_000, 2_000));
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(names.iter().all(|name| name.len() <= 63 && name.chars().all(fits)));
    }

    #[test]
    fn a_slice_of_a_fleet_is_the_same_as_that_part_of_the_whole() {
        let whole = plan(100, |_| ());
        let slice = plan(40, |options| options.first = 61);
        assert_eq!(slice, whole[60..]);
    }

    #[test]
    fn chosen_endpoints_appear_in_the_registration_and_absent_ones_do_not() {
        let spokes = plan(3, |options| options.endpoints = "prometheus".parse().unwrap());
        let body = serde_json::to_value(spokes[0].registration("PEM")).unwrap();
        assert_eq!(body["api_server_url"], "https://127.20.0.1:6443");
        assert_eq!(body["endpoints"], serde_json::json!({"prometheus_url": "https://127.20.0.1:9090"}));
        assert_eq!(body["ca_bundle"], "PEM");
        assert!(plan(50, |o| o.endpoints = Endpoints::none()).iter().all(|s| s.endpoints.len() == 1));
    }

    #[test]
    fn a_fleet_that_leaves_the_loopback_range_is_refused() {
        let options = FleetOptions { count: 2, base: Ipv4Addr::new(127, 255, 255, 254), ..Default::default() };
        assert!(matches!(Spoke::plan(&options), Err(FleetError::Addresses { .. })));
        let options = FleetOptions { count: 0, ..Default::default() };
        assert!(matches!(Spoke::plan(&options), Err(FleetError::Empty)));
    }
}
