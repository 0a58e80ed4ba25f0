//! The rules, the scrape configuration and the routing of alerts, as Prometheus's own tools judge them.

use crate::outside::content;

#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_plays_them_through() {
    content("promtool", &["check", "rules", "--lint=all", "--lint-fatal", "deploy/prometheus/rules.yaml"]);
    let said = content("promtool", &["test", "rules", "deploy/prometheus/rules_test.yaml"]);
    assert!(said.is_none_or(|said| said.contains("SUCCESS")));
}

#[test]
fn every_alert_is_played_through() {
    let (rules, tests) = (
        crate::outside::text("deploy/prometheus/rules.yaml"),
        crate::outside::text("deploy/prometheus/rules_test.yaml"),
    );
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test in rules_test.yaml");
    }
}

#[test]
fn the_example_of_a_scrape_is_one() {
    content("promtool", &["check", "config", "deploy/prometheus/prometheus.yaml"]);
}

#[test]
fn amtool_routes_what_is_critical_to_those_on_call_and_the_rest_to_the_channel() {
    let file = "deploy/prometheus/alertmanager.yaml";
    if content("amtool", &["check-config", file]).is_none() {
        return;
    }
    for (alert, severity, receiver) in [
        ("FleetbeatClusterOffline", "critical", "on-call"),
        ("FleetbeatClusterOffline", "warning", "channel"),
        ("FleetbeatDown", "critical", "on-call"),
        ("FleetbeatCredentialsExpiring", "warning", "channel"),
    ] {
        let (alert, severity) = (format!("alertname={alert}"), format!("severity={severity}"));
        let arguments = ["config", "routes", "test", "--config.file", file];
        let said = content(
            "amtool",
            &[&arguments[..], &[&format!("--verify.receivers={receiver}"), &alert, &severity]].concat(),
        );
        assert!(said.is_some_and(|said| said.contains(receiver)));
    }
}
