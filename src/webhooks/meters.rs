//! Metrics of all webhooks together: how tries end, how far behind the log the slowest one is.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::courier::Delivery;

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
