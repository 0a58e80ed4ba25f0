//! What a fleet is made of: how many spokes, where they listen, which endpoints they have.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::role::Role;
use super::spoke::ClusterType;

/// Everything that decides a fleet. Two fleets with the same options have the same spokes.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// How many spokes this process serves.
    pub count: usize,
    /// Index of the first one: processes with the same seed and other ranges serve slices of one fleet.
    pub first: usize,
    /// Decides types, regions, environments and endpoints.
    pub seed: u64,
    /// Address of the spoke with index 1; the others follow. Must stay in 127.0.0.0/8.
    pub base: Ipv4Addr,
    /// Port per role; 0 takes any free one.
    pub ports: Ports,
    /// Which optional endpoints spokes have.
    pub endpoints: Endpoints,
    /// Shares of the cluster types.
    pub mix: Vec<(ClusterType, f64)>,
    /// Put before every name.
    pub prefix: String,
    /// API servers want a bearer token (each spoke its own) and answer 401 without it.
    pub require_token: bool,
    /// Roles served without TLS.
    pub plain: Vec<Role>,
    /// Healthy servers close connections idle for this long, as a kube-apiserver does after 90 s.
    pub idle_close: Option<Duration>,
    /// Connections expected at once per endpoint, for the descriptor budget.
    pub connections_per_endpoint: usize,
    /// Where the truth log is written as JSON lines, besides memory.
    pub truth_file: Option<PathBuf>,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            count: 10,
            first: 1,
            seed: 1,
            base: Ipv4Addr::new(127, 20, 0, 1),
            ports: Ports::default(),
            endpoints: Endpoints::default(),
            mix: ClusterType::USUAL_MIX.to_vec(),
            prefix: String::new(),
            require_token: false,
            plain: Vec::new(),
            idle_close: None,
            connections_per_endpoint: 1,
            truth_file: None,
        }
    }
}

/// The port of each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// API server.
    pub api: u16,
    /// Prometheus.
    pub prometheus: u16,
    /// Tempo.
    pub tempo: u16,
    /// Loki.
    pub loki: u16,
}

impl Ports {
    /// Any free port for every role: nothing can be in the way.
    pub const ANY: Ports = Ports { api: 0, prometheus: 0, tempo: 0, loki: 0 };

    /// The port of `role`.
    pub fn of(&self, role: Role) -> u16 {
        match role {
            Role::Api => self.api,
            Role::Prometheus => self.prometheus,
            Role::Tempo => self.tempo,
            Role::Loki => self.loki,
        }
    }
}

/// Ports that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no choice of ports: use `any`, or four numbers such as 6443,9090,3200,3100")]
pub struct BadPorts(pub String);

impl FromStr for Ports {
    type Err = BadPorts;

    fn from_str(text: &str) -> Result<Self, BadPorts> {
        if text == "any" {
            return Ok(Self::ANY);
        }
        let numbers: Result<Vec<u16>, _> = text.split(',').map(|number| number.trim().parse()).collect();
        match numbers.as_deref() {
            Ok(&[api, prometheus, tempo, loki]) => Ok(Self { api, prometheus, tempo, loki }),
            _ => Err(BadPorts(text.to_owned())),
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self { api: 6443, prometheus: 9090, tempo: 3200, loki: 3100 }
    }
}

/// Which optional endpoints spokes have: for each role the share of spokes that have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoints(pub BTreeMap<Role, f64>);

impl Endpoints {
    /// API servers only.
    pub fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Every spoke has all of them.
    pub fn all() -> Self {
        Self(Role::OPTIONAL.into_iter().map(|role| (role, 1.0)).collect())
    }

    /// Share of spokes with `role`, 0 to 1.
    pub fn share(&self, role: Role) -> f64 {
        self.0.get(&role).copied().unwrap_or(0.0)
    }
}

impl Default for Endpoints {
    /// A believable mixture, by seed: Prometheus 60 %, Tempo 20 %, Loki 25 %.
    fn default() -> Self {
        Self(BTreeMap::from([(Role::Prometheus, 0.6), (Role::Tempo, 0.2), (Role::Loki, 0.25)]))
    }
}

/// A choice of endpoints that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no choice of endpoints: use `seeded`, `none`, `all`, or a list such as `prometheus,loki=0.25`")]
pub struct BadEndpoints(pub String);

impl FromStr for Endpoints {
    type Err = BadEndpoints;

    fn from_str(text: &str) -> Result<Self, BadEndpoints> {
        match text {
            "seeded" => Ok(Self::default()),
            "none" | "" => Ok(Self::none()),
            "all" => Ok(Self::all()),
            list => list
                .split(',')
                .map(endpoint_share)
                .collect::<Option<_>>()
                .map(Self)
                .ok_or_else(|| BadEndpoints(text.to_owned())),
        }
    }
}

fn endpoint_share(item: &str) -> Option<(Role, f64)> {
    let (name, share) = item.split_once('=').unwrap_or((item, "1"));
    let role: Role = name.trim().parse().ok()?;
    let share: f64 = share.trim().parse().ok()?;
    (role != Role::Api && (0.0..=1.0).contains(&share)).then_some((role, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_words_lists_and_shares() {
        assert_eq!("none".parse(), Ok(Endpoints::none()));
        assert_eq!("all".parse(), Ok(Endpoints::all()));
        let some: Endpoints = "prometheus, loki=0.25".parse().unwrap();
        assert_eq!((some.share(Role::Prometheus), some.share(Role::Loki)), (1.0, 0.25));
        assert_eq!(some.share(Role::Tempo), 0.0);
    }

    #[test]
    fn ports_are_four_numbers_or_any() {
        assert_eq!("any".parse(), Ok(Ports::ANY));
        assert_eq!("6443,9090,3200,3100".parse(), Ok(Ports::default()));
        assert!("6443".parse::<Ports>().is_err() && "1,2,3,70000".parse::<Ports>().is_err());
    }

    #[test]
    fn a_choice_that_makes_no_sense_is_refused() {
        for text in ["api", "loki=2", "grafana", "loki=x"] {
            assert!(text.parse::<Endpoints>().is_err(), "{text}");
        }
    }
}
