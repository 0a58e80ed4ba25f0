//! How clusters are checked, by their types. What each key means and its default stand in `config/default.yaml`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::durations::{optional_seconds, seconds};

/// Periods, deadlines and damping of checks. Ask [`HealthCheck::hub`] and its like for the values of one type.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys say it all; config/default.yaml explains each")]
pub struct HealthCheck {
    pub enabled: bool,
    #[serde(rename = "hub_interval_seconds", with = "seconds")]
    pub hub_interval: Duration,
    #[serde(rename = "spoke_interval_seconds", with = "seconds")]
    pub spoke_interval: Duration,
    #[serde(rename = "edge_interval_seconds", with = "seconds")]
    pub edge_interval: Duration,
    #[serde(rename = "far_edge_interval_seconds", with = "seconds")]
    pub far_edge_interval: Duration,
    #[serde(rename = "timeout_seconds", with = "optional_seconds")]
    pub timeout: Option<Duration>,
    #[serde(rename = "hub_timeout_seconds", with = "seconds")]
    pub hub_timeout: Duration,
    #[serde(rename = "spoke_timeout_seconds", with = "seconds")]
    pub spoke_timeout: Duration,
    #[serde(rename = "edge_timeout_seconds", with = "seconds")]
    pub edge_timeout: Duration,
    #[serde(rename = "far_edge_timeout_seconds", with = "seconds")]
    pub far_edge_timeout: Duration,
    pub failure_threshold: u32,
    pub success_threshold: u32,
    #[serde(rename = "recheck_delay_seconds", with = "seconds")]
    pub recheck_delay: Duration,
    pub flap_changes: u32,
    #[serde(rename = "flap_window_seconds", with = "seconds")]
    pub flap_window: Duration,
    pub per_type: PerType,
}

/// Values of one cluster type in place of the general ones.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "one field for each cluster type")]
pub struct PerType {
    pub hub: TypeOverrides,
    pub spoke: TypeOverrides,
    pub edge: TypeOverrides,
    pub far_edge: TypeOverrides,
}

/// What one cluster type may set for itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TypeOverrides {
    /// Failed checks in a row before a state gets worse.
    pub failure_threshold: Option<u32>,
    /// Good checks in a row before a state gets better.
    pub success_threshold: Option<u32>,
    /// Pause before the second look.
    #[serde(rename = "recheck_delay_seconds", with = "optional_seconds")]
    pub recheck_delay: Option<Duration>,
}

/// The values of one cluster type, everything resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Period of the checks.
    pub interval: Duration,
    /// Deadline of one check.
    pub deadline: Duration,
    /// Failed checks in a row before a state gets worse.
    pub failure_threshold: u32,
    /// Good checks in a row before a state gets better.
    pub success_threshold: u32,
    /// Pause before the second look.
    pub recheck_delay: Duration,
}

impl HealthCheck {
    /// Values of HUB clusters.
    pub fn hub(&self) -> Timing {
        self.timing(self.hub_interval, self.hub_timeout, &self.per_type.hub)
    }

    /// Values of SPOKE clusters.
    pub fn spoke(&self) -> Timing {
        self.timing(self.spoke_interval, self.spoke_timeout, &self.per_type.spoke)
    }

    /// Values of EDGE clusters.
    pub fn edge(&self) -> Timing {
        self.timing(self.edge_interval, self.edge_timeout, &self.per_type.edge)
    }

    /// Values of FAR_EDGE clusters.
    pub fn far_edge(&self) -> Timing {
        self.timing(self.far_edge_interval, self.far_edge_timeout, &self.per_type.far_edge)
    }

    fn timing(&self, interval: Duration, deadline: Duration, own: &TypeOverrides) -> Timing {
        Timing {
            interval,
            deadline: self.timeout.unwrap_or(deadline),
            failure_threshold: own.failure_threshold.unwrap_or(self.failure_threshold),
            success_threshold: own.success_threshold.unwrap_or(self.success_threshold),
            recheck_delay: own.recheck_delay.unwrap_or(self.recheck_delay),
        }
    }
}
