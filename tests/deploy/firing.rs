//! The rules on a real Prometheus that scrapes a real fleetbeat, whose spokes die.

use fleetbeat_loadtest::spokes::{Behaviour, Role};
use serde_json::Value;

use crate::house::{House, LONG};
use crate::outside::text;
use crate::support::{Product, Prometheus, eventually};

/// The name of a spoke that has a Prometheus.
pub fn with_prometheus(house: &House) -> String {
    let registrations = serde_json::to_value(house.fleet.registrations()).unwrap();
    let clusters = registrations["clusters"].as_array().unwrap().clone();
    let found = clusters.iter().find(|cluster| cluster["endpoints"]["prometheus_url"].is_string());
    found.unwrap_or_else(|| panic!("no spoke with a Prometheus in {clusters:?}"))["name"].as_str().unwrap().to_owned()
}

/// The rules as delivered, but for how long something must last.
fn impatient_rules() -> String {
    let rules = text("deploy/prometheus/rules.yaml");
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

struct Judge {
    prometheus: Prometheus,
}

impl Judge {
    async fn of(product: &Product) -> Self {
        let address = product.url().replace("http://", "");
        Self { prometheus: Prometheus::judging("fleetbeat", &[&address], &impatient_rules()).await }
    }

    /// Waits until an alert with such a label fires, and returns its labels.
    async fn fires(&self, alert: &str, label: &str, value: &str) -> Value {
        eventually(LONG, async || {
            let firing = self.prometheus.firing().await;
            let found = firing.iter().find(|labels| labels["alertname"] == alert && labels[label] == value);
            found.cloned().ok_or(firing)
        })
        .await
    }

    async fn falls_silent(&self, alert: &str) {
        eventually(LONG, async || {
            let firing = self.prometheus.firing().await;
            if firing.iter().any(|labels| labels["alertname"] == alert) { Err(firing) } else { Ok(()) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_spoke_alerts_until_it_is_back_and_a_killed_fleetbeat_alerts_too() {
    let mut house = House::of(12, 5, Product::new()).await;
    let judge = Judge::of(&house.product).await;
    let first = eventually(LONG, async || {
        let seen = judge.prometheus.query("count(fleetbeat_cluster_up)").await;
        (seen[0]["value"][1] == "12").then_some(())
    });
    first.await;
    let name = house.name(3);
    house.set(3, Behaviour::Dead).await;
    let labels = judge.fires("FleetbeatClusterOffline", "cluster", &name).await;
    assert!(labels["severity"] == "critical" || labels["severity"] == "warning", "{labels}");
    let firing = judge.prometheus.firing().await;
    assert!(firing.iter().all(|labels| labels["cluster"] == name.as_str()), "only that cluster is told of: {firing:?}");
    house.set(3, Behaviour::Healthy).await;
    judge.falls_silent("FleetbeatClusterOffline").await;
    house.product.kill9();
    judge.fires("FleetbeatDown", "job", "fleetbeat").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_redis_a_lame_cluster_and_a_vanished_fleet_alert() {
    let product = Product::new().set("redis_url", "redis://127.0.0.1:1/0");
    let house = House::of(12, 5, product).await;
    let judge = Judge::of(&house.product).await;
    judge.fires("FleetbeatDependencyDown", "dependency", "redis").await;
    let with_prometheus = with_prometheus(&house);
    house.fleet.set(&with_prometheus, Role::Prometheus, Behaviour::Dead).await.unwrap();
    judge.fires("FleetbeatClusterDegraded", "cluster", &with_prometheus).await;
    for index in 0..12 {
        house.set(index, Behaviour::Unreachable).await;
    }
    judge.fires("FleetbeatMonitorDegraded", "severity", "critical").await;
    judge.fires("FleetbeatClusterStale", "cluster", &house.name(7)).await;
}

#[test]
fn only_the_patience_of_the_rules_is_changed() {
    let (patient, impatient) = (text("deploy/prometheus/rules.yaml"), impatient_rules());
    let different: Vec<_> = patient.lines().zip(impatient.lines()).filter(|(one, other)| one != other).collect();
    assert!(different.len() > 10 && different.iter().all(|(one, _)| one.trim().starts_with("for: ")));
    assert_eq!(patient.lines().count(), impatient.lines().count());
}
