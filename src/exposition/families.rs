//! The families: name, help, and which samples a cluster has in each.

use std::{fmt::Write, ops::Range, time::Instant};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::Entry,
    health::{Endpoint, Findings, State},
};

use crate::credentials::End;

/// What a scrape tells of one cluster, taken from the board in one piece: every family passes over all clusters, and what it
/// reads should lie side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    state: State,
    health_score: u8,
    findings: Findings,
    last_check_at: Option<DateTime<Utc>>,
    last_success_at: Option<DateTime<Utc>>,
    latency_ms: Option<u32>,
    stale: bool,
    flapping: bool,
    silenced: bool,
    generation: i64,
}

impl Facts {
    pub(super) fn of(entry: &Entry, silenced: bool, now: Instant) -> Self {
        let status = &*entry.status;
        Self {
            state: status.state,
            health_score: status.health_score,
            findings: status.findings,
            last_check_at: status.last_check_at,
            last_success_at: status.last_success_at,
            latency_ms: status.latency_ms,
            stale: entry.is_stale(now),
            flapping: status.flapping,
            silenced,
            generation: entry.cluster.generation,
        }
    }
}

/// One cluster of a scrape.
pub(super) struct Row {
    pub(super) facts: Facts,
    /// Where its labels stand: `{cluster="…",cluster_type="…",environment="…",region="…"`, escaped, not closed.
    pub(super) labels: Range<usize>,
    /// Where stands what of its access ends when.
    pub(super) ends: Range<usize>,
}

/// One metric family; all are gauges.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    samples: fn(&mut Sheet<'_>, &Facts),
}

/// Where the samples of one cluster in one family go.
pub(super) struct Sheet<'a> {
    out: &'a mut String,
    name: &'static str,
    labels: &'a str,
    ends: &'a [End],
}

/// Pieces are appended as they are: formatting machinery would be most of the time of a scrape.
impl Sheet<'_> {
    fn open(&mut self) {
        self.out.push_str(self.name);
        self.out.push_str(self.labels);
    }

    fn put_flag(&mut self, holds: bool) {
        self.open();
        self.out.push_str(if holds { "} 1\n" } else { "} 0\n" });
    }

    fn put_flag_of(&mut self, label: &str, word: &str, holds: bool) {
        self.open();
        for piece in [",", label, "=\"", word, if holds { "\"} 1\n" } else { "\"} 0\n" }] {
            self.out.push_str(piece);
        }
    }

    fn put_number(&mut self, value: i64) {
        self.open();
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "}} {value}");
    }

    /// Milliseconds, shown as seconds.
    fn put_millis(&mut self, millis: i64) {
        self.open();
        let _ = writeln!(self.out, "}} {}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000));
    }

    fn put_time(&mut self, at: Option<DateTime<Utc>>) {
        if let Some(at) = at {
            self.put_millis(at.timestamp_millis());
        }
    }
}

impl Family {
    /// Writes `# HELP` and `# TYPE`.
    pub(super) fn head(&self, out: &mut String) {
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} gauge", self.name, self.help, self.name);
    }

    /// Writes the samples of one cluster.
    pub(super) fn write(&self, out: &mut String, facts: &Facts, labels: &str, ends: &[End]) {
        (self.samples)(&mut Sheet { out, name: self.name, labels, ends }, facts);
    }
}

/// Every family.
pub(super) const FAMILIES: [Family; 12] = [
    Family {
        name: "fleetbeat_cluster_state",
        help: "Health state of the cluster: 1 for the state it is in, 0 for the others.",
        samples: |sheet, facts| {
            for state in State::ALL {
                sheet.put_flag_of("state", state.as_str(), *state == facts.state);
            }
        },
    },
    Family {
        name: "fleetbeat_cluster_health_score",
        help: "Health score of the cluster, 0 to 100; 0 while it is UNKNOWN.",
        samples: |sheet, facts| sheet.put_number(i64::from(facts.health_score)),
    },
    Family {
        name: "fleetbeat_cluster_up",
        help: "Whether the cluster is ONLINE or DEGRADED: its API server can be talked to.",
        samples: |sheet, facts| sheet.put_flag(matches!(facts.state, State::Online | State::Degraded)),
    },
    Family {
        name: "fleetbeat_probe_healthy",
        help: "Whether the endpoint passed, for every endpoint that was probed.",
        samples: |sheet, facts| {
            for endpoint in Endpoint::ALL {
                if let Some(finding) = facts.findings.of(endpoint) {
                    sheet.put_flag_of("endpoint", endpoint.as_str(), finding.healthy);
                }
            }
        },
    },
    Family {
        name: "fleetbeat_cluster_last_check_timestamp_seconds",
        help: "When the last check of the cluster ended.",
        samples: |sheet, facts| sheet.put_time(facts.last_check_at),
    },
    Family {
        name: "fleetbeat_cluster_last_success_timestamp_seconds",
        help: "When the API server of the cluster last passed.",
        samples: |sheet, facts| sheet.put_time(facts.last_success_at),
    },
    Family {
        name: "fleetbeat_cluster_check_duration_seconds",
        help: "Duration of the last probe of the cluster's API server.",
        samples: |sheet, facts| {
            if let Some(latency_ms) = facts.latency_ms {
                sheet.put_millis(i64::from(latency_ms));
            }
        },
    },
    Family {
        name: "fleetbeat_cluster_stale",
        help: "Whether the status of the cluster is overdue or held back.",
        samples: |sheet, facts| sheet.put_flag(facts.stale),
    },
    Family {
        name: "fleetbeat_cluster_flapping",
        help: "Whether the state of the cluster changed too often lately.",
        samples: |sheet, facts| sheet.put_flag(facts.flapping),
    },
    Family {
        name: "fleetbeat_cluster_silenced",
        help: "Whether a silence or a maintenance window holds for the cluster.",
        samples: |sheet, facts| sheet.put_flag(facts.silenced),
    },
    Family {
        name: "fleetbeat_credentials_expiry_timestamp_seconds",
        help: "When a token, client certificate, CA bundle or serving certificate of the cluster ends.",
        samples: |sheet, _| {
            for end in sheet.ends {
                sheet.open();
                for piece in [",endpoint=\"", end.endpoint.as_str(), "\",kind=\"", end.kind.as_str(), "\""] {
                    sheet.out.push_str(piece);
                }
                let _ = writeln!(sheet.out, "}} {}", end.at.timestamp());
            }
        },
    },
    Family {
        name: "fleetbeat_cluster_generation",
        help: "Version of the cluster's spec.",
        samples: |sheet, facts| sheet.put_number(facts.generation),
    },
];
