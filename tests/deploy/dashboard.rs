//! Every expression of the dashboard and of the rules, asked of a real Prometheus that scrapes a real fleetbeat.

use std::collections::BTreeSet;

use fleetbeat_loadtest::spokes::{Behaviour, Role};
use serde_json::{Value, json};

use crate::firing::with_prometheus;
use crate::house::{House, LONG};
use crate::outside::text;
use crate::support::{Product, Prometheus, eventually};

/// Where an expression stands, and the expression.
type Asked = (String, String);

/// Expressions that rightly find nothing in a small fleet that is well but for one Prometheus.
const MAY_BE_EMPTY: [&str; 2] = ["Failed checks by cause", "Alerts"];

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/fleetbeat.json")).unwrap()
}

fn expressions_of_the_dashboard() -> Vec<Asked> {
    let dashboard = dashboard();
    let title = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut asked = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            asked.push((title(&panel["title"]), title(&target["expr"])));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        asked.push((title(&annotation["name"]), title(&annotation["expr"])));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let definition = title(&variable["definition"]);
        if let Some(inner) = definition.strip_prefix("label_values(") {
            asked.push((title(&variable["name"]), inner.rsplit_once(',').unwrap().0.to_owned()));
        }
    }
    asked
}

fn expressions_of_the_rules() -> Vec<Asked> {
    let rules: Value = serde_saphyr::from_str(&text("deploy/prometheus/rules.yaml")).unwrap();
    let groups =
        rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    groups.map(|rule| (word(&rule["alert"]), word(&rule["expr"]))).collect()
}

/// What Grafana would send.
fn filled(expression: &str, cluster: &str) -> String {
    let mut filled = expression.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "1m"),
        ("$__range", "5m"),
        ("$region", ".*"),
        ("$environment", ".*"),
        ("$cluster_type", ".*"),
        ("$cluster", cluster),
    ] {
        filled = filled.replace(variable, value);
    }
    assert!(!filled.contains('$'), "an unknown variable in {filled}");
    filled
}

/// The names of fleetbeat's metrics in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("fleetbeat_")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_of_the_dashboard_and_of_the_rules_asks_for_what_fleetbeat_tells() {
    let house = House::of(12, 5, Product::new()).await;
    let lame = with_prometheus(&house);
    house.fleet.set(&lame, Role::Prometheus, Behaviour::Dead).await.unwrap();
    let webhook = json!({ "name": "ops", "url": "http://127.0.0.1:1/" });
    house.client.post("/api/v1/webhooks", &webhook).await.expect(201);
    let prometheus = Prometheus::scraping(&[&house.product.url().replace("http://", "")]).await;
    eventually(LONG, async || {
        let failed = prometheus.query("fleetbeat_probes_failed_total and on() fleetbeat_transitions_total").await;
        (failed.as_array().is_some_and(|found| !found.is_empty())).then_some(())
    })
    .await;
    let dashboard = expressions_of_the_dashboard();
    assert!(dashboard.len() > 40, "{}", dashboard.len());
    for (place, expression) in dashboard.iter().chain(&expressions_of_the_rules()) {
        let expression = filled(expression, &lame);
        let answer = prometheus.try_query(&expression).await;
        answer.unwrap_or_else(|error| panic!("{place}: {expression}: {error}"));
        for name in names(&expression) {
            let known = prometheus.query(&format!("count({name})")).await;
            assert!(known.as_array().is_some_and(|found| !found.is_empty()), "{place}: nobody tells {name}");
        }
    }
    for (place, expression) in dashboard.iter().filter(|(place, _)| !MAY_BE_EMPTY.contains(&place.as_str())) {
        let expression = filled(expression, &lame).replace("{job=\"fleetbeat\"}", "{job=\"test\"}");
        eventually(LONG, async || {
            let found = prometheus.query(&expression).await;
            if found.as_array().is_some_and(|found| !found.is_empty()) { Ok(()) } else { Err((place, &expression)) }
        })
        .await;
    }
}

#[test]
fn every_panel_has_a_title_a_place_of_its_own_and_the_chosen_prometheus() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        let number = |key: &str| place[key].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{panel}");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(places.insert((x, y)), "two panels at {x},{y}");
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
    let rows = panels.iter().filter(|panel| panel["type"] == "row").map(|panel| panel["title"].as_str().unwrap());
    assert_eq!(rows.collect::<Vec<_>>(), ["Fleet", "Cluster $cluster", "Engine"]);
}
