//! Engine metrics, through the `metrics` facade. Per-cluster series are not here: they are written from the board.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::{
    health::{CheckReport, Endpoint, Outcome, Transition},
    roll::ClusterType,
};

/// Handles of the engine's own metrics.
pub struct Meters {
    passed: [Counter; 4],
    durations: [Histogram; 4],
    lags: [Histogram; 4],
    /// Actors alive.
    pub(crate) actors: Gauge,
    /// Actors that died and were started again.
    pub(crate) restarts: Counter,
    /// Events handed to the publisher and acknowledged.
    pub(crate) published: Counter,
    /// Events that wait for the publisher.
    pub(crate) waiting: Gauge,
    /// Events that wait for the store.
    pub(crate) unsaved: Gauge,
    /// Time the process did not get.
    pub(crate) lost: Gauge,
    /// Surveys of the fleet, whatever they found.
    pub(crate) surveys: Counter,
    /// Are states held (1) or not (0)?
    pub(crate) holding: Gauge,
}

impl Default for Meters {
    fn default() -> Self {
        describe();
        let by_type = |make: fn(&'static str) -> Histogram| {
            [ClusterType::Hub, ClusterType::Spoke, ClusterType::Edge, ClusterType::FarEdge].map(|t| make(t.as_str()))
        };
        Self {
            passed: [ClusterType::Hub, ClusterType::Spoke, ClusterType::Edge, ClusterType::FarEdge].map(|t| {
                counter!("fleetbeat_checks_total", "cluster_type" => t.as_str(), "outcome" => "healthy", "cause" => "")
            }),
            durations: by_type(|t| histogram!("fleetbeat_check_duration_seconds", "cluster_type" => t)),
            lags: by_type(|t| histogram!("fleetbeat_schedule_lag_seconds", "cluster_type" => t)),
            actors: gauge!("fleetbeat_cluster_actors"),
            restarts: counter!("fleetbeat_actor_restarts_total"),
            published: counter!("fleetbeat_events_published_total"),
            waiting: gauge!("fleetbeat_events_waiting"),
            unsaved: gauge!("fleetbeat_events_unsaved"),
            lost: gauge!("fleetbeat_monitor_lost_seconds"),
            surveys: counter!("fleetbeat_monitor_surveys_total"),
            holding: gauge!("fleetbeat_monitor_holding"),
        }
    }
}

fn describe() {
    describe_counter!("fleetbeat_checks_total", "Checks by outcome of the API-server probe and its cause.");
    describe_counter!("fleetbeat_probes_failed_total", "Failed probes of endpoints other than the API server.");
    describe_histogram!("fleetbeat_check_duration_seconds", Unit::Seconds, "Duration of API-server probes.");
    describe_histogram!("fleetbeat_schedule_lag_seconds", Unit::Seconds, "How late scheduled checks started.");
    describe_counter!("fleetbeat_transitions_total", "Confirmed changes of state by the new state.");
    describe_gauge!("fleetbeat_cluster_actors", "Cluster actors alive.");
    describe_counter!("fleetbeat_actor_restarts_total", "Cluster actors that died and were started again.");
    describe_counter!("fleetbeat_events_published_total", "Events published and acknowledged.");
    describe_gauge!("fleetbeat_events_waiting", "Events that wait to be published.");
    describe_gauge!("fleetbeat_events_unsaved", "Events that wait in memory for the store.");
    describe_gauge!("fleetbeat_monitor_lost_seconds", "Time that the process was stopped or starved, in all.");
    describe_counter!(
        "fleetbeat_monitor_surveys_total",
        "Surveys that asked a sample of the fleet whether the network carries."
    );
    describe_gauge!("fleetbeat_monitor_holding", "1 while the monitor doubts its own network and holds states.");
}

const fn index(cluster_type: ClusterType) -> usize {
    match cluster_type {
        ClusterType::Hub => 0,
        ClusterType::Spoke => 1,
        ClusterType::Edge => 2,
        ClusterType::FarEdge => 3,
    }
}

impl Meters {
    pub(crate) fn checked(&self, cluster_type: ClusterType, report: &CheckReport) {
        let count = |outcome: &'static str, cause: &'static str| {
            let cluster_type = cluster_type.as_str();
            counter!("fleetbeat_checks_total", "cluster_type" => cluster_type, "outcome" => outcome, "cause" => cause)
                .increment(1);
        };
        match report.api_server {
            Outcome::Healthy { latency } => {
                self.passed[index(cluster_type)].increment(1);
                self.durations[index(cluster_type)].record(latency);
            }
            Outcome::Failed { failure, latency } => {
                count("failed", failure.cause.as_str());
                self.durations[index(cluster_type)].record(latency);
            }
            Outcome::NotRun(reason) => count("not_run", reason.as_str()),
        }
        for endpoint in [Endpoint::Prometheus, Endpoint::Tempo, Endpoint::Loki] {
            if let Some(Outcome::Failed { failure, .. }) = report.outcome(endpoint) {
                let cause = failure.cause.as_str();
                counter!("fleetbeat_probes_failed_total", "endpoint" => endpoint.as_str(), "cause" => cause)
                    .increment(1);
            }
        }
    }

    pub(crate) fn scheduled(&self, cluster_type: ClusterType, lag: Duration) {
        self.lags[index(cluster_type)].record(lag);
    }

    pub(crate) fn changed(&self, transition: &Transition) {
        counter!("fleetbeat_transitions_total", "state" => transition.new_state.as_str()).increment(1);
    }
}
