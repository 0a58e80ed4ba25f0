//! Metrics of all webhooks together: how tries end, how far behind the log the slowest one is. And of each by itself: those
//! are written straight into a scrape, so that a removed webhook's series are gone; they are as many as webhooks may be.

use std::{fmt::Write, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::{Desk, courier::Delivery};

/// The metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meters;

/// The states a webhook can be in, as words.
pub(super) const STATES: [&str; 4] = ["delivering", "retrying", "paused", "unreadable"];

impl Meters {
    pub(super) fn new() -> Self {
        describe_counter!("fleetbeat_webhook_attempts_total", "Tries to deliver to webhooks, by outcome.");
        describe_histogram!("fleetbeat_webhook_attempt_duration_seconds", "Duration of tries to deliver to webhooks.");
        describe_counter!("fleetbeat_webhook_dead_letters_total", "Events given up by webhooks, by reason.");
        describe_counter!("fleetbeat_webhook_dead_letters_dropped_total", "Dead letters removed for newer ones.");
        describe_gauge!("fleetbeat_webhooks", "Webhooks, by state.");
        describe_gauge!("fleetbeat_webhook_lag_seconds", "Age of the oldest event that a webhook is being told.");
        Self
    }

    pub(super) fn tried(self, delivery: Delivery, took: Duration) {
        counter!("fleetbeat_webhook_attempts_total", "outcome" => delivery.outcome()).increment(1);
        histogram!("fleetbeat_webhook_attempt_duration_seconds").record(took.as_secs_f64());
    }

    pub(super) fn buried(self, reason: &'static str, dropped: u64) {
        counter!("fleetbeat_webhook_dead_letters_total", "reason" => reason).increment(1);
        counter!("fleetbeat_webhook_dead_letters_dropped_total").increment(dropped);
    }

    /// How many are in each state, and how far behind the slowest is.
    pub(super) fn stand(self, states: &[&'static str], lag_seconds: f64) {
        for state in STATES {
            let count = states.iter().filter(|known| **known == state).count();
            gauge!("fleetbeat_webhooks", "state" => state).set(count as f64);
        }
        gauge!("fleetbeat_webhook_lag_seconds").set(lag_seconds);
    }
}

/// One family of series, one series or more a webhook.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Desk, DateTime<Utc>) -> Vec<Sample>,
}

/// Further labels, and the value.
type Sample = (&'static str, f64);

const FAMILIES: [Family; 4] = [
    Family {
        name: "fleetbeat_webhook_deliveries_total",
        kind: "counter",
        help: "Tries to deliver to the webhook, by outcome.",
        samples: |desk, _| {
            let tally = desk.progress.lock().tally;
            vec![(r#",outcome="delivered""#, tally.delivered as f64), (r#",outcome="failed""#, tally.failed as f64)]
        },
    },
    Family {
        name: "fleetbeat_webhook_given_up_total",
        kind: "counter",
        help: "Events given up by the webhook: they became dead letters.",
        samples: |desk, _| vec![("", desk.progress.lock().tally.given_up as f64)],
    },
    Family {
        name: "fleetbeat_webhook_dead_letters_kept",
        kind: "gauge",
        help: "Dead letters of the webhook that are kept.",
        samples: |desk, _| vec![("", desk.progress.lock().dead_letters as f64)],
    },
    Family {
        name: "fleetbeat_webhook_pending_age_seconds",
        kind: "gauge",
        help: "Age of the event that the webhook is being told; 0 when none waits.",
        samples: |desk, now| {
            let since = desk.progress.lock().waiting_since;
            vec![("", since.map_or(0.0, |since| now.signed_duration_since(since).as_seconds_f64().max(0.0)))]
        },
    },
];

/// The series of every webhook, in the text format of Prometheus. Names of webhooks need no escape: they are plain.
pub(super) fn written(desks: &[Arc<Desk>], now: DateTime<Utc>) -> String {
    let mut out = String::new();
    for family in &FAMILIES {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {2}", family.name, family.help, family.kind);
        for desk in desks {
            for (labels, value) in (family.samples)(desk, now) {
                let _ = writeln!(out, "{}{{webhook=\"{}\"{labels}}} {value}", family.name, desk.webhook.name);
            }
        }
    }
    out
}
