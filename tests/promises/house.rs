//! A house under test: the product, a fleet of simulated spokes registered with it, and looks from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetbeat_loadtest::spokes::{Behaviour, Fleet, FleetOptions, Ports, Role};
use serde_json::{Value, json};

use crate::support::{Client, Product, eventually};

/// Longest time anything is waited for.
pub const LONG: Duration = Duration::from_secs(60);

pub struct House {
    pub product: Product,
    pub fleet: Fleet,
    pub client: Client,
}

impl House {
    /// `spokes` spokes, registered, each checked once, with a period of `period` seconds.
    pub async fn of(spokes: usize, period: u32, product: Product) -> Self {
        let options = FleetOptions { count: spokes, ports: Ports::ANY, ..FleetOptions::default() };
        let fleet = Fleet::start_on_own_threads(&options, 1).unwrap();
        let product = product.started().await;
        let client = product.client();
        let mut registrations = serde_json::to_value(fleet.registrations()).unwrap();
        for cluster in registrations["clusters"].as_array_mut().unwrap() {
            cluster["health_check"] = json!({ "interval_seconds": period, "timeout_seconds": 5 });
        }
        client.post("/api/v1/clusters:import", &registrations).await.expect(200);
        let house = Self { product, fleet, client };
        house.until_all("ONLINE").await;
        house.until_logged(spokes).await;
        house
    }

    /// Waits until the log tells of so many changes of state: the board shows them a moment before they are stored.
    pub async fn until_logged(&self, changes: usize) {
        eventually(LONG, async || {
            let log = self.log().await;
            log.iter().filter(|event| event["event_type"] == "CLUSTER_STATUS_CHANGED").count() == changes
        })
        .await;
    }

    pub fn name(&self, index: usize) -> String {
        self.fleet.spokes()[index].name.clone()
    }

    /// Changes the API server of a spoke.
    pub async fn set(&self, index: usize, behaviour: Behaviour) {
        self.fleet.set(&self.name(index), Role::Api, behaviour).await.unwrap();
    }

    pub async fn cluster(&self, index: usize) -> Value {
        self.client.get(&format!("/api/v1/clusters/by-name/{}", self.name(index))).await.expect(200).json()
    }

    pub async fn state(&self, index: usize) -> String {
        self.cluster(index).await["status"]["state"].as_str().unwrap().to_owned()
    }

    pub async fn until(&self, index: usize, state: &str) {
        eventually(LONG, async || self.state(index).await == state).await;
    }

    pub async fn until_all(&self, state: &str) {
        let count = self.fleet.spokes().len();
        eventually(LONG, async || {
            let summary = self.client.get("/api/v1/fleet/summary").await.expect(200).json();
            let seen = summary["by_state"][state].as_u64() == Some(count as u64);
            if seen { Ok(()) } else { Err(summary["by_state"].clone()) }
        })
        .await;
    }

    /// The whole event log.
    pub async fn log(&self) -> Vec<Value> {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let page = self.client.get(&format!("/api/v1/events?after={after}&limit=500")).await.expect(200).json();
            let items = page["items"].as_array().unwrap().clone();
            let Some(last) = items.last() else { return events };
            after = last["position"].as_i64().unwrap();
            events.extend(items);
        }
    }
}

/// The new states of each cluster, by name, in the order of the log. Panics where the log contradicts itself.
pub fn stories(log: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut sequences: BTreeMap<&str, i64> = BTreeMap::new();
    let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in log {
        let sequence = sequences.entry(event["cluster_id"].as_str().unwrap()).or_default();
        *sequence += 1;
        assert_eq!(event["sequence"], *sequence, "a gap before {event}");
        if event["event_type"] == "CLUSTER_STATUS_CHANGED" {
            let payload = &event["payload"];
            let story = stories.entry(payload["cluster_name"].as_str().unwrap().to_owned()).or_default();
            assert_eq!(payload["old_state"], *story.last().map_or("UNKNOWN", |state| state.as_str()), "{event}");
            story.push(payload["new_state"].as_str().unwrap().to_owned());
        }
    }
    stories
}
