//! The families: name, help, and which samples a cluster has in each.

use std::{fmt::Write, time::Instant};

use crate::credentials::End;
use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    board::Entry,
    health::{Endpoint, State},
};

/// One cluster with its labels already written.
pub(super) struct Row {
    pub(super) entry: Entry,
    /// `{cluster="…",cluster_type="…",environment="…",region="…"`, escaped, not closed.
    pub(super) labels: String,
    /// What of its access ends when.
    pub(super) ends: Vec<End>,
    /// Is it silenced?
    pub(super) silenced: bool,
}

/// One metric family; all are gauges.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    samples: fn(&mut Sheet<'_>, &Entry, Instant),
}

/// Where the samples of one cluster in one family go.
pub(super) struct Sheet<'a> {
    out: &'a mut String,
    name: &'static str,
    labels: &'a str,
    ends: &'a [End],
    silenced: bool,
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
    pub(super) fn write(&self, out: &mut String, row: &Row, now: Instant) {
        (self.samples)(
            &mut Sheet { out, name: self.name, labels: &row.labels, ends: &row.ends, silenced: row.silenced },
            &row.entry,
            now,
        );
    }
}

/// Every family.
pub(super) const FAMILIES: [Family; 12] = [
    Family {
        name: "fleetbeat_cluster_state",
        help: "Health state of the cluster: 1 for the state it is in, 0 for the others.",
        samples: |sheet, entry, _| {
            for state in State::ALL {
                sheet.put_flag_of("state", state.as_str(), *state == entry.status.state);
            }
        },
    },
    Family {
        name: "fleetbeat_cluster_health_score",
        help: "Health score of the cluster, 0 to 100; 0 while it is UNKNOWN.",
        samples: |sheet, entry, _| sheet.put_number(i64::from(entry.status.health_score)),
    },
    Family {
        name: "fleetbeat_cluster_up",
        help: "Whether the cluster is ONLINE or DEGRADED: its API server can be talked to.",
        samples: |sheet, entry, _| {
            sheet.put_flag(matches!(entry.status.state, State::Online | State::Degraded));
        },
    },
    Family {
        name: "fleetbeat_probe_healthy",
        help: "Whether the endpoint passed, for every endpoint that was probed.",
        samples: |sheet, entry, _| {
            for endpoint in Endpoint::ALL {
                if let Some(finding) = entry.status.findings.of(endpoint) {
                    sheet.put_flag_of("endpoint", endpoint.as_str(), finding.healthy);
                }
            }
        },
    },
    Family {
        name: "fleetbeat_cluster_last_check_timestamp_seconds",
        help: "When the last check of the cluster ended.",
        samples: |sheet, entry, _| sheet.put_time(entry.status.last_check_at),
    },
    Family {
        name: "fleetbeat_cluster_last_success_timestamp_seconds",
        help: "When the API server of the cluster last passed.",
        samples: |sheet, entry, _| sheet.put_time(entry.status.last_success_at),
    },
    Family {
        name: "fleetbeat_cluster_check_duration_seconds",
        help: "Duration of the last probe of the cluster's API server.",
        samples: |sheet, entry, _| {
            if let Some(latency_ms) = entry.status.latency_ms {
                sheet.put_millis(i64::from(latency_ms));
            }
        },
    },
    Family {
        name: "fleetbeat_cluster_stale",
        help: "Whether the status of the cluster is overdue or held back.",
        samples: |sheet, entry, now| sheet.put_flag(entry.is_stale(now)),
    },
    Family {
        name: "fleetbeat_cluster_flapping",
        help: "Whether the state of the cluster changed too often lately.",
        samples: |sheet, entry, _| sheet.put_flag(entry.status.flapping),
    },
    Family {
        name: "fleetbeat_cluster_silenced",
        help: "Whether a silence or a maintenance window holds for the cluster.",
        samples: |sheet, _, _| sheet.put_flag(sheet.silenced),
    },
    Family {
        name: "fleetbeat_credentials_expiry_timestamp_seconds",
        help: "When a token, client certificate, CA bundle or serving certificate of the cluster ends.",
        samples: |sheet, _, _| {
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
        samples: |sheet, entry, _| sheet.put_number(entry.cluster.generation),
    },
];
